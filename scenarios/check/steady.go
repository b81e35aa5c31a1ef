package check

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Steady is a condition of the steady state.
type Steady struct {
	Measure string        // "success" or "p95 latency", with any percentile
	Ratio   float64       // success: at least
	Limit   time.Duration // latency: below

	surely bool // counts takes only latencies that are above Limit whatever the resolution of histograms hides
}

// fallbacks is a measure that cannot be declared: at most Ratio of the requests are fallbacks.
const fallbacks = "fallbacks"

// percentile parses a measure such as "p99.9 latency"; ok is false for other measures.
func (s Steady) percentile() (float64, bool) {
	number, ok := strings.CutSuffix(strings.TrimPrefix(s.Measure, "p"), " latency")
	p, err := strconv.ParseFloat(number, 64)
	return p, ok && err == nil
}

// LeastSuccess is the success of the steady state if none is declared.
const LeastSuccess = 0.99

// withSuccess adds LeastSuccess if no success is declared.
func withSuccess(declared []Steady) []Steady {
	if slices.ContainsFunc(declared, func(s Steady) bool { return s.Measure == "success" }) {
		return declared
	}
	return append([]Steady{{Measure: "success", Ratio: LeastSuccess}}, declared...)
}

// meets reports whether totals meet the condition, as far as the resolution of histograms shows, and describes them.
func (s Steady) meets(h *journal.History, t journal.Totals) (bool, string) {
	if p, ok := s.percentile(); ok {
		got := journal.Quantile(t.Latency, p)
		return shortest(got) < s.Limit, fmt.Sprintf("%s %s", s.Measure, duration(got))
	}
	if s.Measure == fallbacks {
		return float64(t.Fallback) <= s.Ratio*float64(t.Sent), "fallbacks " + ratio(t.Fallback, t.Sent)
	}
	return float64(h.Good(t)) >= s.Ratio*float64(t.Sent)-1e-9, "success " + ratio(h.Good(t), t.Sent)
}

// observed describes totals with their intervals.
func (s Steady) observed(h *journal.History, t journal.Totals) string {
	if p, ok := s.percentile(); ok {
		return s.Measure + " " + quantile(t.Latency, p)
	}
	if s.Measure == fallbacks {
		return "fallbacks " + observed(t.Fallback, t.Sent)
	}
	return "success " + observed(h.Good(t), t.Sent)
}

// steadyState returns the steady state that a run must meet: the declared conditions, or those derived from its
// baseline. Derived conditions are success within half a point, and p95 within 1.2 times or 50 ms of the
// baseline's or within 1.2 times that of its slowest second, whichever is most. The slowest second counts because
// the conditions are applied to seconds. In both cases fallbacks may be about twice as frequent as in the
// baseline: a system that answers only fallbacks after healing has not recovered.
func steadyState(h *journal.History, route string, declared []Steady, baseline journal.Totals) []Steady {
	if baseline.Sent == 0 {
		return withSuccess(declared)
	}
	sent := float64(baseline.Sent)
	back := Steady{Measure: fallbacks, Ratio: 2*float64(baseline.Fallback)/sent + 0.005}
	if len(declared) > 0 {
		return append(slices.Clone(withSuccess(declared)), back)
	}
	limit := steadyLimit(journal.Quantile(baseline.Latency, 95))
	for _, second := range seconds(h, route, journal.Before, 0) {
		limit = max(limit, journal.Quantile(second.totals.Latency, 95)*6/5)
	}
	return []Steady{
		{Measure: "success", Ratio: float64(h.Good(baseline))/sent - 0.005},
		{Measure: "p95 latency", Limit: limit + 1},
		back,
	}
}

// steadyLimit returns the highest p95 that still counts as that of the baseline.
func steadyLimit(baseline time.Duration) time.Duration {
	return max(baseline*6/5, baseline+50*time.Millisecond)
}

// count is the number k of the n requests of a second that violate a condition. It is significant if chance alone
// would rarely produce so many.
type count struct {
	k, n        int
	significant bool
}

// counts returns for each second how many requests violate the condition.
func (s Steady) counts(h *journal.History, all []slice) []count {
	counts := make([]count, len(all))
	for i, second := range all {
		c := &counts[i]
		switch t := second.totals; {
		case s.latency():
			for _, b := range t.Latency {
				took := b.Up
				if s.surely {
					took = shortest(took)
				}
				if c.n += int(b.N); took >= s.Limit {
					c.k += int(b.N)
				}
			}
		case s.Measure == fallbacks:
			c.k, c.n = t.Fallback, t.Sent
		default:
			c.k, c.n = t.Sent-h.Good(t), t.Sent
		}
		c.significant = binomialTail(c.k, c.n, s.share()) < alphaFailed
	}
	return counts
}

// share returns the share of requests that may violate the condition.
func (s Steady) share() float64 {
	if p, ok := s.percentile(); ok {
		return 1 - p/100
	}
	if s.Measure == fallbacks {
		return min(1, s.Ratio)
	}
	return min(1, 1-s.Ratio)
}

// surely returns conditions that only latencies violate that are above their limits whatever the resolution hides.
func surely(all []Steady) []Steady {
	all = slices.Clone(all)
	for i := range all {
		all[i].surely = true
	}
	return all
}

func (s Steady) latency() bool {
	_, ok := s.percentile()
	return ok
}

// limit describes the condition.
func (s Steady) limit() string {
	switch {
	case s.latency():
		return s.Measure + " below " + duration(s.Limit)
	case s.Measure == fallbacks:
		return "at most " + percent(round(s.Ratio, 4))
	}
	return "at least " + percent(round(s.Ratio, 4))
}

// describe describes how many requests of several seconds violate the condition.
func (s Steady) describe(k, n int) string {
	switch {
	case s.latency():
		return fmt.Sprintf("%s of the latencies were not below %s", ratio(k, n), duration(s.Limit))
	case s.Measure == fallbacks:
		return "fallbacks " + ratio(k, n)
	}
	return "success " + ratio(n-k, n)
}

// The significance levels for seconds in a row. If a system that just meets the steady state shows so many violations
// in fewer than one of a thousand samples, the seconds are not steady. Above one of twenty samples they are steady, and
// in between the outcome is inconclusive.
const (
	alphaFailed = 0.001
	alphaPassed = 0.05
)

// outageSeconds is how many seconds' worth of requests must violate the steady state, in consecutive seconds, to
// be more than a disturbance that any system may have, such as a garbage collection.
const outageSeconds = 1.5

// holds judges whether consecutive seconds meet a condition. It returns Failed if they do not, and Inconclusive if
// that may be chance or a single disturbance. The requests are judged together, since one second may hold too few,
// and with a correction for their dependence (see compare). Failures that add up to more than a second are not a
// single disturbance. Late requests may be: a system that pauses now and then delays many requests each time.
func (s Steady) holds(all []count) Outcome {
	k, n := total(all)
	seconds := 0 // with any violation
	for _, c := range all {
		if c.k > 0 {
			seconds++
		}
	}
	usual, streak := float64(n)/float64(len(all)), 0.0
	for _, c := range all {
		if streak += float64(c.k); !c.significant {
			streak = 0
		} else if streak >= outageSeconds*usual {
			return Failed
		}
	}
	switch chance := binomialTail(k, n, s.share()); {
	case chance >= alphaPassed:
		return Passed
	case chance >= alphaFailed || seconds == 1:
		return Inconclusive
	case !s.latency() && float64(k) > usual, normalQuantile(1-max(1e-15, chance))/designEffect(all) >= normalQuantile(1-alphaFailed):
		return Failed
	}
	return Inconclusive
}

func total(all []count) (k, n int) {
	for _, c := range all {
		k, n = k+c.k, n+c.n
	}
	return k, n
}

// designEffect returns the square root of the factor by which the counts of seconds vary more than those of
// independent requests would. It corresponds to dependence for scores.
func designEffect(all []count) float64 {
	k, n := total(all)
	share, squares := float64(k)/float64(n), 0.0
	for _, c := range all {
		d := float64(c.k) - share*float64(c.n)
		squares += d * d
	}
	if independent := float64(k) * (1 - share); independent > 0 && len(all) > 1 {
		return math.Sqrt(max(1, squares/independent*float64(len(all))/float64(len(all)-1)))
	}
	return 1
}

type slice struct {
	from   time.Duration
	totals journal.Totals
}

// seconds returns the full slices of a second in a window that start at begin or later. Truncated slices, as at
// the end of a phase, are left out.
func seconds(h *journal.History, route string, w journal.Window, begin time.Duration) []slice {
	var starts []time.Duration
	at := map[time.Duration][]journal.Sample{}
	for _, s := range h.Samples {
		if s.Window != w || s.Paused || (route != "" && s.Route != route) {
			continue
		}
		at[s.From] = append(at[s.From], s)
		if s.From >= begin-time.Millisecond && s.To-s.From >= time.Second*9/10 && (len(starts) == 0 || starts[len(starts)-1] != s.From) {
			starts = append(starts, s.From)
		}
	}
	var all []slice
	for _, from := range starts {
		of := journal.History{Samples: at[from]}
		all = append(all, slice{from, of.Sum(func(journal.Sample) bool { return true })})
	}
	return all
}

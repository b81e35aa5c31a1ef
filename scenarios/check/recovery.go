package check

import (
	"fmt"
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
}

// fallbacks is a measure that nobody declares: at most Ratio of them.
const fallbacks = "fallbacks"

// percentile reads "p99.9 latency"; ok is false for other measures.
func (s Steady) percentile() (float64, bool) {
	number, ok := strings.CutSuffix(strings.TrimPrefix(s.Measure, "p"), " latency")
	p, err := strconv.ParseFloat(number, 64)
	return p, ok && err == nil
}

// meets tells whether totals are inside a condition, and what they are.
func (s Steady) meets(t journal.Totals) (bool, string) {
	if p, ok := s.percentile(); ok {
		got := journal.Quantile(t.Latency, p)
		return got < s.Limit, fmt.Sprintf("%s %s", s.Measure, duration(got))
	}
	if s.Measure == fallbacks {
		return float64(t.Fallback) <= s.Ratio*float64(t.Sent), "fallbacks " + observed(t.Fallback, t.Sent)
	}
	return float64(t.OK+t.Fallback) >= s.Ratio*float64(t.Sent), "success " + observed(t.OK+t.Fallback, t.Sent)
}

// Steadily is the steady state that a run is held to: the declared conditions, or those that follow from its baseline (success within half a point,
// p95 within 1.2 times or 50 ms). Either way fallbacks are hardly more than twice as frequent as in the baseline: a system that answers with
// nothing else after healing is stuck, not back.
func Steadily(declared []Steady, baseline journal.Totals) []Steady {
	if baseline.Sent == 0 {
		return declared
	}
	sent := float64(baseline.Sent)
	back := Steady{Measure: fallbacks, Ratio: 2*float64(baseline.Fallback)/sent + 0.005}
	if len(declared) > 0 {
		return append(slices.Clone(declared), back)
	}
	p95 := journal.Quantile(baseline.Latency, 95)
	return []Steady{
		{Measure: "success", Ratio: float64(baseline.OK+baseline.Fallback)/sent - 0.005},
		{Measure: "p95 latency", Limit: steadyLimit(p95) + 1},
		back,
	}
}

// steadyLimit is what a p95 may rise to and still be the baseline's.
func steadyLimit(baseline time.Duration) time.Duration {
	return max(baseline*6/5, baseline+50*time.Millisecond)
}

// inSteady tells whether a window is inside the steady state; one without requests is not.
func inSteady(steady []Steady, t journal.Totals) bool {
	for _, s := range steady {
		if ok, _ := s.meets(t); !ok {
			return false
		}
	}
	return t.Sent > 0
}

// enough is how many windows of a second in a row make a recovery.
const enough = 5

// Recovers: five consecutive windows of a second inside the steady state begin within Within of the last heal.
type Recovers struct {
	Route  string
	Within time.Duration
	Steady []Steady // the declared steady state; nil takes the baseline's
}

// Judge implements Check.
func (c Recovers) Judge(h *journal.History) Verdict {
	expected := "steady within " + Duration(c.Within)
	_, healed, ok := h.FaultSpan()
	if !ok {
		return unclear(expected, journal.After, "no fault was ever injected")
	}
	base := h.Total(journal.Before, c.Route)
	if base.Sent == 0 && len(c.Steady) == 0 {
		return unclear(expected, journal.After, "there is no baseline%s to return to", of(c.Route))
	}
	took, windows, found := Recovery(h, c.Route, healed, Steadily(c.Steady, base))
	v := Verdict{Expected: expected, Window: journal.After, Evidence: seqs(h, "sample")}
	switch {
	case found:
		took = took.Round(100 * time.Millisecond) // windows are of a second, and the first begins a little after healing: less was not measured
		v.Observed = "steady after " + duration(took)
		return verdict(took <= c.Within, v, "it took %s", duration(took))
	case time.Duration(windows)*time.Second < c.Within+enough*time.Second-time.Second/2:
		return unclear(expected, journal.After, "only %d windows of a second were watched after healing, and %s plus %d are needed", windows, Duration(c.Within), enough)
	}
	v.Observed = fmt.Sprintf("not steady in %ds", windows)
	after := h.Total(journal.After, c.Route)
	reason := fmt.Sprintf("no five seconds in a row were inside the steady state; after healing success was %s, p95 %s", observed(after.OK+after.Fallback, max(1, after.Sent)), duration(journal.Quantile(after.Latency, 95)))
	if after.Fallback > 0 {
		reason += fmt.Sprintf("; %s were fallbacks, %s in the baseline", Count(after.Fallback), Count(base.Fallback))
	}
	return verdict(false, v, "%s", reason)
}

// Recovery finds the first five windows in a row inside the steady state after healed, and how long after healing they begin.
func Recovery(h *journal.History, route string, healed time.Duration, steady []Steady) (took time.Duration, windows int, found bool) {
	run, began, last := 0, time.Duration(0), time.Duration(0)
	for _, slice := range seconds(h, route, healed) {
		windows++
		if slice.from-last >= 2*time.Second { // nothing was asked for a second or more, which is not steady; less is a slice that was cut short
			run = 0
		}
		last = slice.from
		if !inSteady(steady, slice.totals) {
			run = 0
			continue
		}
		if run == 0 {
			began = slice.from
		}
		if run++; run == enough {
			return max(0, began-healed), windows, true
		}
	}
	return 0, windows, false
}

type slice struct {
	from   time.Duration
	totals journal.Totals
}

// seconds are the full windows of a second that begin after healing. The slice that a phase cuts short is left out.
func seconds(h *journal.History, route string, healed time.Duration) []slice {
	var all []slice
	for _, s := range h.Samples {
		if s.Window != journal.After || s.From < healed-time.Millisecond || s.To-s.From < time.Second*9/10 || (route != "" && s.Route != route) {
			continue
		}
		if n := len(all); n > 0 && all[n-1].from == s.From {
			continue
		}
		from := s.From
		all = append(all, slice{from, h.Sum(func(o journal.Sample) bool {
			return o.From == from && o.Window == journal.After && (route == "" || o.Route == route)
		})})
	}
	return all
}

// String implements Check.
func (c Recovers) String() string {
	return fmt.Sprintf("%q recovers within %s of healing", c.Route, Duration(c.Within))
}

package check

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// CallsTimesNormal passes if To receives at most Times its normal calls; failed dials of it count as calls. Normal
// is the number of calls per client request in the baseline, multiplied by the client requests of the window.
//
// It passes only if something gave callers a reason to retry: a call failed, was given up on, or waited. More
// calls are inconclusive if the load fell and the rate of calls stayed within Times that of the baseline: services
// may make some calls at a rate of their own.
type CallsTimesNormal struct {
	To     string
	Times  float64
	Window journal.Window
}

// Judge implements Check.
func (c CallsTimesNormal) Judge(h *journal.History) Verdict {
	expected := fmt.Sprintf("at most %s times normal", number(c.Times))
	_, v, ok := requests(h, "", c.Window, expected)
	if !ok {
		return v
	}
	t := h.Sum(func(s journal.Sample) bool { return dueIn(s.Window, c.Window) }) // requests in flight at healing make calls, too
	base := h.Total(journal.Before, "")
	normal := h.CallsTotal(journal.Before, c.link)
	got := journal.Calls{}
	for _, s := range h.Calls {
		if c.link(s.Link) && dueIn(s.Window, c.Window) {
			got.Calls += s.Calls + s.Refused
		}
	}
	normal.Calls += normal.Refused
	if base.Sent == 0 || normal.Calls == 0 {
		return inconclusive(expected, c.Window, codes.NotComparable, "%q received %s calls for %s requests in the baseline: nothing to compare with", c.To, Count(normal.Calls), Count(base.Sent))
	}
	if got.Calls == 0 {
		return inconclusive(expected, c.Window, codes.NotObservable, "%q received no call%s: how often callers tried is not known", c.To, when(c.Window))
	}
	want := float64(normal.Calls) / float64(base.Sent) * float64(t.Sent)
	times := float64(got.Calls) / want
	v = Verdict{
		Observed: fmt.Sprintf("%.2f times (%s calls, normal %s)", times, Count(got.Calls), Count(int64(want+0.5))),
		Expected: expected, Window: c.Window, Evidence: seqs(h, "calls"),
	}
	if t.Sent < minRequests || base.Sent < minRequests {
		v.Doubt = codes.TooFewRequests.Msgf("%s requests%s and %s in the baseline are too few to know how many calls they cause: at least %d each are needed", Count(t.Sent), when(c.Window), Count(base.Sent), minRequests)
		return v
	}
	if times <= c.Times && c.Window != journal.Before && len(h.Faults) > 0 && !hadReasonToRetry(h, c.To) {
		v.Doubt = codes.NotExercised.Message(noReasonToRetry(c.To))
		return v
	}
	before, during := windowLength(h, func(w journal.Window) bool { return w == journal.Before }), windowLength(h, func(w journal.Window) bool { return dueIn(w, c.Window) })
	if steady := float64(normal.Calls) * during.Seconds() / max(before.Seconds(), 1e-3); times > c.Times && float64(got.Calls) <= c.Times*steady {
		v.Doubt = codes.NotComparable.Msgf("there were fewer requests per second than in the baseline and no more calls per second than %s times those of the baseline (%.0f): services that call %q at a fixed rate, as polling does, make that many without retries", number(c.Times), steady, c.To)
		return v
	}
	if early, late := c.crossed(h); early+late > 0 { // requests that lateness may have moved into the window or out of it
		lowest, highest := times*float64(t.Sent)/(float64(t.Sent)+early), times*float64(t.Sent)/max(1, float64(t.Sent)-late)
		if within := times <= c.Times; within != (lowest <= c.Times) || within != (highest <= c.Times) {
			v.Doubt = codes.LoadLate.Msgf("the load was late, so that the calls of up to %.0f requests may belong to another time: it received between %.2f and %.2f times its normal calls", math.Ceil(max(early, late)), lowest, highest)
			return v
		}
	}
	return verdict(times <= c.Times, v, "%q received %.2f times its normal calls%s: suspected retries", c.To, times, when(c.Window))
}

// crossed returns how many requests may have been due before the window and sent in it, and due in it and sent after it.
func (c CallsTimesNormal) crossed(h *journal.History) (early, late float64) {
	earlier := map[journal.Window]journal.Window{journal.During: journal.AtInjection, journal.After: journal.AtHealing}[c.Window]
	in := func(w journal.Window) bool { return dueIn(w, c.Window) }
	return crossed(h, func(w journal.Window) bool { return w == earlier }), crossed(h, in)
}

// windowLength returns for how long requests of the load were due in some windows.
func windowLength(h *journal.History, in func(journal.Window) bool) time.Duration {
	return lengthOf(h, func(s journal.Sample) bool { return in(s.Window) })
}

// lengthOf returns for how long the requests of some samples were due.
func lengthOf(h *journal.History, keep func(journal.Sample) bool) (d time.Duration) {
	ends := map[time.Duration]time.Duration{} // ends of slices, by their start
	for _, s := range h.Samples {
		if keep(s) {
			ends[s.From] = max(ends[s.From], s.To)
		}
	}
	for from, to := range ends {
		d += to - from
	}
	return d
}

// dueIn reports whether the requests of a sample of the window w were due in the window want.
func dueIn(w, want journal.Window) bool {
	return w == want || (want == journal.During && w == journal.AtHealing) || (want == "" && w != journal.Warmup)
}

func (c CallsTimesNormal) link(name string) bool { return strings.HasSuffix(name, " -> "+c.To) }

func (c CallsTimesNormal) scope() (string, journal.Window) { return "", c.Window }

// String implements Check.
func (c CallsTimesNormal) String() string {
	return fmt.Sprintf("%q receives at most %s times its normal calls%s", c.To, number(c.Times), when(c.Window))
}

// CallsPerSecond passes if To receives at most PerSecond calls in any second, that is, in any ten tenths of a second in
// a row. A call counts when it arrives at To, including calls that a fault held back and healing released together. A
// failed dial of To counts as a call. If nothing gave callers a reason to retry, the check does not pass with a limit
// of more than twice the calls of the busiest second.
type CallsPerSecond struct {
	To        string
	PerSecond float64
	Window    journal.Window
}

// slack limits PerSecond, in multiples of the calls of the busiest second, if nothing gave callers a reason to
// retry. A higher limit proves nothing.
const slack = 2

// arrivals is how many calls arrived in a time of at most a second.
type arrivals struct {
	from, to time.Duration
	calls    float64
}

// arrivals returns the calls that arrived in some windows, in order: by tenths of a second or, in older journals, by
// slices.
func (c CallsPerSecond) arrivals(h *journal.History, in func(journal.Window) bool) []arrivals {
	counts := map[[2]time.Duration]float64{} // by bounds
	for _, s := range h.Calls {
		switch {
		case !strings.HasSuffix(s.Link, " -> "+c.To) || !in(s.Window):
		case len(s.Tenths) == 0:
			n := float64(s.Arrived+s.Refused) / max((s.To-s.From).Seconds(), 1)
			counts[[2]time.Duration{s.From, min(s.To, s.From+time.Second)}] += n
		default:
			for i, n := range s.Tenths {
				from := s.From.Truncate(journal.Tenth) + time.Duration(i)*journal.Tenth
				counts[[2]time.Duration{from, from + journal.Tenth}] += float64(n)
			}
		}
	}
	all := make([]arrivals, 0, len(counts))
	for bounds, n := range counts {
		if n > 0 {
			all = append(all, arrivals{bounds[0], bounds[1], n})
		}
	}
	slices.SortFunc(all, func(a, b arrivals) int { return cmp.Compare(a.from, b.from) })
	return all
}

// busySeconds returns seconds of some windows in which calls arrived, in order: of those that begin in the same second
// of the run's clock, the busiest.
func (c CallsPerSecond) busySeconds(h *journal.History, in func(journal.Window) bool) (busy []arrivals) {
	all := c.arrivals(h, in)
	for i, first := range all {
		second := arrivals{from: first.from, to: first.from + time.Second}
		for _, a := range all[i:] {
			if a.from >= second.to {
				break
			}
			if a.to <= second.to {
				second.calls += a.calls
			}
		}
		switch last := len(busy) - 1; {
		case last < 0 || busy[last].from/time.Second != second.from/time.Second:
			busy = append(busy, second)
		case second.calls > busy[last].calls:
			busy[last] = second
		}
	}
	return busy
}

// busiest returns the first of the seconds with the most calls.
func busiest(seconds []arrivals) (most arrivals) {
	for _, s := range seconds {
		if s.calls > most.calls {
			most = s
		}
	}
	return most
}

// noReasonToRetry returns the reason of a check of calls if nothing gave callers a reason to retry.
func noReasonToRetry(to string) string {
	return fmt.Sprintf("no call to %q failed, was given up on or waited %s longer than usual, so no caller had a reason to retry", to, Duration(retryDelay))
}

// Judge implements Check.
func (c CallsPerSecond) Judge(h *journal.History) Verdict {
	expected := fmt.Sprintf("at most %s calls per second", number(c.PerSecond))
	busy := c.busySeconds(h, func(w journal.Window) bool { return dueIn(w, c.Window) })
	worst := busiest(busy)
	most := worst.calls
	highest := busiest(c.busySeconds(h, func(journal.Window) bool { return true })).calls
	if most == 0 {
		return inconclusive(expected, c.Window, codes.NotExercised, "%q received no call%s", c.To, when(c.Window))
	}
	v := Verdict{Observed: fmt.Sprintf("at most %.0f in a second", most), Expected: expected, Window: c.Window, Evidence: seqs(h, "calls")}
	due := h.Sum(func(s journal.Sample) bool { return dueIn(s.Window, c.Window) }).Sent
	if h.Load != nil && most <= c.PerSecond && due < minRequests {
		v.Doubt = codes.TooFewRequests.Msgf("only %s requests of the load were due%s, so hardly any calls were expected: at least %d are needed", Count(due), when(c.Window), minRequests)
		return v
	}
	if most <= c.PerSecond && c.PerSecond > slack*highest && len(h.Faults) > 0 && !hadReasonToRetry(h, c.To) {
		v.Doubt = codes.NotExercised.Msgf("%s, and the limit is more than %s times the %.0f calls that arrived in its busiest second", noReasonToRetry(c.To), number(slack), highest)
		return v
	}
	for _, second := range busy {
		calls, moved := second.calls, c.moved(h, second)
		if most <= c.PerSecond && calls+moved > c.PerSecond || second == worst && calls > c.PerSecond && calls-moved <= c.PerSecond {
			v.Doubt = codes.LoadLate.Msgf("the load was late, so that up to %.0f calls in the second at +%.1fs may belong to another one, or calls of others to it: that decides whether %.0f are too many", math.Ceil(moved), second.from.Seconds(), calls)
			return v
		}
	}
	return verdict(most <= c.PerSecond, v, "%q received %.0f calls in the second at +%.1fs", c.To, most, worst.from.Seconds())
}

// moved returns how many of the calls in a second lateness may have moved into it or out of it.
func (c CallsPerSecond) moved(h *journal.History, second arrivals) float64 {
	near := func(from time.Duration) bool { return from > second.from-2*time.Second && from < second.to }
	due := func(s journal.Sample) bool { return near(s.From) }
	sent, calls := h.Sum(due).Sent, 0
	for _, s := range h.Calls {
		if strings.HasSuffix(s.Link, " -> "+c.To) && near(s.From) {
			calls += s.Arrived + s.Refused
		}
	}
	return crossing(h.Slip(due), sent, lengthOf(h, due)) * float64(calls) / float64(max(1, sent))
}

func (c CallsPerSecond) scope() (string, journal.Window) { return "", c.Window }

// String implements Check.
func (c CallsPerSecond) String() string {
	return fmt.Sprintf("%q receives at most %s calls per second%s", c.To, number(c.PerSecond), when(c.Window))
}

// retryDelay is how much longer than usual something must wait for a caller to consider it lost and retry.
// Time-outs of callers within a data center are rarely shorter.
const retryDelay = 100 * time.Millisecond

// hadReasonToRetry reports whether anything gave callers of a service a reason to make more calls during the faults:
//
//   - a call of it failed, was given up on or waited clearly longer than usual,
//   - clients of the load got no answer or a fallback,
//   - a fault on the way to it made calls fail or held them back,
//   - a fault acted elsewhere, such as on a cache whose misses cause calls.
//
// Clients that hedge make second attempts, and give up on attempts, whether or not anything is wrong: that is no reason.
func hadReasonToRetry(h *journal.History, to string) bool {
	into := func(link string) bool { return strings.HasSuffix(link, " -> "+to) }
	if slices.ContainsFunc(h.Faults, func(in *journal.Injection) bool {
		return in.Affected > 0 && (in.On != to && !into(in.On) || causesRetries(in))
	}) {
		return true
	}
	hedged := h.Load != nil && h.Load.Hedges > 0
	usual := h.CallsTotal(journal.Before, into)
	for _, w := range []journal.Window{journal.During, journal.Between, journal.After} {
		c := h.CallsTotal(w, into)
		if c.Failed+c.Refused > 0 || c.GaveUp > 0 && !hedged || journal.Quantile(c.Duration, 99) >= journal.Quantile(usual.Duration, 99)+retryDelay {
			return true
		}
	}
	before := h.Total(journal.Before, "")
	since := h.Sum(func(s journal.Sample) bool { return s.Window != journal.Before && s.Window != journal.Warmup })
	return since.Sent > since.OK+since.Fallback || since.Attempts-since.Hedges > since.Sent || (since.Fallback > 0 && before.Fallback == 0) ||
		journal.Quantile(since.Latency, 99) >= journal.Quantile(before.Latency, 99)+retryDelay
}

// causesRetries reports whether a fault makes calls fail or held them back for long.
func causesRetries(in *journal.Injection) bool {
	switch {
	case in.Unnoticed:
		return false
	case in.Delayed > 0:
		return in.DelayMax >= retryDelay
	case in.Waits:
		return in.Ended-in.Live >= retryDelay
	}
	return true
}

// Kind implements Check.
func (c CallsTimesNormal) Kind() Kind {
	return Kind{Name: "calls times normal", About: AboutCalls, Means: "calls per client request, against the baseline; inconclusive where nothing gave callers a reason to ask again", Idle: true,
		Needs:    Needs{Load: true, Baseline: true, Window: c.Window, To: c.To, Unit: "calls", Requests: minRequests},
		Untested: c.unprovoked,
		CannotFail: func(d Drill) string {
			if _, most := d.ByClient(c.To); most > 0 && c.Times >= most {
				return fmt.Sprintf("only clients of the load call %q, at most %s times for each request; write a lower number, or let clients retry more often", c.To, number(most))
			}
			return withItself(c.Window, c.Times)
		},
		Sentences: []Sentence{{
			Pattern:  `{name} receives at most {number} times its normal calls( {when})`,
			Means:    "normal: the baseline's calls per client request",
			Examples: []string{`"payments" receives at most 1.5 times its normal calls during the fault`},
			Check:    func(a Args) Check { return CallsTimesNormal{To: a.Name(0), Times: a.Times(1), Window: a.Window(2)} },
		}}}
}

// unprovoked returns why the faults give callers no reason to retry.
func (c CallsTimesNormal) unprovoked(d Drill) string {
	if c.Window == journal.Before || len(d.Faults) == 0 {
		return ""
	}
	for _, f := range d.Faults {
		if f.To != c.To || (f.Delay == 0 || f.Delay >= retryDelay) && !f.Unnoticed {
			return ""
		}
	}
	return fmt.Sprintf("no fault makes a call fail, or wait for %s, so no caller has a reason to retry; let calls fail, or delay them for longer", Duration(retryDelay))
}

// Kind implements Check.
func (c CallsPerSecond) Kind() Kind {
	return Kind{Name: "calls per second", About: AboutCalls, Means: "the most calls that arrive in any second, those released together by healing too", Idle: true,
		CannotFail: func(d Drill) string {
			if most, _ := d.ByClient(c.To); most > 0 && c.PerSecond >= most {
				return fmt.Sprintf("only clients of the load call %q, at most %s times a second with all attempts; write a lower number", c.To, number(round(most, 0)))
			}
			return ""
		},
		Needs: Needs{Window: c.Window, To: c.To, Unit: "calls"},
		Sentences: []Sentence{{
			Pattern:  `{name} receives at most {number} calls per second( {when})`,
			Means:    "the most in any second",
			Examples: []string{`"payments" receives at most 300 calls per second after healing`},
			Check:    func(a Args) Check { return CallsPerSecond{To: a.Name(0), PerSecond: a.Number(1), Window: a.Window(2)} },
		}}}
}

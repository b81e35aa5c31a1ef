package check

import (
	"cmp"
	"fmt"
	"math"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Latency passes if the percentile is below Below or, if Times is set, within Times that of the baseline. The
// latency of a request is the time until its final outcome.
type Latency struct {
	Percentile float64 // 0..100
	Route      string
	Window     journal.Window
	Below      time.Duration
	Times      float64
}

// answered is the share of requests that must be answered as expected, fallbacks included, for latencies to be
// meaningful: a system that fails immediately is fast.
const answered = 0.9

// Judge implements Check. A percentile is meaningful only if enough requests lie above it: five are required, and
// 20 in total. That makes 100 requests for p95 and 5,000 for p99.9. The check passes only if at least 90% of the
// requests were answered as expected and a request could have exceeded the limit. Requests that were in flight
// when the fault was healed count with the time that they had waited, if that alone exceeds the limit. If the
// outcome depends on how much longer they would have taken, or on the resolution of the histograms, it is inconclusive.
func (c Latency) Judge(h *journal.History) Verdict {
	expected := "below " + Duration(c.Below)
	if c.Times > 0 {
		expected = fmt.Sprintf("within %s times the baseline", number(c.Times))
	}
	t, v, ok := requests(h, c.Route, c.Window, expected)
	var got comparison
	limit := c.Below
	switch {
	case c.Times == 0 && c.waitsAbove(t):
		got = c.waiting(t)
	case !ok:
		return v
	case t.Sent < c.least():
		return inconclusive(expected, c.Window, codes.TooFewRequests, "p%v: %s", c.Percentile, tooFew(t, c.Route, c.Window, c.least()))
	case c.Times > 0:
		got, limit = c.againstBaseline(h, t)
	default:
		got = c.ended(t)
	}
	v = Verdict{Outcome: got.Outcome, Observed: got.Observed, Expected: expected, Window: c.Window, Reason: got.Reason, Doubt: got.Doubt, Evidence: first(t.Seqs)}
	if reason := c.doubt(h, t, got.Outcome, limit); !reason.None() {
		v.Outcome, v.Doubt = Inconclusive, reason
	}
	return v
}

// ended judges the percentile of the requests that ended.
func (c Latency) ended(t journal.Totals) comparison {
	got := journal.Quantile(t.Latency, c.Percentile)
	v := comparison{Observed: quantile(t.Latency, c.Percentile)}
	switch {
	case got < c.Below:
		v.Outcome = Passed
		return v
	case shortest(got) < c.Below:
		return v.inconclusive(codes.Undecided.Msgf("p%v of %s requests%s was between %s and %s%s: %s whether it was below %s",
			c.Percentile, Count(t.Sent), of(c.Route), duration(shortest(got)), duration(got), when(c.Window), leftOpen, Duration(c.Below)))
	}
	return v.failed("p%v of %s requests%s was %s%s", c.Percentile, Count(t.Sent), of(c.Route), duration(got), when(c.Window))
}

// waitsAbove reports whether the percentile is above the limit if requests in flight at healing count with the time
// that they had waited.
func (c Latency) waitsAbove(t journal.Totals) bool {
	all := journal.Merge(t.Latency, t.Waits)
	return len(t.Waits) > 0 && journal.Count(all) >= int64(c.least()) && shortest(journal.Quantile(all, c.Percentile)) >= c.Below
}

// waiting returns the failure of waitsAbove.
func (c Latency) waiting(t journal.Totals) comparison {
	least := journal.Merge(t.Latency, t.Waits)
	got := "at least " + duration(journal.Quantile(least, c.Percentile))
	return comparison{Observed: got}.failed("p%v of %s requests%s was %s%s: %s of them were in flight when the fault was healed, and had waited for up to %s",
		c.Percentile, Count(journal.Count(least)), of(c.Route), got, when(c.Window), Count(t.InFlight), duration(journal.Quantile(t.Waits, 100)))
}

// againstBaseline compares the percentile with that of the baseline. It also returns the resulting limit.
func (c Latency) againstBaseline(h *journal.History, t journal.Totals) (comparison, time.Duration) {
	before := latencies(h, c.Route, journal.Before, false)
	got := compareTimes(before, addRemainder(latencies(h, c.Route, c.Window, false), t.Latency), c.Percentile, c.Times)
	if len(t.Waits) > 0 && got.Outcome != Failed {
		atLeast := addRemainder(latencies(h, c.Route, c.Window, true), journal.Merge(t.Latency, t.Waits))
		if waiting := compareTimes(before, atLeast, c.Percentile, c.Times); waiting.Outcome == Failed {
			got = waiting
		}
	}
	return got, timesAllowed(journal.Quantile(journal.Merge(before...), c.Percentile), c.Times)
}

// doubt returns why the latencies do not support an outcome, or "" if they do. limit is the highest percentile that
// passes.
func (c Latency) doubt(h *journal.History, t journal.Totals, outcome Outcome, limit time.Duration) codes.Message {
	var reasons []codes.Message
	if outcome != Failed {
		reasons = append(reasons, mostlyFailed(t, c.Route, c.Window))
	}
	if outcome == Passed {
		reasons = append(reasons, inFlight(t, c.Percentile, limit))
		if c.Times > 0 {
			reasons = append(reasons, coldStart(h, c.Route, c.Percentile))
		}
		reasons = append(reasons, limitUnreachable(h, c.Window, limit, journal.Quantile(t.Latency, 100)))
	}
	return cmp.Or(reasons...)
}

// mostlyFailed returns why latencies prove nothing if too few requests were answered as expected; otherwise "".
func mostlyFailed(t journal.Totals, route string, w journal.Window) codes.Message {
	if float64(t.OK+t.Fallback) >= answered*float64(t.Sent) {
		return codes.Message{}
	}
	return codes.TooFewRequests.Msgf("only %s of the requests%s were answered as expected%s, and the latency of failures is not meaningful: at least %s are needed%s",
		ratio(t.OK+t.Fallback, t.Sent), of(route), when(w), percent(answered), because(t.Errors)+waited(t))
}

func (c Latency) least() int {
	if c.Percentile >= 100 { // the slowest of all: nothing lies beyond it
		return 20
	}
	return max(20, int(math.Round(5/(1-c.Percentile/100))))
}

// withItself returns why a check cannot fail that compares the baseline with itself.
func withItself(w journal.Window, times float64) string {
	if w == journal.Before && times >= 1 {
		return "the time before the fault is the baseline, which is compared with itself; ask about the time during the fault"
	}
	return ""
}

func (c Latency) scope() (string, journal.Window) { return c.Route, c.Window }

// String implements Check.
func (c Latency) String() string {
	s := fmt.Sprintf("the p%v latency ", c.Percentile)
	if c.Route != "" {
		s += "of " + quotedRoute(c.Route)
	}
	if c.Times > 0 {
		return s + fmt.Sprintf("stays within %s times the baseline", number(c.Times)) + when(c.Window)
	}
	return s + "stays below " + Duration(c.Below) + when(c.Window)
}

// Kind implements Check.
func (c Latency) Kind() Kind {
	k := c.kind()
	if c.Times > 0 {
		k.Reference = beforeTheFault
	}
	return k
}

func (c Latency) kind() Kind {
	return Kind{Name: "latency", About: AboutLatency, ByLoad: " stays", Means: "a percentile, absolute or against the baseline", Timed: true, Unharmed: true,
		CannotFail: func(Drill) string { return withItself(c.Window, c.Times) },
		Needs:      Needs{Load: true, Baseline: c.Times > 0, Route: c.Route, Window: c.Window, Requests: c.least(), Limit: c.Below},
		Sentences: []Sentence{{
			Pattern:  `the {percentile} latency( of {route}) stays below {duration}( {when})`,
			Means:    "from when a request was due to its final answer",
			Examples: []string{`the p95 latency stays below 400ms during the fault`, `the p99.9 latency of "GET /catalog" stays below 1s`, `the p95 latency of the "checkout" load stays below 400ms during the fault`},
			Check: func(a Args) Check {
				return Latency{Percentile: a.Percentile(0), Route: a.Route(1), Below: a.Duration(2), Window: a.Window(3)}
			},
		}, {
			Name:     "latency against the baseline",
			Pattern:  `the {percentile} latency( of {route}) stays within {number} times the baseline( {when})`,
			Means:    "the same, relative to the baseline of this run",
			Examples: []string{`the p95 latency of "GET /catalog" stays within 1.5 times the baseline during the fault`},
			Check: func(a Args) Check {
				return Latency{Percentile: a.Percentile(0), Route: a.Route(1), Times: a.Times(2), Window: a.Window(3)}
			},
		}}}
}

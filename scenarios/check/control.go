package check

import (
	"cmp"
	"fmt"
	"math"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// SucceedsAsControl passes if, during the fault, the share of requests to a service that succeed is at most so many
// percentage points below that of its untouched copy, the control. Requests are split between the two at random and at
// the same moments, so that what both share does not count.
//
// It is decided by Newcombe's interval for the difference of two proportions, from Wilson's score intervals (Newcombe,
// Statistics in Medicine 17, 1998, method 10): it passes if the upper end of the 95% interval is within the limit, fails if
// the lower end of the 99.8% interval is above it, and is inconclusive otherwise.
type SucceedsAsControl struct {
	Of, Control string
	Points      float64
}

// FastAsControl passes if, during the fault, a percentile of the latency of requests to a service is at most so many
// times that of its untouched copy, or 5 ms above it. It passes if the upper end of the interval of the one is within the
// limit for the lower end of the other (see QuantileInterval; by Bonferroni's inequality with 95% confidence together),
// fails as "stays within N times the baseline" does, with the control in place of the baseline, and is inconclusive
// otherwise.
type FastAsControl struct {
	Of, Control string
	Percentile  float64 // 0..100
	Times       float64
}

// sides are the requests to a service and to its copy.
type sides struct {
	of, control    *journal.History
	t, c           journal.Totals // during the fault
	names          [2]string
	least          int
	disturbed      codes.Message // why the difference proves nothing; none if it may
	before, during [2]side
}

// splitSides returns both sides. least is how many requests each needs.
func splitSides(h *journal.History, of, control string, least int) sides {
	s := sides{of: h.OfCopy(of), control: h.OfCopy(control), names: [2]string{of, control}, least: least}
	s.t, s.c = s.of.Total(journal.During, ""), s.control.Total(journal.During, "")
	for i, half := range []*journal.History{s.of, s.control} {
		for _, w := range []journal.Window{journal.Before, journal.During} {
			t := half.Total(w, "")
			one := side{Sent: t.Sent, OK: h.Good(t), Latency: latencies(half, "", w, false)}
			if w == journal.Before {
				s.before[i] = one
			} else {
				s.during[i] = one
			}
		}
	}
	s.disturbed = s.doubt(h)
	return s
}

// leastOfControl is the least success of the control for a difference from it to show what a fault does.
const leastOfControl = 0.99

// doubt returns why the difference between the sides does not show the effect of the fault, or "" if it may.
func (s sides) doubt(h *journal.History) codes.Message {
	if len(h.Faults) == 0 {
		return codes.NoFaultInjected.Message("no fault was injected")
	}
	for i, t := range []journal.Totals{s.t, s.c} {
		if t.Sent < s.least {
			return codes.TooFewRequests.Msgf("to %q, %s", s.names[i], tooFew(t, "", journal.During, s.least))
		}
		if s.before[i].Sent < minRequests {
			return codes.TooFewRequests.Msgf("%s requests to %q before the fault do not show whether it is like its copy: at least %d are needed", Count(s.before[i].Sent), s.names[i], minRequests)
		}
		if 2*s.before[i].OK < s.before[i].Sent {
			return codes.BaselineUnsteady.Msgf("before the fault only %s of the requests to %q succeeded", ratio(s.before[i].OK, s.before[i].Sent), s.names[i])
		}
	}
	if control := s.during[1]; control.share() < leastOfControl {
		return codes.NotComparable.Msgf("the control %q itself did badly, so that the difference from it proves nothing: %s of its requests succeeded during the fault, and at least %s are needed%s",
			s.names[1], ratio(control.OK, control.Sent), percent(leastOfControl), because(s.c.Errors))
	}
	punctual := func(half *journal.History, w journal.Window) [][]journal.Bucket {
		return latencies(half.WithoutLateness(2, func(journal.Sample) bool { return true }), "", w, false)
	}
	if reason, _ := slower(s.before[1].Latency, punctual(s.control, journal.During), minRise); reason != "" && journal.Count(journal.Merge(s.during[1].Latency...)) >= minCompared {
		return codes.NotComparable.Msgf("the control %q was disturbed, too, so that the difference from it proves nothing: %s", s.names[1], reason)
	}
	for i := range 2 { // either of them
		if lower := successDrop(s.before[i], s.before[1-i], normalQuantile(1-alphaSuccess)); lower > minDrop {
			return codes.NotComparable.Msgf("%q and %q were not alike before the fault: %s and %s of the requests succeeded", s.names[0], s.names[1],
				ratio(s.before[0].OK, s.before[0].Sent), ratio(s.before[1].OK, s.before[1].Sent))
		}
		if reason, _ := slower(s.before[i].Latency, punctual([]*journal.History{s.control, s.of}[i], journal.Before), minRise); reason != "" {
			return codes.NotComparable.Msgf("%q and %q were not alike before the fault: from %q to %q, %s", s.names[0], s.names[1], s.names[i], s.names[1-i], reason)
		}
	}
	return codes.Message{}
}

// Judge implements Check.
func (c SucceedsAsControl) Judge(h *journal.History) Verdict {
	limit := c.Points / 100
	expected := fmt.Sprintf("at most %s below the control", points(c.Points))
	s := splitSides(h, c.Of, c.Control, minRequests)
	got, control := s.during[0], s.during[1]
	v := Verdict{Expected: expected, Window: journal.During, Evidence: first(append(append([]uint64(nil), first(s.t.Seqs)...), s.c.Seqs...))}
	if got.Sent > 0 && control.Sent > 0 {
		v.Observed = fmt.Sprintf("%s, control %s", observed(got.OK, got.Sent), observed(control.OK, control.Sent))
	}
	if !s.disturbed.None() {
		v.Doubt = s.disturbed
		return v
	}
	lowest := successDrop(got, control, normalQuantile(1-alphaSuccess))
	lower, upper := successDrop(got, control, normalQuantile(1-(1-confidence)/2)), -successDrop(control, got, normalQuantile(1-(1-confidence)/2))
	difference := 100 * (control.share() - got.share())
	v.Observed += fmt.Sprintf("; %s below it (%s)", points(round(difference, 2)), interval(number(round(100*lower, 2)), points(round(100*upper, 2))))
	switch {
	case lowest > limit:
		return verdict(false, v, "requests to %q succeeded %s less often than to %q%s%s", c.Of, points(round(difference, 2)), c.Control, because(s.t.Errors), waited(s.t))
	case upper <= limit:
		v.Outcome = Passed
	default:
		v.Doubt = codes.Undecided.Msgf("with %s and %s requests the difference may be up to %s, and more than that is not shown either: send more requests", Count(got.Sent), Count(control.Sent), points(round(100*upper, 2)))
	}
	return v
}

// Judge implements Check.
func (c FastAsControl) Judge(h *journal.History) Verdict {
	s := splitSides(h, c.Of, c.Control, c.least())
	v := Verdict{Expected: fmt.Sprintf("at most %s times the control", number(c.Times)), Window: journal.During, Evidence: first(append(append([]uint64(nil), first(s.t.Seqs)...), s.c.Seqs...))}
	if s.t.Sent > 0 && s.c.Sent > 0 {
		v.Observed = fmt.Sprintf("%s, control %s", quantile(s.t.Latency, c.Percentile), quantile(s.c.Latency, c.Percentile))
	}
	if reason := cmp.Or(s.disturbed, mostlyFailed(s.t, "", journal.During)); !reason.None() {
		v.Doubt = reason
		return v
	}
	got := compareTimes(latencies(s.control, "", journal.During, false), addRemainder(latencies(s.of, "", journal.During, false), s.t.Latency), c.Percentile, c.Times)
	_, upper, known := QuantileInterval(s.t.Latency, c.Percentile)
	lower, _, _ := QuantileInterval(s.c.Latency, c.Percentile)
	p, q := journal.Quantile(s.t.Latency, c.Percentile), journal.Quantile(s.c.Latency, c.Percentile)
	switch limit := timesAllowed(lower, c.Times); {
	case got.Outcome == Failed:
		return verdict(false, v, "p%v to %q was %s, %.1f times that of %q, %s", c.Percentile, c.Of, duration(p), float64(p)/float64(max(1, q)), c.Control, duration(q))
	case got.Outcome == Passed && known && upper <= limit:
		if v.Doubt = inFlight(s.t, c.Percentile, limit); v.Doubt.None() {
			v.Outcome = Passed
		}
	case got.Outcome == Inconclusive:
		v.Doubt = got.Doubt
	default:
		v.Doubt = codes.Undecided.Msgf("with %s and %s requests, p%v to %q may be up to %s, and that of %q as low as %s, and more than %s times is not shown either: send more requests",
			Count(s.t.Sent), Count(s.c.Sent), c.Percentile, c.Of, duration(upper), c.Control, duration(lower), number(c.Times))
	}
	return v
}

func (c FastAsControl) least() int { return Latency{Percentile: c.Percentile}.least() }

// points formats a number of percentage points.
func points(n float64) string {
	if n == 1 {
		return "1 point"
	}
	return number(n) + " points"
}

// String implements Check.
func (c SucceedsAsControl) String() string {
	return fmt.Sprintf("requests to %q succeed at most %s less often than to %q during the fault", c.Of, points(c.Points), c.Control)
}

// String implements Check.
func (c FastAsControl) String() string {
	return fmt.Sprintf("the p%v latency to %q is at most %s times that of %q during the fault", c.Percentile, c.Of, number(c.Times), c.Control)
}

// Kind implements Check.
func (c SucceedsAsControl) Kind() Kind {
	z := normalQuantile(1 - (1-confidence)/2)
	return Kind{Name: "succeeds as control", About: AboutRequests, Means: "the share of successes, compared with that of an untouched copy at the same moments; inconclusive where the copy did badly, too", Unharmed: true,
		Needs: Needs{Load: true, Window: journal.During, Copy: c.Of, Control: c.Control, Requests: 2 * max(minRequests, int(math.Ceil(z*z*(100/max(c.Points, 0.01)-1))))}, // if all succeed
		Sentences: []Sentence{{
			Pattern:  `requests to {name} succeed at most {number} point(s) less often than to {name} during the fault`,
			Means:    "percentage points, by the interval of the difference; the load has to be split between the two",
			Examples: []string{`requests to "orders" succeed at most 1 point less often than to "orders-control" during the fault`},
			Check: func(a Args) Check {
				c := SucceedsAsControl{Of: a.Name(0), Points: a.Times(1), Control: a.Name(2)}
				if c.Points >= 100 {
					a.Problem(1, codes.CannotFail.Msgf("a difference of 100 points can never be exceeded"), "write a number below 100")
				}
				return c
			},
		}}}
}

// Kind implements Check.
func (c FastAsControl) Kind() Kind {
	return Kind{Name: "fast as control", About: AboutRequests, Means: "a percentile of latency, compared with that of an untouched copy at the same moments; inconclusive where the copy was disturbed, too", Timed: true, Unharmed: true,
		Reference: func(s journal.Sample) bool { return s.Copy == c.Control && s.Window != journal.Before },
		Needs:     Needs{Load: true, Window: journal.During, Copy: c.Of, Control: c.Control, Requests: 2 * c.least()},
		Sentences: []Sentence{{
			Pattern:  `the {percentile} latency to {name} is at most {number} times that of {name} during the fault`,
			Means:    "by the intervals of both percentiles; the load has to be split between the two",
			Examples: []string{`the p95 latency to "orders" is at most 1.2 times that of "orders-control" during the fault`},
			Check: func(a Args) Check {
				return FastAsControl{Percentile: a.Percentile(0), Of: a.Name(1), Times: a.Times(2), Control: a.Name(3)}
			},
		}}}
}

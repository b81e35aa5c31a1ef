package check

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// A verdict of a measured check is withheld only where the lateness of the load, or a pause of the runner, can explain
// it. The rule is in this file, and no check has one of its own:
//
//   - Latencies: they are measured from when a request was due. A failure has to remain if requests took less by how late
//     they were sent, and by as much again, since their answers may have been read as late. A pass has to remain if the
//     requests that the check compares with (Kind.Reference) took less by how late they were sent. What is compared with
//     nothing passes as measured: lateness makes no latency shorter. See journal.History.WithoutLateness.
//   - Numbers of requests and calls in a time: at most so many may belong to another time as crossing returns. Checks
//     that count use it.
//   - Pauses: requests that overlap one do not count. A failure has to show before the first pause, since services may
//     have timed out and opened circuit breakers in it. A pass has to remain if the requests that overlap a pause count.
//   - Waits that a relay observed: may be shorter or longer by the longest lateness of the load.

// undisturbed returns the verdict of a check, as far as neither the lateness of the load nor a pause of the runner explains
// it.
func undisturbed(c Check, h *journal.History) Verdict {
	v := punctual(c, h)
	if k := c.Kind(); k.Invariant || k.Implied {
		return v
	}
	return v.allowForPauses(c, h)
}

// punctual returns the verdict of a check, as far as the lateness of the load does not explain it.
func punctual(c Check, h *journal.History) Verdict {
	v, k := asMeasured(c, h), c.Kind()
	if !k.Timed || v.Outcome == Inconclusive {
		return v
	}
	late, other := k.asksAbout, asMeasured(c, v.kinder(k, h))
	if v.Outcome == Passed {
		late = k.comparesWith
	}
	if other.Outcome == v.Outcome {
		return v
	}
	return v.withheldFor(codes.LoadLate.Msgf("not judged, since the load generator may have caused it: %s; it would have %s", lateness(h, late), v.wouldHave()))
}

// kinder returns the history in which lateness explains as much against the verdict as it can.
func (v Verdict) kinder(k Kind, h *journal.History) *journal.History {
	if v.Outcome == Passed {
		return h.WithoutLateness(1, k.comparesWith)
	}
	return h.WithoutLateness(2, k.asksAbout)
}

func (k Kind) comparesWith(s journal.Sample) bool { return k.Reference != nil && k.Reference(s) }
func (k Kind) asksAbout(s journal.Sample) bool    { return !k.comparesWith(s) }

// beforeTheFault is the Reference of checks that compare with the baseline.
func beforeTheFault(s journal.Sample) bool { return s.Window == journal.Before }

// wouldHave describes an outcome that is to be withheld.
func (v Verdict) wouldHave() string {
	if v.Outcome == Failed {
		return "failed: " + v.Reason
	}
	return v.Outcome.String()
}

// withheldFor returns the verdict, inconclusive for a reason outside of the check.
func (v Verdict) withheldFor(doubt codes.Message) Verdict {
	v.Withheld = v.Outcome.String()
	return v.doubted(doubt)
}

// lateness describes how late the requests of some samples were sent.
func lateness(h *journal.History, of func(journal.Sample) bool) string {
	if reason := h.ShortOfCPU(); reason != "" {
		return reason
	}
	slip := h.Slip(of)
	return fmt.Sprintf("one request in a hundred was sent up to %s late, and one %s", duration(journal.Quantile(slip, 99)), duration(journal.Quantile(slip, 100)))
}

// longestSlip returns how late a request of a window was sent, at most.
func longestSlip(h *journal.History, w journal.Window) time.Duration {
	return journal.Quantile(h.Slip(func(s journal.Sample) bool { return dueIn(s.Window, w) }), 100)
}

// crossing returns how many of the requests that were due in a time may have been sent after its end: for any d, those
// that were more than d late, and those that were due in its last d. They are due evenly.
func crossing(slip []journal.Bucket, sent int, took time.Duration) float64 {
	least, late := math.Inf(1), journal.Count(slip)
	if late == 0 {
		return 0
	}
	for _, b := range slip {
		late -= b.N
		least = min(least, float64(late)+float64(sent)*b.Up.Seconds()/max(took, time.Millisecond).Seconds())
	}
	return min(least, float64(sent))
}

// crossed returns crossing for the requests of some windows.
func crossed(h *journal.History, in func(journal.Window) bool) float64 {
	of := func(s journal.Sample) bool { return in(s.Window) }
	return crossing(h.Slip(of), h.Sum(of).Sent, windowLength(h, in))
}

// unfinished returns how many of the requests that were due in a window and ended in it may have had no answer at any one
// moment.
func unfinished(h *journal.History, w journal.Window) float64 {
	in := func(got journal.Window) bool { return got == w }
	all := h.Sum(func(s journal.Sample) bool { return in(s.Window) })
	return crossing(all.Latency, all.Sent, windowLength(h, in))
}

// allowForPauses withholds a verdict that a pause of the runner may have caused. A failure still counts if the requests
// that ended before the first pause show it: one in the window of the check, or before it since the fault phase began.
func (v Verdict) allowForPauses(c Check, h *journal.History) Verdict {
	switch v.Outcome {
	case Passed:
		if !slices.ContainsFunc(h.Samples, func(s journal.Sample) bool { return s.Paused }) {
			return v
		}
		if with := punctual(c, h.WithPaused(c.Kind().asksAbout)); with.Outcome != Passed {
			v = v.withheldFor(codes.RunnerPaused.Message("it passes without the requests that overlap a pause of the runner, but with them: " + with.Reason))
		}
		return v
	case Inconclusive:
		return v.explainPauses(c, h)
	}
	p, ok := h.PauseBefore(v.Window)
	if !ok {
		return v
	}
	before := punctual(c, h.Until(p.From))
	switch {
	case before.Outcome == Failed && before.Observed == v.Observed:
		return v // the pause began after the end of the window
	case before.Outcome == Failed:
		before.Reason += fmt.Sprintf("; judged up to +%.1fs, since %s", p.From.Seconds(), p)
		return before
	}
	return v.withheldFor(codes.RunnerPaused.Msgf("not judged, since %s, which may have caused the failure; it would have %s", p, v.wouldHave()))
}

// explainPauses adds to a verdict for want of requests that some do not count, if there are enough with these.
func (v Verdict) explainPauses(c Check, h *journal.History) Verdict {
	if v.Doubt.Code() != codes.TooFewRequests || !slices.ContainsFunc(h.Samples, func(s journal.Sample) bool { return s.Paused }) {
		return v
	}
	if with := punctual(c, h.WithPaused(func(journal.Sample) bool { return true })); with.Outcome == Inconclusive && with.Doubt.Code() == codes.TooFewRequests {
		return v
	}
	return v.doubted(codes.TooFewRequests.Msgf("%s; those that overlap a pause of the runner do not count", v.Doubt))
}

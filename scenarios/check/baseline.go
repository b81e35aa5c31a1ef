package check

import (
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// BaselineSteady passes if the baseline is within the steady state: the declared one, with a success of at least
// 99% if none is declared, and with at most half fallbacks. In addition, nine in ten of the requests that were due
// must have been sent, and latency must not climb. If faults are injected, 20 requests are needed. The baseline is
// the phase of that name; later changes of the load do not matter. If it was too short for a request and no fault
// follows, the whole run is judged. Requests that are counted have no such phase: those that were sent before the
// fault, if there are any, are judged by the steady state alone.
type BaselineSteady struct{ Steady []Steady }

// Judge implements Check. It may be called during the scenario, immediately after the baseline.
func (c BaselineSteady) Judge(h *journal.History) Verdict {
	const expected = "a steady baseline"
	phase, ok := h.Phase("baseline")
	if h.Load == nil && !ok && len(h.Phases) > 0 {
		return Verdict{Outcome: Passed, Observed: "no load, no baseline", Expected: expected}
	}
	if h.Gate != nil {
		return inconclusive(expected, journal.Before, codes.BaselineUnsteady, "%s; nothing was injected", h.Gate.Reason)
	}
	b := h.Sum(func(s journal.Sample) bool { return s.Window == journal.Before && !s.Paused && s.From < phase.To })
	counted := h.Load != nil && h.Load.Shape == "counted"
	if b.Sent == 0 && len(h.Faults) == 0 || counted {
		b = h.Total(journal.Before, "")
	}
	if b.Sent == 0 && b.OneWay > 0 {
		return Verdict{Outcome: Passed, Observed: "requests are not answered, so that no baseline can be measured", Expected: expected}
	}
	if counted && (b.Sent == 0 || len(h.Faults) == 0) {
		return Verdict{Outcome: Passed, Observed: "requests are counted, without a baseline", Expected: expected}
	}
	if !ok && !counted || b.Sent == 0 {
		return inconclusive(expected, journal.Before, codes.BaselineUnsteady, "no request was answered before the fault")
	}
	if due := b.Sent + b.Unsent; b.Unsent*10 > due {
		return inconclusive(expected, journal.Before, codes.BaselineUnsteady, "the baseline was not steady: only %s of the %s requests that were due were sent", Count(b.Sent), Count(due))
	}
	// While the load still runs, a fault is about to be injected. Two missing requests are tolerated, as in
	// LoadDelivered.
	if (len(h.Faults) > 0 && !counted || h.Load == nil) && b.Sent+2 < minRequests {
		return inconclusive(expected, journal.Before, codes.BaselineUnsteady, "the baseline is too short: %s", tooFew(b, "", journal.Before, minRequests))
	}
	v := Verdict{Outcome: Passed, Expected: expected, Window: journal.Before, Evidence: first(b.Seqs)}
	if h.FallbackIsSuccess && 2*b.Fallback > b.Sent {
		return inconclusive(expected, journal.Before, codes.BaselineUnsteady, "the baseline was not steady: %s of the responses were fallbacks, so that the system was degraded before any fault", ratio(b.Fallback, b.Sent))
	}
	for _, s := range withSuccess(c.Steady) {
		ok, got := s.meets(h, b)
		v.Observed = strings.TrimPrefix(v.Observed+"; "+s.observed(h, b), "; ")
		if !ok {
			return inconclusive(expected, journal.Before, codes.BaselineUnsteady, "the baseline was not within the steady state: %s%s%s", got, because(b.Errors), unexpected(h))
		}
	}
	half := phase.From + (phase.To-phase.From)/2
	early := h.Sum(func(s journal.Sample) bool { return s.Window == journal.Before && s.From < half })
	late := h.Sum(func(s journal.Sample) bool { return s.Window == journal.Before && s.From >= half && s.From < phase.To })
	p, q := journal.Quantile(early.Latency, 95), journal.Quantile(late.Latency, 95)
	if early.Sent >= minRequests && late.Sent >= minRequests && q > farAbove(p) {
		return inconclusive(expected, journal.Before, codes.BaselineUnsteady, "the baseline was not steady: p95 rose from %s to %s", duration(p), duration(q))
	}
	return v
}

func (BaselineSteady) String() string { return "the baseline was steady" }

// coldStart returns why a percentile of the baseline does not describe the system when the fault was injected: it
// was much lower at the end of the baseline, as after a cold start, and would hide a slowdown during the fault. It
// returns "" if it was not, or if the difference may be chance. BaselineSteady judges the opposite, a system that
// became slower.
func coldStart(h *journal.History, route string, percentile float64) codes.Message {
	from, _ := h.Phase("baseline")
	to, _, _ := h.FaultSpan()
	part := func(begin, end time.Duration) []journal.Bucket {
		return h.Sum(func(s journal.Sample) bool {
			return s.Window == journal.Before && !s.Paused && (route == "" || s.Route == route) && s.From >= begin && s.From < end
		}).Latency
	}
	all := journal.Quantile(part(0, to), percentile)
	for _, last := range []time.Duration{2, 4} {
		begin := to - (to-from.From)/last
		early, late := part(0, begin), part(begin, to)
		m, n := journal.Count(early), journal.Count(late)
		if m < minRequests || n < minRequests {
			continue
		}
		end := journal.Quantile(late, percentile)
		slow := func(part []journal.Bucket) (n float64) {
			for _, b := range part {
				if b.Up > farAbove(end) {
					n += float64(b.N)
				}
			}
			return n
		}
		if all > farAbove(end) && hypergeometricTail(slow(early), slow(early)+slow(late), float64(m), float64(m+n)) <= alphaColdStart {
			return codes.BaselineUnsteady.Msgf("the baseline was not steady: its p%v%s was %s, and %s at its end, so that it is slower than the system was when the fault was injected. A longer baseline, or a wait before it, would help",
				percentile, of(route), duration(all), duration(end))
		}
	}
	return codes.Message{}
}

// alphaColdStart is the significance level of coldStart.
const alphaColdStart = 0.001

// farAbove returns what the percentile of one part of the baseline must exceed to differ from that of another
// part, d. Smaller differences are caused by caches and compilers.
func farAbove(d time.Duration) time.Duration { return 2*d + 50*time.Millisecond }

// Kind implements Check.
func (BaselineSteady) Kind() Kind {
	k := implied("baseline steady", "20 requests or more before the fault, and success, rate and latency even and within the steady state (success of at least 99%)")
	k.Needs.Requests = minRequests
	return k
}

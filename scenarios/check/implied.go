package check

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Implied are the checks that every scenario is judged by, unasked. They pass or are inconclusive: they tell whether the drill was one.
func Implied(steady []Steady) []Check {
	return []Check{FaultsActed{}, Healed{}, BaselineSteady{Steady: steady}, LoadDelivered{}, NotRepeated{}, BooksBalance{}}
}

// FaultsActed: every fault affected something; a partition did when one of its links was touched.
type FaultsActed struct{}

// Judge implements Check.
func (FaultsActed) Judge(h *journal.History) Verdict {
	const expected = "every fault touched something"
	v := Verdict{Outcome: Passed, Expected: expected, Evidence: seqs(h, "fault")}
	acted := 0
	var idle []string
	for _, in := range h.Wholes() {
		if in.Affected > 0 {
			acted++
			continue
		}
		why := in.Hint
		if why == "" {
			why = fmt.Sprintf("it saw %s %s", Count(in.Seen), in.Unit)
		}
		idle = append(idle, fmt.Sprintf("%s (%s)", in.Says, why))
	}
	v.Observed = fmt.Sprintf("%d of %d", acted, acted+len(idle))
	if h.End == nil && len(h.Phases) == 0 {
		return unclear(expected, "", "nothing happened")
	}
	if len(idle) > 0 {
		v.Outcome = Inconclusive
		v.Reason = "touched nothing: " + strings.Join(idle, "; ")
	}
	return v
}

func (FaultsActed) String() string { return "every fault touched something" }

// Healed: every injection was healed, without an error.
type Healed struct{}

// Judge implements Check.
func (Healed) Judge(h *journal.History) Verdict {
	const expected = "every fault was healed"
	if len(h.Phases) == 0 {
		return unclear(expected, "", "nothing happened")
	}
	for _, in := range h.Faults {
		switch {
		case in.Healed == 0:
			return unclear(expected, "", "%s was never healed", in.Says)
		case in.Error != "":
			return unclear(expected, "", "healing %s: %s", in.Says, in.Error)
		}
	}
	return Verdict{Outcome: Passed, Observed: fmt.Sprintf("%d of %d", len(h.Faults), len(h.Faults)), Expected: expected, Evidence: seqs(h, "fault")}
}

func (Healed) String() string { return "every fault was healed" }

// BaselineSteady: where faults are injected under load, the baseline meets the steady state: the declared one, or success of 99% at least; nine in ten of the
// requests that were due were sent, and latency does not climb.
type BaselineSteady struct{ Steady []Steady }

// Judge implements Check.
func (c BaselineSteady) Judge(h *journal.History) Verdict {
	const expected = "a steady baseline"
	phase, ok := h.Phase("baseline")
	if h.Load == nil && !ok && len(h.Phases) > 0 {
		return Verdict{Outcome: Passed, Observed: "no load, no baseline", Expected: expected}
	}
	b := h.Total(journal.Before, "")
	if !ok || b.Sent == 0 {
		return unclear(expected, journal.Before, "no request was answered before the fault")
	}
	if due := b.Sent + b.Unsent; b.Unsent*10 > due {
		return unclear(expected, journal.Before, "the baseline was not steady: only %s of the %s requests that were due were sent", Count(b.Sent), Count(due))
	}
	steady := c.Steady
	if len(steady) == 0 {
		steady = []Steady{{Measure: "success", Ratio: 0.99}}
	}
	v := Verdict{Outcome: Passed, Expected: expected, Window: journal.Before, Evidence: first(b.Seqs)}
	for _, s := range steady {
		ok, got := s.meets(b)
		v.Observed = strings.TrimPrefix(v.Observed+"; "+got, "; ")
		if !ok {
			return unclear(expected, journal.Before, "the baseline was not steady: %s%s", got, because(b.Errors))
		}
	}
	half := phase.From + (phase.To-phase.From)/2
	early := h.Sum(func(s journal.Sample) bool { return s.Window == journal.Before && s.From < half })
	late := h.Sum(func(s journal.Sample) bool { return s.Window == journal.Before && s.From >= half })
	p, q := journal.Quantile(early.Latency, 95), journal.Quantile(late.Latency, 95)
	if early.Sent > 0 && late.Sent > 0 && q > 2*p+50*time.Millisecond {
		return unclear(expected, journal.Before, "the baseline was not steady: p95 rose from %s to %s", duration(p), duration(q))
	}
	return v
}

func because(errors map[string]int) string {
	if len(errors) == 0 {
		return ""
	}
	return ": " + kinds(errors)
}

func (BaselineSteady) String() string { return "the baseline was steady" }

// LoadDelivered: the load was sent as asked, but for one percent.
type LoadDelivered struct{}

// Judge implements Check.
func (LoadDelivered) Judge(h *journal.History) Verdict {
	const expected = "at least 99% of the load sent"
	if h.Load == nil {
		if len(h.Samples) == 0 && len(h.Phases) > 0 {
			return Verdict{Outcome: Passed, Observed: "no load was asked for", Expected: expected}
		}
		return unclear(expected, "", "the load never ended in order")
	}
	l := h.Load
	v := Verdict{Observed: fmt.Sprintf("%s of %s sent, at most %d of %d at once, p99 of slip %s", Count(l.Sent), Count(l.Intended), l.Workers, l.Bound, duration(l.SlipP99)), Expected: expected, Evidence: seqs(h, "load")}
	switch {
	case l.Error != "":
		v.Reason = "the load broke: " + l.Error
	case l.Sent == 0:
		v.Reason = "nothing was sent"
	case float64(l.Unsent) > 0.01*float64(l.Intended):
		why := fmt.Sprintf("the generator was saturated (%d at once)", l.Bound)
		if l.Workers < l.Bound {
			why = fmt.Sprintf("this machine did not keep up (one in a hundred left %s late or later)", duration(l.SlipP99))
		}
		v.Reason = fmt.Sprintf("%s requests were due and never sent: %s", Count(l.Unsent), why)
	default:
		v.Outcome = Passed
	}
	return v
}

func (LoadDelivered) String() string { return "the load was delivered" }

// NotRepeated: the wire saw exactly the attempts that the client policy asked for; else duplicates might be our own.
type NotRepeated struct{}

// Judge implements Check.
func (NotRepeated) Judge(h *journal.History) Verdict {
	const expected = "as many requests on the wire as attempts"
	if h.Load == nil {
		if len(h.Samples) == 0 && len(h.Phases) > 0 {
			return Verdict{Outcome: Passed, Observed: "no load was asked for", Expected: expected}
		}
		return unclear(expected, "", "the load never ended in order")
	}
	v := Verdict{Outcome: Passed, Observed: fmt.Sprintf("%s attempts, %s on the wire", Count(h.Load.Attempts), Count(h.Load.Wire)), Expected: expected, Evidence: seqs(h, "load")}
	// An attempt that finds nobody listening is not on the wire, so the totals alone could hide a repetition.
	if more := max(h.Load.Repeated, h.Load.Wire-h.Load.Attempts); more > 0 {
		v.Outcome = Inconclusive
		v.Reason = fmt.Sprintf("%s requests went out that nobody asked for: the generator repeated them, and the system must not be blamed", Count(more))
	}
	return v
}

func (NotRepeated) String() string { return "the load generator repeated nothing by itself" }

// BooksBalance: what went into each relay came out again, or is accounted for. What the kernel dropped on links of datagrams is told; where effects are
// counted, it makes the drill inconclusive.
type BooksBalance struct{}

// Judge implements Check.
func (BooksBalance) Judge(h *journal.History) Verdict {
	const expected = "in + copies + injected = out + dropped + swallowed + withheld + collateral"
	if len(h.Phases) == 0 {
		return unclear(expected, "", "nothing happened")
	}
	for _, b := range h.Books {
		in, out := b.In+b.Copies+b.Injected, b.Out+b.Dropped+b.Swallowed+b.Withheld+b.Collateral
		if in != out || b.Held != 0 {
			return unclear(expected, "", "on %s (to server: %v) %s messages went in, %s came out and %s are still held: the relay lost some", b.Link, b.ToServer, Count(in), Count(out), Count(b.Held))
		}
	}
	v := Verdict{Outcome: Passed, Observed: fmt.Sprintf("%d accounts balance", len(h.Books)), Expected: expected, Evidence: seqs(h, "books")}
	if slices.ContainsFunc(h.Losses, func(l journal.Loss) bool { return !l.Known }) {
		v.Observed += "; what the kernel drops of datagrams is not known here"
	}
	n, where := dropped(h)
	if n == 0 {
		return v
	}
	v.Observed += fmt.Sprintf("; %s datagrams lost, and not by a fault: %s", Count(n), where)
	v.Evidence = append(v.Evidence, seqs(h, "loss")...)
	if h.EffectsRead != nil {
		v.Outcome = Inconclusive
		v.Reason = fmt.Sprintf("%s datagrams were lost, and not by a fault (%s): effects may be missing that the system is not to blame for; less load, or larger buffers (net.core.rmem_max), would help", Count(n), where)
	}
	return v
}

// dropped is what was lost on links of datagrams that no fault lost.
func dropped(h *journal.History) (n int64, where string) {
	var each []string
	for _, l := range h.Losses {
		if l.Unattributed() == 0 {
			continue
		}
		n += l.Unattributed()
		each = append(each, fmt.Sprintf("on %s the kernel dropped %s at the link and %s at the dependency, %s could not be sent", l.Link, Count(l.AtLink), Count(l.AtServer), Count(l.Unsent)))
	}
	return n, strings.Join(each, "; ")
}

func (BooksBalance) String() string { return "the relays' books balance" }

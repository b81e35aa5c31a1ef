package check

import (
	"fmt"
	"slices"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// GivesUp passes if, during the fault, From waits at most Within for an answer of To, and no call of the load
// still waits after that time. An excess of a tenth or 50 ms, whichever is more, is tolerated.
//
// It is inconclusive in these cases:
//
//   - From gave up on no call: no fault affected the link or To, no call waited clearly longer than in the
//     baseline, or each was answered in time.
//   - The fault was healed before Within had passed.
//   - The clients of the load gave up earlier and may have ended the waits.
//   - Only calls that shared their connection with others waited longer: a caller can give up on one of them without a
//     sign on the link.
type GivesUp struct {
	From, To string
	Within   time.Duration
}

// Bound returns how long a wait may last before it violates the check.
func (c GivesUp) Bound() time.Duration { return c.Within + tolerance(c.Within) }

// Judge implements Check.
func (c GivesUp) Judge(h *journal.History) Verdict {
	expected := "at most " + Duration(c.Within)
	link := c.From + " -> " + c.To
	sum := h.CallsTotal(journal.During, func(l string) bool { return l == link })
	open, waited := openCalls(h, link)
	switch {
	case len(h.Faults) == 0:
		return inconclusive(expected, journal.During, codes.NoFaultInjected, "no fault was injected")
	case sum.Calls == 0 && open == 0:
		return inconclusive(expected, journal.During, codes.NotObservable, "%s", c.noCallReason(h))
	}
	longest, shared := journal.Quantile(journal.Subtract(sum.Duration, sum.Shared), 100), journal.Quantile(sum.Shared, 100)
	if shared <= c.Bound() {
		longest = max(longest, shared)
	}
	v := Verdict{
		Observed: fmt.Sprintf("waited at most %s; gave up on %s of %s calls", duration(longest), Count(sum.GaveUp), Count(sum.Calls)),
		Expected: expected, Window: journal.During, Evidence: unique(append(slices.Clone(seqs(h, "calls")), seqs(h, "accounts")...)),
	}
	short := longest <= c.Bound()
	switch {
	case short && open > 0 && waited > c.Bound():
		v.Observed += fmt.Sprintf("; %s never ended", Count(open))
		return verdict(false, v, "%q waited for %s answers of %q that had not arrived %s after the end of the load", c.From, Count(open), c.To, duration(waited))
	case short && open > 0:
		v.Doubt = codes.NotObservable.Msgf("%s calls from %q to %q had not ended at the end of the scenario: how long they wait is not known", Count(open), c.From, c.To)
		return v
	case short && shared > c.Bound():
		v.Doubt = codes.NotObservable.Msgf("calls that shared their connection with others were answered after up to %s: whether %q had given up on them before does not show on the link; let it use a connection for each call in flight", duration(shared), c.From)
		return v
	case short:
		if v.Doubt = c.untested(h, longest, sum.GaveUp); !v.Doubt.None() {
			return v
		}
	}
	if slip := longestSlip(h, journal.During); short != (longest+slip <= c.Bound()) || short != (longest-slip <= c.Bound()) {
		v.Doubt = codes.LoadLate.Msgf("the wait may be shorter or longer than observed by %s, since Firedrill was that late: that decides whether it is within %s", duration(slip), Duration(c.Within))
		return v
	}
	return verdict(short, v, "%q waited %s for an answer of %q", c.From, duration(longest), c.To)
}

// clearlyLonger returns what a wait must exceed to be clearly longer than usual.
func clearlyLonger(usual time.Duration) time.Duration { return 2*usual + 5*time.Millisecond }

// noCallReason returns why no call was seen.
func (c GivesUp) noCallReason(h *journal.History) string {
	link := c.From + " -> " + c.To
	for _, in := range h.Faults {
		if in.On == link && in.Affected > 0 && in.Unseen {
			return c.unseenReason(in.Sentence)
		}
	}
	return fmt.Sprintf("%q made no call to %q during the fault", c.From, c.To)
}

// unseenReason returns the reason of an inconclusive check if a fault keeps calls from reaching the link, and
// suggests other faults. sentence is that of the fault.
func (c GivesUp) unseenReason(sentence string) string {
	return fmt.Sprintf("how long %q waits cannot be observed, since %s and its calls do not reach the link: use `requests from %q to %q are lost, then silence`, or `%q hangs`", c.From, sentence, c.From, c.To, c.To)
}

// untested returns why short waits prove nothing, or "" if they prove something.
func (c GivesUp) untested(h *journal.History, longest time.Duration, gaveUp int) codes.Message {
	link := c.From + " -> " + c.To
	usual := journal.Quantile(h.CallsTotal(journal.Before, func(l string) bool { return l == link }).Duration, 100)
	from, to, _ := h.FaultSpan()
	held := affectedAny(h, link, c.To) && !slices.ContainsFunc(h.Faults, func(in *journal.Injection) bool { return (in.On == link || in.On == c.To) && !in.Waits })
	switch {
	case held && to-from < c.Bound() && longest > clearlyLonger(usual):
		return codes.TooShort.Msgf("the fault lasted %s, and healing it ends every wait: no call could wait for %s", duration(to-from), Duration(c.Within))
	case gaveUp > 0:
		return codes.NotObservable.Message(c.cancelled(h, longest, gaveUp))
	case !affectedAny(h, link, c.To):
		return codes.NotExercised.Msgf("no fault affected a call from %q to %q, so there was no call to give up on", c.From, c.To)
	case longest <= clearlyLonger(usual):
		return codes.NotExercised.Msgf("no call from %q to %q had to wait clearly longer than in the baseline (%s), so there was no call to give up on", c.From, c.To, duration(usual))
	}
	return codes.NotExercised.Msgf("%q gave up on no call to %q: each was answered within %s, so it is not known when it would give up; a fault that makes calls wait longer than %s would show it", c.From, c.To, duration(longest), Duration(c.Within))
}

// cancelled returns why the clients of the load, and not From, may have ended the waits: they give up before
// Within, and a service may cancel the calls that it makes for a client that gave up. It returns "" if a wait
// lasted longer than clients do, or if more waits than clients were given up, with a tolerance of a tenth.
func (c GivesUp) cancelled(h *journal.History, longest time.Duration, gaveUp int) string {
	l := h.Load
	if l == nil || l.GiveUp == 0 || c.Bound() < l.GiveUp && !l.EndsEarly || longest > l.GiveUp+tolerance(l.GiveUp) {
		return ""
	}
	left := h.Sum(func(s journal.Sample) bool {
		return s.Window == journal.AtInjection || s.Window == journal.During || s.Window == journal.AtHealing
	}).GaveUp
	if float64(left) < 0.9*float64(gaveUp) {
		return ""
	}
	if l.EndsEarly {
		return fmt.Sprintf("%s calls were given up on, and clients of the load gave up %s times, after %s or earlier: that may have ended the waits; let clients neither send second attempts nor give up on requests", Count(gaveUp), Count(left), Duration(l.GiveUp))
	}
	return fmt.Sprintf("%s calls were given up on, and clients of the load gave up %s times, after %s each: that may have ended the waits; let clients give up later than %s", Count(gaveUp), Count(left), Duration(l.GiveUp), Duration(c.Within))
}

// openCalls returns how many calls of a link had not ended when the scenario did, and for how long they had waited
// at least.
func openCalls(h *journal.History, link string) (n int64, waited time.Duration) {
	for _, b := range h.Accounts {
		if b.Link == link && b.ToServer {
			n, waited = n+b.Open, b.OpenFor
		}
	}
	return n, waited
}

// affectedAny reports whether a fault acted on one of these links and services.
func affectedAny(h *journal.History, on ...string) bool {
	return slices.ContainsFunc(h.Faults, func(in *journal.Injection) bool { return in.Affected > 0 && slices.Contains(on, in.On) })
}

// String implements Check.
func (c GivesUp) String() string {
	return fmt.Sprintf("%q gives up on %q within %s", c.From, c.To, Duration(c.Within))
}

// Kind implements Check.
func (c GivesUp) Kind() Kind {
	return Kind{Name: "gives up", About: AboutCalls, Means: "the longest wait for a dependency's answer; inconclusive where no call was given up on", Idle: true, Timed: true,
		Needs:    Needs{Window: journal.During, From: c.From, To: c.To, Calls: true, Waits: c.Bound()},
		Untested: c.notGivenUp,
		Sentences: []Sentence{{
			Pattern:  `{name} gives up on {name} within {duration}`,
			Means:    "the longest wait of one for the other's answer",
			Examples: []string{`"orders" gives up on "payments" within 1s`},
			Check:    func(a Args) Check { return GivesUp{From: a.Name(0), To: a.Name(1), Within: a.Duration(2)} },
		}}}
}

// notGivenUp returns why From has to give up on no call, or why that would not be seen.
func (c GivesUp) notGivenUp(d Drill) string {
	var latest time.Duration
	on, late, unseen := 0, 0, 0
	says := ""
	for _, f := range d.Faults {
		if f.On != c.From+" -> "+c.To && f.On != c.To {
			continue
		}
		on++
		if f.Delay > 0 {
			late, latest = late+1, max(latest, f.Delay)
		}
		if f.Unseen {
			unseen, says = unseen+1, f.Says
		}
	}
	switch {
	case on == 0:
		return ""
	case unseen == on:
		return c.unseenReason(says)
	case late == on && latest <= c.Within:
		return fmt.Sprintf("the fault makes no call wait for longer than %s, so nothing has to be given up on; use a longer delay", Duration(latest))
	case d.Held > 0 && d.Held < c.Bound():
		return fmt.Sprintf("the fault lasts %s, and healing it ends every wait, so that nothing waits longer; let it last longer than %s", Duration(d.Held), Duration(c.Bound()))
	case c.Bound() >= d.GiveUp:
		return fmt.Sprintf("clients of the load give up after %s, which may end the waits of %q; let clients give up later than %s", Duration(d.GiveUp), c.From, Duration(c.Within))
	}
	return ""
}

package check

import (
	"fmt"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// StopsCalling passes if, from Within after the beginning of the fault until its end, From makes no more calls to To
// than the probes of an open circuit breaker: in the ten seconds from each second on, as many as one a second, or 5% of
// the normal calls if that is more. Normal is what the requests of that time cause in the baseline.
//
// It is inconclusive in these cases:
//
//   - From did not call To in the baseline, or the load or the fault ended too early: 20 normal calls are needed
//     after Within.
//   - The fault keeps calls away from the link.
//   - More calls than the probes were still waiting for an answer when the fault was healed: a caller that is blocked
//     makes no calls either.
type StopsCalling struct {
	From, To string
	Within   time.Duration
}

// Judge implements Check.
func (c StopsCalling) Judge(h *journal.History) Verdict {
	expected := "no calls but probes after " + Duration(c.Within)
	if len(h.Faults) == 0 {
		return inconclusive(expected, journal.During, codes.NoFaultInjected, "no fault was injected")
	}
	link := c.From + " -> " + c.To
	perRequest, reason := callsPerRequest(h, link)
	for _, why := range []string{reason, unseenCalls(h, c.From, c.To), separateWindows(h)} {
		if why != "" {
			return inconclusive(expected, journal.During, codes.NotComparable, "%s", why)
		}
	}
	began := liveSince(h)
	all := callSlices(h, link, perRequest, began, func(w journal.Window) bool { return w == journal.During || w == journal.AtHealing })
	late := 0 // the first slice that is judged
	for late < len(all) && all[late].from < began+c.Within-time.Millisecond {
		late++
	}
	rest := sum(all[late:])
	v := Verdict{Expected: expected, Window: journal.During, Evidence: seqs(h, "calls")}
	if rest.normal < minRequests {
		v.Doubt = codes.TooShort.Msgf("after %s the load would normally have caused %.0f calls until the fault was healed: at least %d are needed, by a longer fault or more load", Duration(c.Within), rest.normal, minRequests)
		return v
	}
	v.Observed = rest.describe()
	from, busy := stopped(all, late)
	if from <= late {
		v.Observed = fmt.Sprintf("stopped after %s; then %s", duration(max(0, all[from].from-began)), sum(all[from:]).describe())
		if waiting := heldAtHealing(h, link); float64(waiting) > max(probeTime.Seconds(), probeShare*rest.normal) {
			v.Doubt = codes.NotObservable.Msgf("%s calls still waited for an answer when the fault was healed, so that %q may have been blocked and not have stopped: a longer fault, or a fault whose calls end, would show it", Count(waiting), c.From)
			return v
		}
		return verdict(true, v, "")
	}
	return verdict(false, v, "%q did not stop calling %q: %s from +%.1fs", c.From, c.To, busy.describe(), busy.from.Seconds())
}

// liveSince returns when the first fault began to act.
func liveSince(h *journal.History) time.Duration {
	began, _, _ := h.FaultSpan()
	if live := h.Faults[0].Live; live > 0 {
		return live
	}
	return began
}

// heldAtHealing returns how many calls of a link waited for an answer when healing began.
func heldAtHealing(h *journal.History, link string) (n int) {
	for _, s := range h.Calls {
		if s.Link == link && s.Window == journal.AtHealing {
			n += s.Calls
		}
	}
	return n
}

func (c StopsCalling) scope() (string, journal.Window) { return "", journal.During }

// String implements Check.
func (c StopsCalling) String() string {
	return fmt.Sprintf("%q stops calling %q within %s of the fault", c.From, c.To, Duration(c.Within))
}

// Kind implements Check.
func (c StopsCalling) Kind() Kind {
	return Kind{Name: "stops calling", About: AboutCalls, Means: "a circuit breaker opens in time and stays open: until healing there are no more calls than its probes, one a second or 5% of the normal calls", Idle: true,
		Needs:    Needs{Load: true, Baseline: true, Window: journal.During, From: c.From, To: c.To, Calls: true, Requests: minRequests},
		Untested: c.notSeen,
		Sentences: []Sentence{{
			Pattern:  `{name} stops calling {name} within {duration} of the fault`,
			Means:    "a circuit breaker: until healing, no more calls than one a second or 5% of the normal ones, which probe whether the other works again",
			Examples: []string{`"orders" stops calling "payments" within 5s of the fault`},
			Check:    func(a Args) Check { return StopsCalling{From: a.Name(0), To: a.Name(1), Within: a.Duration(2)} },
		}}}
}

// notSeen returns why it will not be seen whether From stops.
func (c StopsCalling) notSeen(d Drill) string {
	for _, f := range d.Faults {
		if f.On == c.From+" -> "+c.To && f.Unseen {
			return unseenStop(c.From, c.To, f.Says)
		}
	}
	if d.Lasts > 0 && d.Lasts <= c.Within {
		return fmt.Sprintf("the fault lasts %s, so that nothing is left of it after %s; let it last longer", Duration(d.Lasts), Duration(c.Within))
	}
	return ""
}

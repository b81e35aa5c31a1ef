package check

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Detects passes if a probe of the system file, such as an alert, says no before the fault and yes within a time after
// the fault's first effect. Answers that do not arrive show neither.
type Detects struct {
	Probe  string
	Within time.Duration
}

// Judge implements Check.
func (c Detects) Judge(h *journal.History) Verdict {
	w := observations(h, c.Probe, func(o journal.Observation) bool { return o.Unanswered == "" })
	w.name = fmt.Sprintf("the probe %q", c.Probe)
	return turns(h, w, turn{to: true, word: "detected", within: c.Within})
}

func (c Detects) String() string {
	return fmt.Sprintf("the probe %q detects the fault within %s", c.Probe, Duration(c.Within))
}

// Kind implements Check.
func (c Detects) Kind() Kind {
	return Kind{Name: "detects", About: AboutHealth, Means: "a probe of the system file, such as an alert, says no before the fault and yes soon after its first effect", Timed: true,
		CannotFail: func(d Drill) string { return d.endsBefore(c.Within) },
		Needs:      Needs{Load: true, Window: journal.During, Ask: Asked{Probe: c.Probe}},
		Sentences: []Sentence{{
			Pattern:  `the probe {text} detects the fault within {duration}`,
			Means:    "a probe of the system file says no before the fault, and yes soon after its first effect; the time that this took is printed",
			Examples: []string{`the probe "alert firing" detects the fault within 60s`},
			Check:    func(a Args) Check { return Detects{Probe: a.Name(0), Within: a.Duration(1)} },
		}}}
}

// endsBefore returns why a change that may take so long cannot come too late: the faults have ended by then.
func (d Drill) endsBefore(within time.Duration) string {
	if d.Lasts == 0 || within < d.Lasts {
		return ""
	}
	return fmt.Sprintf("the fault lasts %s, so that nothing is left of it after %s; let it last longer, or write a shorter time", Duration(d.Lasts), Duration(within))
}

// turn is a change of what a probe of yes or no answers, expected within a time after the fault's first effect.
type turn struct {
	to       bool
	word     string // "unhealthy"
	within   time.Duration
	onlyLive bool // a change counts only while the fault is live
}

// turns judges a turn. A change is known to lie between two observations, so that one around the end of the time is
// inconclusive.
func turns(h *journal.History, w watch, t turn) Verdict {
	expected := t.word + " within " + Duration(t.within)
	acted, ok := faultActed(h)
	if !ok {
		return inconclusive(expected, journal.During, codes.NoFaultInjected, "no fault was injected")
	}
	if why := w.baselineOf(h, acted, !t.to); why != "" {
		return inconclusive(expected, journal.During, codes.ProbeUnanswered, "%s", why)
	}
	_, healed, _ := h.FaultSpan()
	deadline := acted + t.within
	turned := w.index(func(o journal.Observation) bool {
		return o.Yes == t.to && o.Answered() >= acted && (!t.onlyLive || o.Answered() <= healed)
	})
	late := w.index(func(o journal.Observation) bool { return o.Yes != t.to && o.Asked >= deadline && o.Asked <= healed })
	v := Verdict{Expected: expected, Window: journal.During, Observed: "not " + t.word}
	if turned >= 0 {
		v.Observed, v.Evidence = fmt.Sprintf("%s after %s", t.word, duration(w.all[turned].Answered()-acted)), w.around(turned)
	}
	switch {
	case turned >= 0 && w.all[turned].Answered() <= deadline:
		if v.Doubt = codes.ProbeUnanswered.Message(w.local); !v.Doubt.None() {
			return v
		}
		return verdict(true, v, "")
	case late >= 0 && (turned < 0 || late < turned):
		v.Evidence = w.around(late)
		return verdict(false, v, "%s answered %s, %s after the fault's first effect", w.name, describeAnswer(w.all[late]), duration(w.all[late].Asked-acted))
	case healed < deadline:
		v.Doubt = codes.TooShort.Msgf("the fault acted for %s only, and %s may take %s: let it last longer", duration(healed-acted), w.name, Duration(t.within))
	case turned > 0:
		v.Doubt = codes.Undecided.Msgf("%s changed between +%.1fs and +%.1fs: whether that was in time is not known", w.name, w.all[turned-1].Asked.Seconds(), w.all[turned].Answered().Seconds())
	default:
		why := cmp.Or(w.missing(acted, deadline), fmt.Sprintf("%s gave no answer between +%.1fs, when the time had passed, and the end of the fault", w.name, deadline.Seconds()))
		if w.why != "" && !strings.Contains(why, w.why) {
			why += ": " + w.why
		}
		v.Doubt = codes.ProbeUnanswered.Message(why)
	}
	return v
}

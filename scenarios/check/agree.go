package check

import (
	"fmt"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Agree passes if two sources of effects list the same effects of the requests that had ended when faults were healed:
// each key equally often and, where both list values, with the same ones. They have to agree soon enough after healing,
// and to the end of that time.
type Agree struct {
	Sources [2]string
	Within  time.Duration
}

// Judge implements Check.
func (c Agree) Judge(h *journal.History) Verdict {
	expected := fmt.Sprintf("the same effects within %s of healing", Duration(c.Within))
	for i, a := range h.Agreements {
		if a.Sources == c.Sources && a.Within == c.Within {
			return c.judge(h, a, Verdict{Expected: expected, Observed: describeAgreement(a), Evidence: seq(h, "agreement", i)})
		}
	}
	return inconclusive(expected, "", codes.Unfinished, "the sources were not compared: the run ended before")
}

func (c Agree) judge(h *journal.History, a journal.Agreement, v Verdict) Verdict {
	agreed := a.Since > 0
	if !agreed {
		for _, d := range a.Differs {
			v.Details = append(v.Details, describeDifference(a.Sources, d))
		}
	}
	switch {
	case a.Error != "":
		v.Doubt = codes.EffectsUnknown.Message(a.Error)
	case a.Keys == 0:
		v.Doubt = codes.NotExercised.Msgf("no request that carries a key and changes something had ended when faults were healed")
	case a.Listed[0] == 0 || a.Listed[1] == 0:
		v.Doubt = codes.NotExercised.Msgf("%s lists no effect of these requests: nothing shows that it lists them at all", emptySource(a))
	case a.First > a.Within:
		v.Doubt = codes.TooShort.Msgf("they were read for the first time %s after healing: let the check follow the fault at once, or allow more time", Duration(a.First.Round(10*time.Millisecond)))
	case !agreed && a.Differ == 0:
		v.Doubt = codes.Undecided.Msgf("they differed in the last reading only: it is not known whether they agree")
	case !agreed:
		return verdict(false, v, "%s of %s keys differ %s after healing: %s", Count(a.Differ), Count(a.Keys), Duration(a.Last.Round(100*time.Millisecond)), v.Details[0])
	case a.Since > a.Within:
		v.Doubt = codes.TooShort.Msgf("they agreed only at the last reading, %s after healing: allow more time", Duration(a.Since.Round(10*time.Millisecond)))
	default:
		if v.Doubt = codes.NotExercised.Message(writesMetFault(h)); v.Doubt.None() {
			v.Outcome = Passed
		}
	}
	return v
}

// writesMetFault returns why no write is known to have met a fault, or "" if one did.
func writesMetFault(h *journal.History) string {
	met := false
	for _, r := range journal.Packed(&h.Requests) {
		met = met || !r.Common.Reads && r.MetFault(h)
	}
	switch {
	case !met:
		return "no request that changes something met the fault: its effect on the sources is not known"
	case onlyReads(h.Faults):
		for _, route := range changingRoutes(h) {
			if routeDidWorse(h, route) {
				return ""
			}
		}
		return "the faults affected only calls that read, and no request that changes something did worse than in the baseline: nothing shows that one of them met a fault"
	}
	return ""
}

func emptySource(a journal.Agreement) string {
	if a.Listed[0] == 0 {
		return a.Sources[0]
	}
	return a.Sources[1]
}

func describeAgreement(a journal.Agreement) string {
	text := fmt.Sprintf("%s keys; %s effects in %s, %s in %s", Count(a.Keys), Count(a.Listed[0]), a.Sources[0], Count(a.Listed[1]), a.Sources[1])
	if a.Valued > 0 {
		text += fmt.Sprintf("; values of %s keys compared", Count(a.Valued))
	}
	last := Duration(a.Last.Round(100 * time.Millisecond))
	switch {
	case a.Since > 0 && a.Since == a.First:
		return text + fmt.Sprintf("; the same from the first reading, %s after healing, to the last, %s after it", Duration(a.Since.Round(10*time.Millisecond)), last)
	case a.Since > 0:
		return text + fmt.Sprintf("; the same from %s after healing to the last reading, %s after it", Duration(a.Since.Round(10*time.Millisecond)), last)
	}
	return text + fmt.Sprintf("; read until %s after healing", last)
}

// describeDifference describes a key that differs, and which source lacks it.
func describeDifference(sources [2]string, d journal.Difference) string {
	of := func(i int) string {
		switch {
		case d.Count[i] == 0:
			return sources[i] + " lacks it"
		case len(d.Values[i]) > 0:
			return fmt.Sprintf("%s has %s (%s)", sources[i], counted(d.Count[i]), strings.Join(d.Values[i], ", "))
		}
		return fmt.Sprintf("%s has %s", sources[i], counted(d.Count[i]))
	}
	return fmt.Sprintf("key %s: %s, and %s", d.Key, of(0), of(1))
}

func counted(n int) string { return fmt.Sprintf("%s effect%s", Count(n), plural(n)) }

func (c Agree) String() string {
	return fmt.Sprintf("%q and %q agree within %s of healing", c.Sources[0], c.Sources[1], Duration(c.Within))
}

// Kind implements Check.
func (c Agree) Kind() Kind {
	return Kind{Name: "agree", About: AboutEffects, Means: "two sources list the same effects, soon after healing and from then on", Invariant: true, Refusing: true, Timed: true,
		Needs: Needs{Load: true, Key: true, Agree: c},
		Sentences: []Sentence{{
			Pattern: `{effects} and {effects} agree within {duration} of healing`,
			Means: "two routes or sources of the system file: of the requests that had ended when faults were healed, both list each key equally often and, where both list values, with the same ones; " +
				"they are read until the time has passed, and the moment since when they agree is stated",
			Examples: []string{`"orders table" and "billing" agree within 30s of healing`},
			Check: func(a Args) Check {
				return Agree{Sources: [2]string{a.EffectSource(0), a.EffectSource(1)}, Within: a.Duration(2)}
			},
		}}}
}

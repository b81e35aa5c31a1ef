package check

import (
	"fmt"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Affected passes if faults affected at least AtLeast calls (or connections, or traffic) from From to To. If From
// is "", it is about the service To.
type Affected struct {
	AtLeast  int64
	Unit     string // "calls", "connections", "traffic"; "" for a service
	From, To string
}

// Judge implements Check.
func (c Affected) Judge(h *journal.History) Verdict {
	on := c.To
	if c.From != "" {
		on = c.From + " -> " + c.To
	}
	expected := fmt.Sprintf("at least %s", Count(c.AtLeast))
	var affected, seen, background int64
	var sentences []string
	for _, in := range h.Faults {
		if in.On == on {
			affected += in.AffectedByLoad()
			seen += in.Seen
			background += in.Background
			sentences = append(sentences, in.Sentence)
		}
	}
	if len(sentences) == 0 {
		return inconclusive(expected, journal.During, codes.NoFaultInjected, "no fault was injected on %s", on)
	}
	v := Verdict{Observed: fmt.Sprintf("%s affected, %s seen", Count(affected), Count(seen)), Expected: expected, Window: journal.During, Evidence: seqs(h, "fault")}
	if background > 0 {
		v.Observed += fmt.Sprintf("; %s more may not be caused by the load", Count(background))
	}
	if affected < c.AtLeast {
		v.Doubt = codes.FaultMetNothing.Msgf("only %s of the %s seen were affected (%s): the fault was weaker than required", Count(affected), Count(seen), strings.Join(sentences, "; "))
		return v // too little evidence is not a failure of the system
	}
	v.Outcome = Passed
	return v
}

// String implements Check.
func (c Affected) String() string {
	if c.From == "" {
		return fmt.Sprintf("%q was affected by the fault", c.To)
	}
	return fmt.Sprintf("at least %d %s from %q to %q were affected by the fault", c.AtLeast, c.Unit, c.From, c.To)
}

// Kind implements Check.
func (c Affected) Kind() Kind {
	return Kind{Name: "affected", About: AboutFaults, Means: "the drill was as strong as it says; inconclusive otherwise", Idle: true,
		Needs: Needs{Window: journal.During, From: c.From, To: c.To, Unit: c.Unit, Fault: true},
		Sentences: []Sentence{{
			Pattern:  `at least {number} {unit} from {name} to {name} were affected by the fault`,
			Means:    "the drill was as strong as it says; inconclusive otherwise",
			Examples: []string{`at least 100 calls from "orders" to "payments" were affected by the fault`},
			Check: func(a Args) Check {
				return Affected{AtLeast: a.Count(0, 1), Unit: a.Value(1), From: a.Name(2), To: a.Name(3)}
			},
		}, {
			Name:     "service affected",
			Pattern:  `{name} was affected by the fault`,
			Means:    "a fault on the service itself acted; inconclusive otherwise",
			Examples: []string{`"payments" was affected by the fault`},
			Check:    func(a Args) Check { return Affected{AtLeast: 1, To: a.Name(0)} },
		}}}
}

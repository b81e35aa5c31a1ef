package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Implied returns the checks that apply to every scenario: they decide whether it is valid. They are in order of
// importance: reports name the first inconclusive one as the reason.
func Implied(steady []Steady) []Check {
	return []Check{
		InTime{}, ServicesStayed{}, NoTrouble{}, NoneByHand{}, BaselineSteady{Steady: steady}, LoadDelivered{}, FaultsActed{}, Healed{}, NotRepeated{}, AccountsAddUp{}, EffectsSettled{}, ProvesSomething{},
	}
}

// InTime passes if the scenario did not reach its time limit. What had not happened by then was not observed.
type InTime struct{}

// Judge implements Check.
func (InTime) Judge(h *journal.History) Verdict {
	const expected = "the scenario ends by itself"
	if len(h.Phases) == 0 {
		return inconclusive(expected, "", codes.Unfinished, "the scenario did not run")
	}
	if h.TimedOut != nil {
		return inconclusive(expected, "", codes.TimedOut, "%s", h.TimedOut.Reason)
	}
	return Verdict{Outcome: Passed, Observed: "it ended by itself", Expected: expected}
}

func (InTime) String() string { return "the scenario was over before its time limit" }

// ServicesStayed passes if no service exited unexpectedly.
type ServicesStayed struct{}

// Judge implements Check.
func (ServicesStayed) Judge(h *journal.History) Verdict {
	const expected = "every service runs until the scenario stops it"
	if len(h.Phases) == 0 {
		return inconclusive(expected, "", codes.Unfinished, "the scenario did not run")
	}
	v := Verdict{Outcome: Passed, Observed: fmt.Sprintf("%d changes of services, all requested", len(h.Processes)), Expected: expected}
	for i, p := range h.Processes {
		if p.What != "exited" {
			continue
		}
		v.Evidence = append(v.Evidence, seq(h, "process", i)...)
		if v.Outcome == Passed {
			v.Outcome = Inconclusive
			v.Observed = fmt.Sprintf("%s exited unexpectedly at +%.1fs: %s", p.Service, p.At.Seconds(), p.Detail)
			v.Doubt = codes.ServiceExited.Msgf("service %q exited unexpectedly at +%.1fs (%s): the measurements do not show the system under the fault", p.Service, p.At.Seconds(), p.Detail)
			v.Details = slices.DeleteFunc(strings.Split(p.Log, "\n"), func(line string) bool { return line == "" })
		}
	}
	return v
}

func (ServicesStayed) String() string { return "no service exited unexpectedly" }

// NoTrouble passes if the runner carried out everything and had no errors of its own.
type NoTrouble struct{}

// Judge implements Check.
func (NoTrouble) Judge(h *journal.History) Verdict {
	const expected = "no errors of the runner"
	if len(h.Phases) == 0 {
		return inconclusive(expected, "", codes.Unfinished, "the scenario did not run")
	}
	if len(h.Troubles) > 0 {
		return Verdict{Expected: expected, Observed: Count(len(h.Troubles)), Doubt: codes.RunnerTrouble.Message(h.Troubles[0]), Details: h.Troubles[1:], Evidence: seqs(h, "trouble")}
	}
	return Verdict{Outcome: Passed, Observed: "none", Expected: expected}
}

func (NoTrouble) String() string { return "the runner had no errors of its own" }

// ProvesSomething passes if at least one check would fail for a system that does nothing.
type ProvesSomething struct{}

// Judge implements Check.
func (ProvesSomething) Judge(h *journal.History) Verdict {
	const expected = "a check that fails for a dead system"
	if len(h.Phases) == 0 {
		return inconclusive(expected, "", codes.Unfinished, "the scenario did not run")
	}
	if h.Unproven != "" {
		return inconclusive(expected, "", codes.ProvesNothing, "%s", h.Unproven)
	}
	return Verdict{Outcome: Passed, Observed: "there is one", Expected: expected}
}

func (ProvesSomething) String() string {
	return "the checks distinguish a working system from a dead one"
}

// Kind implements Check.
func (InTime) Kind() Kind {
	return implied("in time", "the scenario was over before its time limit, if it has one")
}

// Kind implements Check.
func (NoTrouble) Kind() Kind { return implied("no trouble", "the runner itself had no trouble") }

// Kind implements Check.
func (ProvesSomething) Kind() Kind {
	return implied("proves something", "a system that does nothing would not satisfy the checks")
}

// Kind implements Check.
func (ServicesStayed) Kind() Kind {
	return implied("services stayed", "no service exited unexpectedly")
}

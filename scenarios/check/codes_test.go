package check

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// outsideOfChecks are the codes of reasons that no check gives. The tests of runner and reports produce them.
var outsideOfChecks = []codes.Code{codes.NoCheck, codes.NotStarted, codes.Skipped, codes.Stopped, codes.Aborted, codes.Interrupted}

// reasonCases has an inconclusive verdict for each code.
var reasonCases = map[codes.Code]struct {
	check Check
	bug   func(scenario)
}{
	codes.ServiceExited: {ServicesStayed{}, func(s scenario) {
		s.Processes = []journal.TimedProcess{{At: time.Second, Process: journal.Process{Service: "db", What: "exited"}}}
	}},
	codes.TimedOut:         {InTime{}, func(s scenario) { s.TimedOut = &journal.TimedOut{Reason: "it took longer than 2m"} }},
	codes.RunnerTrouble:    {NoTrouble{}, func(s scenario) { s.Troubles = []string{"the disk is full"} }},
	codes.BaselineUnsteady: {BaselineSteady{}, func(s scenario) { s.every(journal.Before, failing(5)) }},
	codes.LoadNotDelivered: {LoadDelivered{}, func(s scenario) { s.Load.Requested = 1200 }},
	codes.LoadRepeated:     {NotRepeated{}, func(s scenario) { s.Load.Wire++ }},
	codes.FaultMetNothing:  {FaultsActed{}, func(s scenario) { s.Faults[0].Affected = 0 }},
	codes.FaultNotHealed:   {Healed{}, func(s scenario) { s.Faults[0].Healed = 0 }},
	codes.InjectedByHand:   {NoneByHand{}, func(s scenario) { s.Faults[0].By = "ann" }},
	codes.RelayAccounting:  {AccountsAddUp{}, func(s scenario) { s.Accounts[0].Wrong = "9 were delivered" }},
	codes.EffectsUnknown:   {ExactlyOnce{}, func(s scenario) { s.EffectsRead.Error = "status 500" }},
	codes.ProvesNothing:    {ProvesSomething{}, func(s scenario) { s.Unproven = "no check" }},
	codes.NoFaultInjected:  {Success{Ratio: 0.9, Window: journal.During}, func(s scenario) { s.Faults = nil }},
	codes.NotExercised:     {RefusesExcess{Statuses: []int{429}, Within: time.Second, Window: journal.During}, func(scenario) {}},
	codes.TooFewRequests:   {Success{Ratio: 0.9, Window: journal.During}, func(s scenario) { s.every(journal.During, func(x *journal.Sample) { x.Sent, x.OK = 2, 2 }) }},
	codes.TooShort:         {ErrorBudget{Spend: 0.05, Days: 30, Objective: 0.999}, func(scenario) {}},
	codes.ProbeUnanswered:  {QueueBounded{Queue: "another", Most: 10}, func(scenario) {}},
	codes.NotObservable: {GivesUp{From: "orders", To: "payments", Within: time.Second}, func(s scenario) {
		s.addGivenUp(400 * ms)
		s.addCalls(7, journal.During, "orders -> payments", 3, 3*time.Second)
		last := &s.Calls[len(s.Calls)-1]
		last.Shared = last.Duration
	}},
	codes.NotComparable: {Fallback{Ratio: 0.1, Window: journal.During, Mark: Mark{Text: "X-Degraded: true"}}, func(s scenario) {
		for _, w := range []journal.Window{journal.Before, journal.During} {
			s.every(w, func(x *journal.Sample) { x.OK, x.Fallback = x.OK-20, 20 })
		}
	}},
	codes.Undecided: {NotAffected{Route: "POST /orders"}, func(s scenario) {
		s.every(journal.During, failing(1))
	}},
	codes.LoadLate: {RefusesExcess{Statuses: []int{429}, Within: 50 * ms, Window: journal.During}, func(s scenario) {
		s.every(journal.During, rejecting(429, 10, 90*ms))
		s.every(journal.During, sendLate)
	}},
	codes.RunnerPaused: {Success{Ratio: 0.99, Window: journal.During}, func(s scenario) {
		s.every(journal.During, failing(5))
		s.Pauses = []journal.Pause{{From: 5 * time.Second, To: 5*time.Second + 200*ms, Took: 200 * ms}}
	}},
	codes.Unfinished:    {NoTrouble{}, func(s scenario) { s.Phases = nil }},
	codes.InternalError: {panicking{}, func(scenario) {}},
}

type panicking struct{ Success }

func (panicking) Judge(*journal.History) Verdict { panic("a defect") }

// TestReasonsHaveCodes: each reason for an inconclusive verdict has its code, and each code of the table has a case.
func TestReasonsHaveCodes(t *testing.T) {
	missing := map[string]bool{}
	for _, r := range codes.Table() {
		missing[r.Code] = r.Of == codes.OfReason || r.Of == codes.OfBoth
	}
	for _, code := range outsideOfChecks {
		missing[code.String()] = false
	}
	for code, c := range reasonCases {
		s := newScenario()
		c.bug(s)
		v := Ask(c.check, s.History)
		assert.Equal(t, Inconclusive, v.Outcome, "%s: %s", code, v.Observed)
		assert.Equal(t, code.String(), v.Doubt.Code().String(), v.Reason)
		assert.Equal(t, v.Doubt.String(), v.Reason)
		missing[code.String()] = false
	}
	for code, is := range missing {
		assert.False(t, is, "no case has the code %q", code)
	}
}

// TestEveryInconclusiveVerdictHasACode: each kind of check, asked of each history of the cases, and of one without facts.
func TestEveryInconclusiveVerdictHasACode(t *testing.T) {
	histories := []*journal.History{{}, newScenario().History}
	for _, c := range reasonCases {
		s := newScenario()
		c.bug(s)
		histories = append(histories, s.History)
	}
	seen := 0
	for _, k := range Kinds() {
		for _, h := range histories {
			v := Ask(k.Value, h)
			if v.Outcome != Inconclusive {
				require.True(t, v.Doubt.None(), k.Name)
				continue
			}
			seen++
			require.NotEmpty(t, v.Doubt.Code().String(), k.Name)
			require.NotEqual(t, codes.InternalError, v.Doubt.Code(), "%s: %s", k.Name, v.Reason)
		}
	}
	require.Greater(t, seen, 100)
}

// TestWithheldVerdictsHaveTheCodeOfTheCause: a check that passed in a scenario that is not valid has the code of the
// condition that was not met.
func TestWithheldVerdictsHaveTheCodeOfTheCause(t *testing.T) {
	s := newScenario()
	s.Faults[0].Affected = 0
	answers, _ := Judge(s.History, []Check{Success{Ratio: 0.5, Window: journal.During}}, Implied(nil))
	require.Equal(t, "passed", answers[0].Withheld)
	require.Equal(t, codes.FaultMetNothing, answers[0].Doubt.Code(), answers[0].Reason)
}

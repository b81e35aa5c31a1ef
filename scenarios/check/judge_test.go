package check

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

type broken struct{}

func (broken) Judge(*journal.History) Verdict { panic("boom") }

func (broken) String() string { return "broken" }
func (broken) Kind() Kind     { return Kind{} }

func TestPanicIsInconclusive(t *testing.T) {
	v := Ask(broken{}, newScenario().History)
	require.Equal(t, Inconclusive, v.Outcome)
	require.Contains(t, v.Reason, "boom")
}

func TestScenarioOutcome(t *testing.T) {
	verdicts := func(outcomes ...string) (all []journal.Verdict) {
		for _, o := range outcomes {
			all = append(all, journal.Verdict{Kind: "success", Outcome: o})
		}
		return all
	}
	for _, c := range []struct {
		end      *journal.End
		verdicts []journal.Verdict
		want     string
	}{
		{&journal.End{}, verdicts("passed"), "passed"},
		{&journal.End{}, verdicts("passed", "inconclusive"), "inconclusive"},
		{&journal.End{}, verdicts("inconclusive", "failed"), "failed"},
		{&journal.End{}, verdicts("passed", "nonsense"), "inconclusive"},
		{&journal.End{}, nil, "inconclusive"},
		{&journal.End{}, []journal.Verdict{{Kind: "healed", Outcome: "passed"}}, "inconclusive"},
		{nil, verdicts("passed"), "inconclusive"},
		{&journal.End{Outcome: "inconclusive"}, verdicts("passed"), "inconclusive"},
		{&journal.End{Outcome: "stopped"}, verdicts("failed"), "stopped"},
		{&journal.End{Outcome: "interrupted"}, verdicts("passed"), "interrupted"},
		{&journal.End{Outcome: "skipped"}, nil, "skipped"},
	} {
		require.Equal(t, c.want, ScenarioOutcome(&journal.History{End: c.end, Verdicts: c.verdicts}))
	}
}

// TestVerdictRules verifies the rule in the package documentation: the effect of a scenario that is not valid on
// measured checks and invariants, both when they hold and when they are violated.
func TestVerdictRules(t *testing.T) {
	measured, invariant := Success{Ratio: 0.99, Window: journal.During}, NoneTwice{}
	held := func(scenario) {}
	bad := func(s scenario) { s.every(journal.During, failing(5)); s.twice("k2") }
	for name, c := range map[string]struct {
		system, conditions  func(scenario)
		measured, invariant Outcome
		withheld, reason    string // of the measured check
	}{
		"valid, held":             {held, held, Passed, Passed, "", ""},
		"valid, violated":         {bad, held, Failed, Failed, "", ""},
		"bad baseline, held":      {held, func(s scenario) { s.every(journal.Before, failing(5)) }, Inconclusive, Inconclusive, "passed", "since it is not shown that the baseline was steady"},
		"bad baseline, violated":  {bad, func(s scenario) { s.every(journal.Before, failing(5)) }, Inconclusive, Failed, "failed", "it would have failed: 20 of 200 requests"},
		"idle fault, violated":    {bad, func(s scenario) { s.Faults[0].Affected = 0 }, Inconclusive, Failed, "failed", "every fault acted on its target"},
		"timed out, violated":     {bad, func(s scenario) { s.TimedOut = &journal.TimedOut{Reason: "it took longer than 2m"} }, Inconclusive, Failed, "failed", "the scenario was over before its time limit"},
		"trouble, violated":       {bad, func(s scenario) { s.Troubles = []string{"no disk"} }, Inconclusive, Failed, "failed", "the runner had no errors of its own"},
		"never healed, violated":  {bad, func(s scenario) { s.Faults[0].Healed = 0; s.Faults[0].Error = "x" }, Inconclusive, Failed, "failed", "every fault was healed"},
		"load repeated, held":     {held, func(s scenario) { s.Load.Wire++ }, Inconclusive, Inconclusive, "passed", "repeated no request by itself"},
		"load repeated, violated": {bad, func(s scenario) { s.Load.Wire++ }, Inconclusive, Inconclusive, "failed", "repeated no request by itself"},
		"relay lost, violated":    {bad, func(s scenario) { s.Accounts[0].Wrong = "9 were delivered" }, Inconclusive, Inconclusive, "failed", "the counters of the relays add up"},
		"requests no check":       {bad, func(s scenario) { s.Unproven = "no check requested" }, Failed, Failed, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScenario()
			c.system(s)
			c.conditions(s)
			answers, validity := Judge(s.History, []Check{measured, invariant}, Implied(nil))
			require.Len(t, answers, 2)
			assert.Equal(t, c.measured, answers[0].Outcome, answers[0].Reason)
			assert.Equal(t, c.invariant, answers[1].Outcome, answers[1].Reason)
			assert.Equal(t, c.withheld, answers[0].Withheld)
			assert.Contains(t, answers[0].Reason, c.reason)
			for _, v := range append(validity, answers...) {
				assert.True(t, v.Outcome == Passed || v.Reason != "")
			}
		})
	}
}

// TestInvalidScenarioNeverFails requires that no measured check fails in a scenario that is not valid.
func TestInvalidScenarioNeverFails(t *testing.T) {
	conditions := []func(scenario){
		func(s scenario) { s.Troubles = []string{"x"} }, func(s scenario) { s.Faults[0].Background = 1000 }, func(s scenario) { s.Load.Error = "x" },
		func(s scenario) { s.Gate = &journal.Gate{Reason: "x"} }, func(s scenario) { s.Load.Unsent, s.Load.Requested = 500, 1450 },
		func(s scenario) { s.Processes = []journal.TimedProcess{{Process: journal.Process{What: "exited"}}} },
	}
	for name, p := range violations {
		k, _ := KindNamed(KindOf(p.check))
		for i, condition := range conditions {
			s := newScenario()
			p.bug(s)
			condition(s)
			answers, _ := Judge(s.History, []Check{p.check}, Implied(nil))
			if k.Invariant {
				require.Equal(t, Failed, answers[0].Outcome, "%s %d", name, i)
			} else {
				require.Equal(t, Inconclusive, answers[0].Outcome, "%s %d", name, i)
			}
		}
	}
}

// TestRunnerPauseIsNoFailure: a pause can make services time out and open their circuit breakers, so that requests
// fail that are due after it. Failures before the pause still count.
func TestRunnerPauseIsNoFailure(t *testing.T) {
	during := Success{Ratio: 0.99, Window: journal.During}
	after := Success{Ratio: 0.99, Window: journal.After}
	recovers := Recovers{Route: "POST /orders", Within: time.Second}
	for name, c := range map[string]struct {
		check  Check
		paused time.Duration // start of a pause of 101 ms
		bad    func(second int) bool
		want   Outcome
		reason string
	}{
		"what fails later":           {during, 7500 * ms, func(i int) bool { return i >= 8 }, Inconclusive, "the runner was paused for 101ms from +7.5s, which may have caused the failure; it would have failed: 50 of 200"},
		"what failed before":         {during, 9900 * ms, func(i int) bool { return i >= 6 }, Failed, "75 of 150 requests did not succeed during the fault: timeout (75); judged up to +9.9s, since the runner was paused for 101ms from +9.9s"},
		"too few before":             {during, 6500 * ms, func(i int) bool { return i >= 6 }, Inconclusive, "paused for 101ms from +6.5s"},
		"in the fault, bad after it": {after, 7500 * ms, func(i int) bool { return i >= 10 }, Inconclusive, "paused for 101ms from +7.5s"},
		"after the window":           {during, 12 * time.Second, func(i int) bool { return i == 9 }, Failed, "25 of 200"},
		"just before the fault":      {during, 5500 * ms, func(i int) bool { return i == 6 }, Inconclusive, "paused for 101ms from +5.5s"},
		"early in the baseline":      {during, 2 * time.Second, func(i int) bool { return i == 6 }, Failed, "25 of 200"},
		"no recovery":                {recovers, 7500 * ms, func(i int) bool { return i >= 10 }, Inconclusive, "paused for 101ms from +7.5s"},
		"too late when it pauses":    {recovers, 13200 * ms, func(i int) bool { return i >= 10 }, Failed, "it was not steady in any of the 3 seconds that were observed: success 50.0% (25 of 50) in the second from +12.0s"},
		"in time when it pauses":     {recovers, 12900 * ms, func(i int) bool { return i >= 10 }, Inconclusive, "paused for 101ms from +12.9s"},
		"steady in between":          {recovers, 13200 * ms, func(i int) bool { return i == 10 || i >= 12 }, Inconclusive, "paused for 101ms from +13.2s"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScenario()
			for i := range s.Samples {
				if x := &s.Samples[i]; c.bad(int(x.From / time.Second)) {
					failing(25)(x)
				}
			}
			s.twice("k2")
			s.Pauses = []journal.Pause{{From: c.paused, To: c.paused + 101*ms, Took: 101 * ms}}
			answers, _ := Judge(s.History, []Check{c.check, NoneTwice{}}, Implied(nil))
			require.Equal(t, c.want, answers[0].Outcome, answers[0].Reason)
			require.Contains(t, answers[0].Reason, c.reason)
			if c.want == Failed {
				require.Equal(t, strings.Contains(name, "when it pauses") || c.paused > 6*time.Second && c.paused < 10*time.Second, strings.Contains(answers[0].Reason, "judged up to"), "a pause elsewhere is no news")
			}
			require.Equal(t, Failed, answers[1].Outcome, "an invariant holds whatever the conditions")
		})
	}
}

// TestRequestsDuringPauseMayDecide: without the requests that overlap a pause the check passes, and with them it would
// not.
func TestRequestsDuringPauseMayDecide(t *testing.T) {
	for _, c := range []struct {
		check Check
		spoil func(*journal.Sample)
	}{
		{NothingSlower{Than: time.Second, Window: journal.During}, func(s *journal.Sample) { s.Latency = []journal.Bucket{{Up: 5 * time.Second, N: 1}} }},
		{Success{Ratio: 0.99, Window: journal.During}, func(s *journal.Sample) { s.OK, s.Errors = 0, map[string]int{"timeout": s.Sent} }},
	} {
		s := newScenario()
		x := s.second(7, journal.During, "POST /orders", 10, 10*ms)
		x.Paused = true
		answers, _ := Judge(s.History, []Check{c.check}, nil)
		require.Equal(t, Passed, answers[0].Outcome, answers[0].Reason)
		c.spoil(x)
		require.Equal(t, Passed, asMeasured(c.check, s.History).Outcome)
		answers, _ = Judge(s.History, []Check{c.check}, nil)
		require.Equal(t, Inconclusive, answers[0].Outcome, c.check)
		require.Contains(t, answers[0].Reason, "it passes without the requests that overlap a pause of the runner")
	}
}

// TestPausesLeaveTooFewRequests: the reason of a verdict for want of requests says that some do not count.
func TestPausesLeaveTooFewRequests(t *testing.T) {
	check := Latency{Percentile: 95, Below: time.Second, Window: journal.During}
	for paused, reason := range map[bool]string{false: "too few: at least 100 are needed", true: "too few: at least 100 are needed; those that overlap a pause of the runner do not count"} {
		s := newScenario()
		for i := range s.Samples {
			x := &s.Samples[i]
			if x.Paused = paused && x.Window == journal.During && x.From > 6*time.Second; x.Window == journal.During && !paused && x.From > 6*time.Second {
				x.Sent, x.OK, x.Latency = 0, 0, nil
			}
		}
		answers, _ := Judge(s.History, []Check{check}, nil)
		require.Equal(t, Inconclusive, answers[0].Outcome)
		require.Regexp(t, reason+"$", answers[0].Reason)
	}
}

// TestOwnStepFailsOnlyValidScenario: a failed user-defined step in an invalid scenario is not a failure of the
// system.
func TestOwnStepFailsOnlyValidScenario(t *testing.T) {
	h := newScenario().History
	h.Verdicts = []journal.Verdict{{Kind: "faults acted", Outcome: "passed"}, {Kind: OwnStep, Outcome: "failed"}, {Kind: "success", Outcome: "passed"}}
	require.Equal(t, "failed", ScenarioOutcome(h))
	h.Verdicts[0].Outcome = "inconclusive"
	require.Equal(t, "inconclusive", ScenarioOutcome(h))
}

// fixedCheck is a check with a fixed verdict.
type fixedCheck struct{ v Verdict }

func (o fixedCheck) Judge(*journal.History) Verdict { return o.v }

func (fixedCheck) String() string { return "odd" }
func (fixedCheck) Kind() Kind     { return Kind{} }

// TestUntestedByScenario: if the scenario shows that passing a check proves nothing, a pass is inconclusive and a
// failure stands.
func TestUntestedByScenario(t *testing.T) {
	s := newScenario()
	s.Untested = []string{"", "nothing connects them", "nothing connects them"}
	requested := []Check{Success{Ratio: 0.9}, NotAffected{"POST /orders"}, Success{Ratio: 0.9, Window: journal.After}}
	s.every(journal.After, failing(20))
	answers, _ := Judge(s.History, requested, nil)
	require.Equal(t, []Outcome{Failed, Inconclusive, Failed}, []Outcome{answers[0].Outcome, answers[1].Outcome, answers[2].Outcome})
	require.Equal(t, "nothing connects them", answers[1].Reason)
}

// TestKnownToFail: a check that is known to fail passes as long as it fails, and fails once it holds. What proves nothing
// remains inconclusive.
func TestKnownToFail(t *testing.T) {
	s := newScenario()
	s.Findings = []int{0, 1, 2}
	s.Untested = []string{"", "", "nothing connects them"}
	requested := []Check{Success{Ratio: 0.9}, Success{Ratio: 0.9, Window: journal.Before}, NotAffected{"POST /orders"}, Success{Ratio: 0.9}}
	s.every(journal.After, failing(20))
	answers, _ := Judge(s.History, requested, nil)
	var outcomes []Outcome
	for _, v := range answers {
		outcomes = append(outcomes, v.Outcome)
	}
	require.Equal(t, []Outcome{Passed, Failed, Inconclusive, Failed}, outcomes)
	require.True(t, answers[0].Finding)
	require.Equal(t, answers[3].Reason, answers[0].Reason, "the reason says what was found")
	require.Contains(t, answers[1].Reason, "known to fail, and it held")
	require.False(t, answers[3].Finding)
}

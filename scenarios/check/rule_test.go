package check

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

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
		"idle fault, violated":    {bad, func(s scenario) { s.Faults[0].Affected = 0 }, Inconclusive, Failed, "failed", "every fault met what it is about"},
		"trouble, violated":       {bad, func(s scenario) { s.Troubles = []string{"no disk"} }, Inconclusive, Failed, "failed", "the runner had no trouble of its own"},
		"never healed, violated":  {bad, func(s scenario) { s.Faults[0].Healed = 0; s.Faults[0].Error = "x" }, Inconclusive, Failed, "failed", "every fault was healed"},
		"load repeated, held":     {held, func(s scenario) { s.Load.Wire++ }, Inconclusive, Inconclusive, "passed", "repeated nothing by itself"},
		"load repeated, violated": {bad, func(s scenario) { s.Load.Wire++ }, Inconclusive, Inconclusive, "failed", "repeated nothing by itself"},
		"relay lost, violated":    {bad, func(s scenario) { s.Accounts[0].Wrong = "9 were delivered" }, Inconclusive, Inconclusive, "failed", "what the relays carried adds up"},
		"asks for nothing":        {bad, func(s scenario) { s.Unproven = "nothing asked" }, Failed, Failed, "", ""},
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
		func(s scenario) { s.Gate = &journal.Gate{Reason: "x"} }, func(s scenario) { s.Load.Unsent, s.Load.Asked = 500, 1450 },
		func(s scenario) { s.Processes = []journal.TimedProcess{{Process: journal.Process{What: "exited"}}} },
	}
	for name, p := range violations {
		k := p.check.Kind()
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

// TestFewRequests requires that too few requests never pass, and fail only if chance does not explain the result.
func TestFewRequests(t *testing.T) {
	for _, c := range []struct {
		sent, bad int
		ratio     float64
		want      Outcome
	}{
		{3, 0, 0.99, Inconclusive}, {19, 0, 0.5, Inconclusive}, {20, 0, 0.99, Passed}, {3, 3, 0.99, Failed}, {3, 1, 0.99, Inconclusive},
		{10, 2, 0.99, Inconclusive}, {10, 4, 0.99, Failed}, {10, 6, 0.5, Inconclusive}, {10, 10, 0.5, Failed}, {5, 1, 1, Failed}, {20, 1, 0.99, Failed},
	} {
		s := newScenario()
		s.Samples = nil
		x := s.second(6, journal.During, "GET /a", c.sent, ms)
		x.OK, x.Ambiguous = c.sent-c.bad, c.bad
		v := Ask(Success{Ratio: c.ratio, Window: journal.During}, s.History)
		assert.Equal(t, c.want, v.Outcome, "%d of %d, %v: %s", c.bad, c.sent, c.ratio, v.Reason)
	}
}

// TestFastFailuresProveNoLatency uses a system that fails immediately: its latencies prove nothing.
func TestFastFailuresProveNoLatency(t *testing.T) {
	for _, c := range []Check{Latency{Percentile: 95, Below: 400 * ms, Window: journal.During}, NothingSlower{Than: time.Second, Window: journal.During}} {
		s := newScenario()
		s.every(journal.During, failing(5)) // 5 of 50 requests
		require.Equal(t, Passed, Ask(c, s.History).Outcome)
		s.every(journal.During, failing(6))
		v := Ask(c, s.History)
		require.Equal(t, Inconclusive, v.Outcome)
		require.Contains(t, v.Reason, "at least 90% are needed")
		s.every(journal.During, slow(3*time.Second))
		require.Equal(t, Failed, Ask(c, s.History).Outcome, "slow failures are slow")
	}
}

// TestInFlightAtHealing requires that requests answered after healing prove nothing, unless they had waited much
// longer than others needed.
func TestInFlightAtHealing(t *testing.T) {
	s := newScenario()
	x := s.second(9, journal.AtHealing, "POST /orders", 40, time.Second)
	x.Waited = []journal.Bucket{{Up: 5 * ms, N: 10}, {Up: time.Second, N: 20}, {Up: 1100 * ms, N: 10}}
	total := s.Total(journal.During, "")
	assert.Equal(t, []int{210, 200, 10, 30}, []int{total.Sent, total.OK, total.Unanswered, total.Apart})
	assert.Equal(t, map[string]int{journal.UnansweredAtHealing: 10}, total.Errors)
	assert.Equal(t, 1100*ms, journal.Quantile(total.Latency, 100), "they took that long at least")
	v := Ask(Success{Ratio: 0.99, Window: journal.During}, s.History)
	assert.Equal(t, Failed, v.Outcome)
	assert.Contains(t, v.Reason, "10 of 210 requests did not succeed during the fault: not answered before healing (10)")
	assert.Contains(t, v.Reason, "had waited for 1.1s by then, while the slowest success otherwise took 10ms")
	assert.Contains(t, v.Observed, "30 more were in flight")

	x.Waited = []journal.Bucket{{Up: 5 * ms, N: 40}}
	assert.Equal(t, Passed, Ask(Success{Ratio: 0.99, Window: journal.During}, s.History).Outcome)

	x.OK, x.Ambiguous, x.Good, x.Waited, x.Errors = 0, 40, nil, nil, map[string]int{"timeout": 40}
	v = Ask(Success{Ratio: 0.99, Window: journal.During}, s.History)
	assert.Equal(t, Failed, v.Outcome, "what failed although it was healed failed")
	assert.Contains(t, v.Reason, "40 of 240")
}

// TestSlowRequestsAreNotUnanswered uses requests that always outlast the fault. They are in flight at healing, but
// the fault did not cause that. The usual latency is known from the baseline, by route, and for requests that
// outlast the baseline from those in flight at the injection.
func TestSlowRequestsAreNotUnanswered(t *testing.T) {
	for name, usual := range map[string]func(scenario){
		"in the baseline": func(s scenario) { s.second(1, journal.Before, "GET /slow", 20, 3500*ms) },
		"longer than the baseline": func(s scenario) {
			s.second(4, journal.Before, "GET /slow", 20, 5*ms) // only some of the requests are slow
			s.second(3, journal.AtInjection, "GET /slow", 4, 3500*ms)
		},
		"too few": func(s scenario) { s.second(1, journal.Before, "GET /slow", 19, 5*ms) },
	} {
		s := newScenario()
		usual(s)
		x := s.second(7, journal.AtHealing, "GET /slow", 20, 3500*ms)
		x.Waited = []journal.Bucket{{Up: 2500 * ms, N: 20}}
		total := s.Total(journal.During, "")
		require.Equal(t, []int{200, 0, 20}, []int{total.Sent, total.Unanswered, total.Apart}, name)
		require.Equal(t, Passed, Ask(Success{Ratio: 0.99, Window: journal.During}, s.History).Outcome, name)
	}
	s := newScenario() // the latency of another route is not relevant
	s.second(1, journal.Before, "GET /slow", 20, 3500*ms)
	s.second(7, journal.AtHealing, "POST /orders", 20, 3500*ms).Waited = []journal.Bucket{{Up: 2500 * ms, N: 20}}
	require.Equal(t, 20, s.Total(journal.During, "").Unanswered)
}

// TestDelayAfterInjectionIsNotUsual: the fault may have caused the time that requests in flight at the injection
// took after it.
func TestDelayAfterInjectionIsNotUsual(t *testing.T) {
	s := newScenario()
	s.second(5, journal.AtInjection, "POST /orders", 1, 4*time.Second)
	s.second(6, journal.AtHealing, "POST /orders", 20, 4*time.Second).Waited = []journal.Bucket{{Up: 3500 * ms, N: 20}}
	require.Equal(t, 20, s.Total(journal.During, "").Unanswered)
}

// TestEveryRequestHangs requires that a hang of all requests fails like a hang of half of them.
func TestEveryRequestHangs(t *testing.T) {
	s := newScenario()
	s.every(journal.During, func(x *journal.Sample) {
		x.Window, x.Waited = journal.AtHealing, []journal.Bucket{{Up: 10*time.Second - x.From, N: 50}}
	})
	v := Ask(Success{Ratio: 0.99, Window: journal.During}, s.History)
	require.Equal(t, Failed, v.Outcome, v.Reason)
	require.Contains(t, v.Reason, "150 of 150 requests did not succeed during the fault: not answered before healing (150)")
	require.Contains(t, v.Reason, "had waited for 2s to 4s by then, while the slowest success otherwise took 10ms")
	require.Contains(t, v.Observed, "50 more were in flight")
}

// TestRunnerPauseIsNoFailure: a pause can make services time out and open their circuit breakers, so that requests
// fail that are due after it. Failures before the pause still count.
func TestRunnerPauseIsNoFailure(t *testing.T) {
	during := Success{Ratio: 0.99, Window: journal.During}
	after := Success{Ratio: 0.99, Window: journal.After}
	for name, c := range map[string]struct {
		check  Check
		paused time.Duration // start of a pause of 101 ms
		bad    func(second int) bool
		want   Outcome
		reason string
	}{
		"what fails later":           {during, 7500 * ms, func(i int) bool { return i >= 8 }, Inconclusive, "the runner itself stood still for 101ms from +7.5s on, and what happened then and later may be its doing; it would have failed: 50 of 200"},
		"what failed before":         {during, 9900 * ms, func(i int) bool { return i >= 6 }, Failed, "75 of 150 requests did not succeed during the fault: timeout (75); judged up to +9.9s, since the runner itself stood still for 101ms from +9.9s on"},
		"too few before":             {during, 6500 * ms, func(i int) bool { return i >= 6 }, Inconclusive, "stood still for 101ms from +6.5s on"},
		"in the fault, bad after it": {after, 7500 * ms, func(i int) bool { return i >= 10 }, Inconclusive, "stood still for 101ms from +7.5s on"},
		"after the window":           {during, 12 * time.Second, func(i int) bool { return i == 9 }, Failed, "25 of 200"},
		"just before the fault":      {during, 5500 * ms, func(i int) bool { return i == 6 }, Inconclusive, "stood still for 101ms from +5.5s on"},
		"early in the baseline":      {during, 2 * time.Second, func(i int) bool { return i == 6 }, Failed, "25 of 200"},
		"no recovery":                {Recovers{Route: "POST /orders", Within: time.Second}, 7500 * ms, func(i int) bool { return i >= 10 }, Inconclusive, "stood still for 101ms from +7.5s on"},
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
				require.Equal(t, c.paused > 6*time.Second && c.paused < 10*time.Second, strings.Contains(answers[0].Reason, "judged up to"), "a pause elsewhere is no news")
			}
			require.Equal(t, Failed, answers[1].Outcome, "an invariant holds whatever the conditions")
		})
	}
}

// TestAllRequestsInFlightAtHealing uses a fault that is shorter than the clients wait: it does not show how their
// requests would have ended.
func TestAllRequestsInFlightAtHealing(t *testing.T) {
	s := newScenario()
	s.every(journal.During, func(x *journal.Sample) {
		x.Window, x.Waited = journal.AtHealing, []journal.Bucket{{Up: time.Second, N: 50}}
	})
	for _, c := range []Check{Success{Ratio: 0.99, Window: journal.During}, Latency{Percentile: 95, Below: time.Second, Window: journal.During}} {
		v := Ask(c, s.History)
		assert.Equal(t, Inconclusive, v.Outcome)
		assert.Contains(t, v.Reason, "200 more were in flight when the fault was healed")
	}
}

// TestWaitEndedByHealingCounts: the time that a request had waited at healing counts, even if its outcome does
// not.
func TestWaitEndedByHealingCounts(t *testing.T) {
	s := newScenario()
	s.every(journal.During, func(x *journal.Sample) {
		x.Window, x.Waited = journal.AtHealing, []journal.Bucket{{Up: 3 * time.Second, N: 50}}
	})
	v := Ask(NothingSlower{Than: 2 * time.Second, Window: journal.During}, s.History)
	assert.Equal(t, Failed, v.Outcome)
	assert.Contains(t, v.Reason, "200 of 200 requests took longer, the slowest 3s")
	assert.Equal(t, Inconclusive, Ask(NothingSlower{Than: 4 * time.Second, Window: journal.During}, s.History).Outcome)
}

// TestFallbacksBeforeTheFaultProveNothing uses a route that always falls back.
func TestFallbacksBeforeTheFaultProveNothing(t *testing.T) {
	all := func(x *journal.Sample) { x.OK, x.Fallback = 0, x.Sent }
	s := newScenario()
	s.every(journal.Before, all)
	s.every(journal.During, all)
	s.every(journal.After, all)
	for _, w := range []journal.Window{journal.During, journal.After, ""} {
		v := Ask(Fallback{Ratio: 0.8, Header: "X: y", Window: w}, s.History)
		assert.Equal(t, Inconclusive, v.Outcome)
		assert.Contains(t, v.Reason, "were fallbacks before the fault, too")
	}
	s.every(journal.Before, func(x *journal.Sample) { x.OK, x.Fallback = x.Sent, 0 })
	assert.Equal(t, Passed, Ask(Fallback{Ratio: 0.8, Header: "X: y", Window: journal.During}, s.History).Outcome)
}

// TestDegradedBaselineIsNotSteady uses a baseline of fallbacks, with and without fallbacks as success.
func TestDegradedBaselineIsNotSteady(t *testing.T) {
	degraded := func(n int) Verdict {
		s := newScenario()
		s.FallbackIsSuccess = true
		s.every(journal.Before, func(x *journal.Sample) { x.OK, x.Fallback = x.Sent-n, n })
		return Ask(BaselineSteady{}, s.History)
	}
	assert.Equal(t, Passed, degraded(25).Outcome)
	v := degraded(26)
	assert.Equal(t, Inconclusive, v.Outcome)
	assert.Contains(t, v.Reason, "52.0% (130 of 250) of the responses were fallbacks, so that the system was degraded before any fault")
}

// TestBaselineNeedsRequests requires enough requests before a fault. Without a fault, the run is its own baseline.
func TestBaselineNeedsRequests(t *testing.T) {
	s := newScenario()
	few := func(n int) { s.every(journal.Before, func(x *journal.Sample) { x.Sent, x.OK = n, n }) }
	few(4)
	assert.Equal(t, Passed, Ask(BaselineSteady{}, s.History).Outcome)
	few(3)
	v := Ask(BaselineSteady{}, s.History)
	assert.Equal(t, Inconclusive, v.Outcome)
	assert.Contains(t, v.Reason, "the baseline is too short: 15 requests before the fault say too little: at least 20 are needed")
	s.Faults = nil
	assert.Equal(t, Passed, Ask(BaselineSteady{}, s.History).Outcome)
	s.Load = nil
	assert.Equal(t, Inconclusive, Ask(BaselineSteady{}, s.History).Outcome, "it is the gate that asks")
}

// TestOneDefinitionOfSuccess requires that either all checks of success count fallbacks, or none.
func TestOneDefinitionOfSuccess(t *testing.T) {
	for _, fallbacks := range []bool{false, true} {
		s := newScenario()
		s.FallbackIsSuccess = fallbacks
		for _, w := range []journal.Window{journal.Before, journal.During, journal.After} {
			s.every(w, func(x *journal.Sample) { x.OK, x.Fallback = x.Sent-20, 20 })
		}
		for _, c := range []Check{
			Success{Ratio: 0.99}, BaselineSteady{}, Recovers{Route: "POST /orders", Within: 3 * time.Second, Steady: []Steady{{Measure: "success", Ratio: 0.99}}},
		} {
			require.Equal(t, fallbacks, Ask(c, s.History).Outcome == Passed, "%s, %v", c, fallbacks)
		}
	}
}

// TestRecoveryCountsFromRequestedOutage: the start-up time of a service counts as recovery time.
func TestRecoveryCountsFromRequestedOutage(t *testing.T) {
	s := newScenario()
	_, healed, _ := s.FaultSpan()
	s.Faults[0].Ended = s.Faults[0].Healed
	s.Faults[0].Healed += 4 * time.Second
	for i := range s.Samples {
		if x := &s.Samples[i]; x.Window == journal.After && x.From < healed+4*time.Second {
			failing(50)(x)
		}
	}
	v := Ask(Recovers{Route: "POST /orders", Within: 2 * time.Second}, s.History)
	require.Equal(t, Failed, v.Outcome, v.Observed)
	require.True(t, strings.Contains(v.Reason, "it took 4s"), v.Reason)
	require.Equal(t, Passed, Ask(Recovers{Route: "POST /orders", Within: 4 * time.Second}, s.History).Outcome)
}

// TestOwnStepFailsOnlyValidScenario: a failed user-defined step in an invalid scenario is not a failure of the
// system.
func TestOwnStepFailsOnlyValidScenario(t *testing.T) {
	h := newScenario().History
	h.Verdicts = []journal.Verdict{{Kind: "faults acted", Outcome: "passed"}, {Kind: OwnStep, Outcome: "failed"}, {Kind: "success", Outcome: "passed"}}
	require.Equal(t, "failed", Sum(h))
	h.Verdicts[0].Outcome = "inconclusive"
	require.Equal(t, "inconclusive", Sum(h))
}

// TestRecoveryComparesSeconds: seconds after healing are compared with seconds of the baseline, which vary more
// than the baseline as a whole.
func TestRecoveryComparesSeconds(t *testing.T) {
	s := newScenario()
	s.every(journal.After, slow(100*ms))
	require.Equal(t, Failed, Ask(Recovers{Route: "POST /orders", Within: 3 * time.Second}, s.History).Outcome)
	slow(90 * ms)(&s.Samples[2]) // one second of the baseline is as slow
	require.Equal(t, Passed, Ask(Recovers{Route: "POST /orders", Within: 3 * time.Second}, s.History).Outcome)
	s.every(journal.After, slow(200*ms))
	require.Equal(t, Failed, Ask(Recovers{Route: "POST /orders", Within: 3 * time.Second}, s.History).Outcome)
}

// TestRouteThatNeverWorked: the steady state covers all routes and hides a route with few requests.
func TestRouteThatNeverWorked(t *testing.T) {
	const route = "GET /dead"
	dead := func() scenario {
		s := newScenario()
		for i := 1; i < 20; i++ {
			x := s.second(i, s.Samples[i-1].Window, route, 50, ms)
			x.OK, x.Failed, x.Good, x.Errors = 0, 50, nil, map[string]int{"status 500": 50}
		}
		return s
	}
	declared := Recovers{Route: route, Within: 3 * time.Second, Steady: []Steady{{Measure: "success", Ratio: 0.5}}}
	assert.Equal(t, Inconclusive, Ask(declared, dead().History).Outcome)
	for _, c := range []Check{
		Recovers{Route: route, Within: 3 * time.Second}, NotAffected{route},
		Success{Ratio: 0.99, Route: route, Window: journal.During}, Success{Ratio: 0.99, Route: route},
	} {
		v := Ask(c, dead().History)
		assert.Equal(t, Inconclusive, v.Outcome, "%s: %s", c, v.Observed)
		assert.Contains(t, v.Reason, `before the fault only 0.0% (0 of 250) of the requests of "GET /dead" got the expected answer: status 500 (250)`, "%s", c)
	}
	assert.Equal(t, Failed, Ask(Success{Ratio: 0.99, Route: route, Window: journal.Before}, dead().History).Outcome, "that is about the baseline")
	s := dead()
	s.Faults = nil
	assert.Equal(t, Failed, Ask(Success{Ratio: 0.99, Route: route}, s.History).Outcome, "no fault is asked about")
}

// TestRecoveryOfRouteOutsideSteadyState: the declared steady state covers all routes, and one of them may be
// slower or worse.
func TestRecoveryOfRouteOutsideSteadyState(t *testing.T) {
	c := Recovers{Route: "POST /orders", Within: 3 * time.Second, Steady: []Steady{{Measure: "p95 latency", Limit: 5 * ms}}}
	v := Ask(c, newScenario().History)
	assert.Equal(t, Inconclusive, v.Outcome)
	assert.Contains(t, v.Reason, "was not within before the fault either: p95 latency 10ms")
	s := newScenario()
	s.every(journal.After, slow(4*ms))
	assert.Equal(t, Passed, Ask(c, s.History).Outcome, "it was within it after healing")
}

// TestRecoveryNeedsRequests: five consecutive seconds may hold only five requests.
func TestRecoveryNeedsRequests(t *testing.T) {
	c := Recovers{Route: "POST /orders", Within: 3 * time.Second}
	rate := func(n int) scenario {
		s := newScenario()
		s.every(journal.After, func(x *journal.Sample) { x.Sent, x.OK = n, n; slow(10 * ms)(x) })
		return s
	}
	v := Ask(c, rate(1).History)
	assert.Equal(t, Inconclusive, v.Outcome)
	assert.Contains(t, v.Reason, `the steady windows held only 10 requests of "POST /orders": at least 20 are needed`)
	assert.Equal(t, Passed, Ask(c, rate(2).History).Outcome, "ten windows hold them")

	late := rate(2) // it has recovered, but too few requests show it
	for i := range late.Samples {
		if x := &late.Samples[i]; x.Window == journal.After && x.From < 13*time.Second {
			failing(2)(x)
		}
	}
	assert.Equal(t, Inconclusive, Ask(c, late.History).Outcome)

	once := rate(1)
	failing(1)(&once.Samples[13])
	failing(1)(&once.Samples[16])
	assert.Equal(t, Inconclusive, Ask(c, once.History).Outcome, "two of ten may fail by chance")
	never := rate(1)
	never.every(journal.After, failing(1))
	assert.Equal(t, Failed, Ask(c, never.History).Outcome)
}

// TestWholeRunNeedsRequestsDuringFault uses a load that decreases before the fault.
func TestWholeRunNeedsRequestsDuringFault(t *testing.T) {
	fading := func(n int) scenario {
		s := newScenario()
		s.every(journal.During, func(x *journal.Sample) { x.Sent, x.OK = n, n; slow(10 * ms)(x) })
		return s
	}
	for _, c := range []Check{Success{Ratio: 0.99}, Latency{Percentile: 95, Below: time.Second}, NothingSlower{Than: time.Second}, CallsPerSecond{To: "payments", PerSecond: 100}, CallsTimesNormal{To: "payments", Times: 2}} {
		v := Ask(c, fading(4).History)
		assert.Equal(t, Inconclusive, v.Outcome, "%s", c)
		assert.Contains(t, v.Reason, "only 16 requests met a fault, and the others say nothing of it: at least 20 are needed")
		assert.Equal(t, Passed, Ask(c, fading(5).History).Outcome, "%s", c)
	}
	s := fading(5)
	s.every(journal.Before, failing(40))
	assert.Equal(t, Failed, Ask(Success{Ratio: 0.99}, s.History).Outcome)
	s = newScenario()
	s.Faults[0].Injected, s.Faults[0].Ended = 10*time.Second, 10*time.Second+ms // the effect of a short fault shows in the following requests
	assert.Equal(t, Passed, Ask(Success{Ratio: 0.99}, s.History).Outcome)
}

// TestHalfOfRequestsHang: requests that healing released took at least as long as they had waited. How much longer
// they would have taken is not known.
func TestHalfOfRequestsHang(t *testing.T) {
	const route = "POST /orders"
	hanging := func(n int64, waits ...time.Duration) scenario {
		s := newScenario()
		x := s.second(9, journal.AtHealing, route, int(n)*len(waits), 10*time.Second)
		for _, w := range waits {
			x.Waited = append(x.Waited, journal.Bucket{Up: w, N: n})
		}
		return s
	}
	below := func(d time.Duration) Check { return Latency{Percentile: 95, Below: d, Window: journal.During} }
	times := Latency{Percentile: 95, Times: 20, Window: journal.During}
	for name, c := range map[string]struct {
		check Check
		s     scenario
		want  Outcome
		why   string
	}{
		"waited for longer than the limit":      {below(100 * ms), hanging(40, 50*ms, 400*ms, 900*ms), Failed, "p95 of 320 requests was at least 900ms during the fault: 120 of them were in flight"},
		"waited for less, counted separately":   {below(time.Second), hanging(40, 50*ms, 400*ms, 900*ms), Inconclusive, "120 requests were in flight when the fault was healed and had waited for up to 900ms"},
		"a few that had waited":                 {below(100 * ms), hanging(2, 50*ms, 400*ms, 900*ms), Passed, ""},
		"in flight, like any others":            {below(100 * ms), hanging(30, 3*ms, 9*ms), Passed, ""},
		"as many times":                         {times, hanging(40, 50*ms, 400*ms, 900*ms), Inconclusive, "without healing, p95 might have been above 200ms"},
		"as many times, and shorter":            {times, hanging(40, 50*ms, 90*ms, 150*ms), Inconclusive, "without healing, p95 might have been above 200ms"},
		"as many times, in flight":              {times, hanging(30, 3*ms, 9*ms), Passed, ""},
		"affected":                              {NotAffected{route}, hanging(40, 50*ms, 400*ms, 900*ms), Inconclusive, "p95 rose from 10ms to 900ms, but in bursts"},
		"possibly affected":                     {NotAffected{route}, hanging(12, 11*ms, 12*ms), Inconclusive, "without healing, p95 might have been above 60ms"},
		"not affected, some in flight":          {NotAffected{route}, hanging(30, 3*ms, 9*ms), Passed, ""},
		"not affected, with hardly one waiting": {NotAffected{route}, hanging(1, 12*ms, 13*ms), Passed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			v := Ask(c.check, c.s.History)
			assert.Equal(t, c.want.String(), v.Outcome.String(), "%s %s", v.Observed, v.Reason)
			assert.Contains(t, v.Reason, c.why)
		})
	}
	all := hanging(200, 900*ms)
	all.every(journal.During, func(x *journal.Sample) { x.Sent, x.OK, x.Latency, x.Good = 0, 0, nil, nil })
	assert.Equal(t, Failed, Ask(below(100*ms), all.History).Outcome, "all of them hang")
	assert.Equal(t, Inconclusive, Ask(below(time.Second), all.History).Outcome)
}

// TestCensored uses the example of Kaplan and Meier (1958, p. 459): deaths at 0.8, 3.1, 5.4 and 9.2 months, losses
// at 1.0, 2.7, 7.0 and 12.1.
func TestCensored(t *testing.T) {
	at := func(tenths ...time.Duration) (all []journal.Bucket) {
		for _, d := range tenths {
			all = append(all, journal.Bucket{Up: d, N: 1})
		}
		return all
	}
	deaths, losses := at(8, 31, 54, 92), at(10, 27, 70, 121)
	for percentile, want := range map[float64]time.Duration{12.5: 8, 30: 31, 31: 54, 47.5: 54, 48: 92, 73.7: 92, 73.8: 1<<63 - 1} { // survival is 0.875, 0.700, 0.525, 0.262
		assert.Equal(t, want, censored(deaths, losses, percentile), "%v", percentile)
	}
	for p := 1.0; p <= 100; p++ {
		assert.Equal(t, journal.Quantile(deaths, p), censored(deaths, nil, p))
	}
}

// TestColdBaseline: latencies during the fault are not compared with those of an even slower start.
func TestColdBaseline(t *testing.T) {
	const route = "POST /orders"
	cold := func(seconds int, took time.Duration) scenario {
		s := newScenario()
		s.every(journal.Before, slow(2*ms))
		for i := range seconds {
			slow(took)(&s.Samples[i])
		}
		s.every(journal.During, func(x *journal.Sample) { slow(took * 2 / 3)(x) })
		return s
	}
	checks := []Check{Latency{Percentile: 95, Times: 1.5, Route: route, Window: journal.During}, NotAffected{route}}
	for _, c := range checks {
		for seconds := 1; seconds <= 4; seconds++ {
			v := Ask(c, cold(seconds, 300*ms).History)
			assert.Equal(t, Inconclusive, v.Outcome, "%s, %d", c, seconds)
			if c == checks[0] {
				assert.Contains(t, v.Reason, `its p95 of "POST /orders" was 300ms, and 2ms at its end`)
			}
		}
		s := cold(2, 300*ms)
		s.every(journal.During, slow(time.Second))
		assert.Equal(t, Failed, Ask(c, s.History).Outcome, "slower than even that")
	}
	s := cold(2, 300*ms) // all latencies differ
	for i := range 2 {
		s.Samples[i].Latency = nil
		for n := range time.Duration(50) {
			s.Samples[i].Latency = append(s.Samples[i].Latency, journal.Bucket{Up: 300*ms + n*ms, N: 1})
		}
	}
	assert.Equal(t, Inconclusive, Ask(checks[0], s.History).Outcome)
	s = cold(3, 12*ms) // it warms up a little
	s.every(journal.During, slow(2*ms))
	for _, c := range checks {
		assert.Equal(t, Passed, Ask(c, s.History).Outcome, "%s", c)
	}
	assert.Equal(t, Passed, Ask(BaselineSteady{}, cold(2, 300*ms).History).Outcome, "what is not compared with it does not suffer")
}

// TestColdStartIgnoresChance uses a system without a trend in which one request in twenty is slow.
func TestColdStartIgnoresChance(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	falls := 0
	for range 2000 {
		s := newScenario()
		s.every(journal.Before, func(x *journal.Sample) {
			n := int64(0)
			for range x.Sent {
				if r.Float64() < 0.06 {
					n++
				}
			}
			x.Latency = []journal.Bucket{{Up: 2 * ms, N: int64(x.Sent) - n}, {Up: 300 * ms, N: n}}
		})
		if coldStart(s.History, "", 95) != "" {
			falls++
		}
	}
	assert.LessOrEqual(t, falls, 8, "of 2,000, two parts each at one in a thousand")
}

// TestSharedLinkNeedsWorseLoad: on a link with traffic that the load does not cause, only worse requests of the
// load show that they met the fault.
func TestSharedLinkNeedsWorseLoad(t *testing.T) {
	shared := func(change func(*journal.Sample)) scenario {
		s := newScenario()
		s.Faults[0].Shared = true
		s.every(journal.Before, slow(10*ms))
		s.every(journal.During, change)
		return s
	}
	v := Ask(FaultsActed{}, shared(slow(10*ms)).History)
	assert.Equal(t, Inconclusive, v.Outcome)
	assert.Contains(t, v.Reason, "nothing shows that the load met it")
	assert.Equal(t, Passed, Ask(FaultsActed{}, shared(slow(400*ms)).History).Outcome, "slower")
	assert.Equal(t, Passed, Ask(FaultsActed{}, shared(failing(1)).History).Outcome, "one failed that none did before")
}

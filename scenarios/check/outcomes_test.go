package check

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

func TestRefusesExcess(t *testing.T) {
	quick := rejecting(429, 10, 20*ms)
	polite := func(x *journal.Sample) {
		quick(x)
		x.Rejections[0].RetryAfter = 10
	}
	for name, row := range map[string]struct {
		change  func(*journal.Sample)
		header  bool
		outcome Outcome
		text    string
	}{
		"quickly":                        {quick, false, Passed, "100.0% (40 of 40"},
		"with a header":                  {polite, true, Passed, "100.0% (40 of 40"},
		"without the header":             {quick, true, Failed, "40 were refused without a Retry-After header"},
		"slowly":                         {rejecting(503, 10, 90*ms), false, Failed, "40 were refused later than 50ms"},
		"with another status":            {rejecting(500, 10, 20*ms), false, Failed, "status 500 (40)"},
		"time-outs":                      {failing(10), false, Failed, "timeout (40)"},
		"no excess":                      {func(*journal.Sample) {}, false, Inconclusive, "all 200 requests during the fault succeeded, so nothing was refused"},
		"too few":                        {rejecting(429, 2, 20*ms), false, Inconclusive, "only 8 of 200"},
		"few, and all of them time-outs": {failing(2), false, Failed, "timeout (8)"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScenario()
			s.every(journal.During, row.change)
			v := Ask(RefusesExcess{Statuses: []int{429, 503}, Within: 50 * ms, RetryAfter: row.header, Window: journal.During}, s.History)
			assert.Equal(t, row.outcome, v.Outcome, v.Reason)
			assert.Contains(t, v.Observed+"; "+v.Reason, row.text)
		})
	}
}

// Refusals that are slow while the load generator was late may be slow because of the machine. Time-outs are not.
func TestRefusesExcessOnABusyMachine(t *testing.T) {
	c := RefusesExcess{Statuses: []int{429}, Within: 50 * ms, Window: journal.During}
	s := newScenario()
	s.every(journal.During, rejecting(429, 10, 90*ms))
	s.every(journal.During, sendLate)
	require.Equal(t, Inconclusive, Ask(c, s.History).Outcome)
	s.every(journal.During, failing(10))
	require.Equal(t, Failed, Ask(c, s.History).Outcome)
}

func TestFailureKinds(t *testing.T) {
	c := FailureKinds{Kinds: []FailureLimit{{"status 503", 0.05}, {"timed out", 0.1}}, Window: journal.During}
	for name, row := range map[string]struct {
		change  func(scenario)
		outcome Outcome
		text    string
	}{
		"none":           {func(scenario) {}, Passed, "no failures of 200 requests"},
		"within limits":  {func(s scenario) { s.every(journal.During, failing(5)) }, Passed, "timed out 10.0% (20 of 200"},
		"above a limit":  {func(s scenario) { s.every(journal.During, rejecting(503, 3, ms)) }, Failed, `12 of 200 requests during the fault failed as "status 503", above 5%`},
		"not listed":     {func(s scenario) { s.Samples[6].Errors["reset"] = 1 }, Failed, `1 request during the fault failed as "reset", which is not listed`},
		"another window": {func(s scenario) { s.every(journal.After, rejecting(500, 20, ms)) }, Passed, "no failures"},
		"waits until healing are time-outs": {func(s scenario) {
			x := s.second(9, journal.AtHealing, "POST /orders", 40, 4*time.Second)
			x.Waited = []journal.Bucket{{Up: 3 * time.Second, N: 40}}
		}, Failed, `40 of 240 requests during the fault failed as "timed out", above 10%`},
		"too few": {func(s scenario) {
			s.every(journal.During, func(x *journal.Sample) { x.Sent, x.OK = 2, 2 })
		}, Inconclusive, "too few"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScenario()
			row.change(s)
			v := Ask(c, s.History)
			assert.Equal(t, row.outcome, v.Outcome, v.Reason)
			assert.Contains(t, v.Observed+"; "+v.Reason, row.text)
		})
	}
	assert.False(t, c.Kind().Idle)
	assert.True(t, FailureKinds{Kinds: []FailureLimit{{"refused", 1}}}.Kind().Idle, "if all may be refused, a dead system passes")
}

// 50 requests a second for 19 s, 95 of them failed: 10% of what may fail, at 99%, in 1,900 s. That is the burn rate, 10,
// times the time of the run, 19 s, divided by the period.
func TestErrorBudget(t *testing.T) {
	s := newScenario()
	s.every(journal.During, failing(20))
	s.every(journal.After, func(x *journal.Sample) {
		if x.From == 12*time.Second {
			failing(15)(x)
		}
	})
	c := ErrorBudget{Spend: 0.1, Days: 1900.0 / 86400, Objective: 0.99}
	v := Ask(c, s.History)
	require.Equal(t, Passed, v.Outcome, v.Reason)
	require.Contains(t, v.Observed, "10.0% (95% CI ")
	require.Contains(t, v.Observed, "95 of 950 requests failed in 19s, and the budget is 950)")
	c.Spend = 0.099
	require.Equal(t, Failed, Ask(c, s.History).Outcome)

	v = Ask(ErrorBudget{Spend: 0.05, Days: 30, Objective: 0.999}, s.History)
	require.Equal(t, Inconclusive, v.Outcome, "an outage of the whole run would not spend 5%")
	require.Contains(t, v.Reason, "all requests together, of 19s, are 0.73% of the budget")
}

// A call that shared its connection may have been given up on without a sign.
func TestGivesUpOnSharedConnections(t *testing.T) {
	s := newScenario()
	s.addGivenUp(400 * ms)
	s.addCalls(7, journal.During, "orders -> payments", 3, 3*time.Second)
	last := &s.Calls[len(s.Calls)-1]
	last.Shared = last.Duration
	v := Ask(GivesUp{From: "orders", To: "payments", Within: time.Second}, s.History)
	require.Equal(t, Inconclusive, v.Outcome)
	require.Contains(t, v.Reason, "calls that shared their connection with others were answered after up to 3s")
	last.Shared = nil
	require.Equal(t, Failed, Ask(GivesUp{From: "orders", To: "payments", Within: time.Second}, s.History).Outcome)
}

func TestIntervals(t *testing.T) {
	lower, upper := RatioInterval(10, 20) // Wilson, without correction for continuity
	assert.InDelta(t, 0.299298, lower, 1e-5)
	assert.InDelta(t, 0.700702, upper, 1e-5)
	assert.Equal(t, "0.0% (0 of 20; 95% CI 0.0% to 16.1%)", observed(0, 20))
	assert.Equal(t, "0 of 0", observed(0, 0))

	var values []journal.Bucket
	for i := range 100 {
		values = append(values, journal.Bucket{Up: time.Duration(i+1) * ms, N: 1})
	}
	low, high, known := QuantileInterval(values, 50) // the 40th and the 61st of 100, as tables have it
	assert.Equal(t, []any{40 * ms, 61 * ms, true}, []any{low, high, known})
	_, high, known = QuantileInterval(values[:20], 95)
	assert.False(t, known, "no value of 20 is surely above p95")
	assert.Equal(t, 20*ms, high)
	assert.Contains(t, quantile(values[:20], 95), "(95% CI from ")
	_, _, known = QuantileInterval(nil, 95)
	assert.False(t, known)
}

// TestIntervalsCover draws samples and counts how often the intervals hold the true value.
func TestIntervalsCover(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // the same numbers each time
	const trials = 2000
	ratios, quantiles := 0, 0
	for range trials {
		n := 0
		values := make([]journal.Bucket, 0, 200)
		for range 200 {
			x := r.Float64()
			if x < 0.95 {
				n++
			}
			values = append(values, journal.Bucket{Up: time.Duration(x * float64(time.Second)), N: 1})
		}
		if lower, upper := RatioInterval(n, 200); lower <= 0.95 && 0.95 <= upper {
			ratios++
		}
		if lower, upper, _ := QuantileInterval(journal.Merge(values), 90); lower <= 900*ms && 900*ms <= upper {
			quantiles++
		}
	}
	assert.InDelta(t, 0.95, float64(ratios)/trials, 0.02)
	assert.GreaterOrEqual(t, float64(quantiles)/trials, 0.94)
	assert.LessOrEqual(t, float64(quantiles)/trials, 0.985, "they are no wider than needed")

	exact, near := binomialQuantile(3000, 0.9, 0.975), binomialQuantile(30000, 0.9, 0.975)
	assert.InDelta(t, 2700+1.96*16.43, float64(exact), 1)
	assert.InDelta(t, 27000+1.96*51.96, float64(near), 1)
}

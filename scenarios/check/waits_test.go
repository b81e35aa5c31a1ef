package check

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

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
	assert.Equal(t, []int{210, 200, 10, 30}, []int{total.Sent, total.OK, total.Unanswered, total.InFlight})
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
		require.Equal(t, []int{200, 0, 20}, []int{total.Sent, total.Unanswered, total.InFlight}, name)
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

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

// TestRecoveryOfRouteOutsideSteadyState: the declared steady state covers all routes, and one of them may be
// slower or worse.
func TestRecoveryOfRouteOutsideSteadyState(t *testing.T) {
	c := Recovers{Route: "POST /orders", Within: 3 * time.Second, Steady: []Steady{{Measure: "p95 latency", Limit: 5 * ms}}}
	v := Ask(c, newScenario().History)
	assert.Equal(t, Inconclusive, v.Outcome)
	assert.Contains(t, v.Reason, "did not meet the declared steady state before the fault either: p95 latency 10ms")
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
	assert.Contains(t, v.Reason, `the steady seconds held only 10 requests of "POST /orders": at least 20 are needed`)
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

// system answers a request that is due at the given time since the beginning of a window.
type system func(r *rand.Rand, at time.Duration) (ok bool, took time.Duration)

// failingShare is a system that fails a constant share of requests.
func failingShare(share float64) system {
	return func(r *rand.Rand, _ time.Duration) (bool, time.Duration) {
		return r.Float64() >= share, lognormal(5*time.Millisecond, 0.3)(r)
	}
}

// outageOf is a system that fails all requests in an interval, repeated with the given period unless that is 0.
func outageOf(from, to, period time.Duration) system {
	return func(r *rand.Rand, at time.Duration) (bool, time.Duration) {
		if period > 0 {
			at %= period
		}
		return at < from || at >= to, lognormal(5*time.Millisecond, 0.3)(r)
	}
}

// stopping is a system that pauses at random. Requests that are due during a pause wait until it ends.
func stopping(r *rand.Rand, pause, every time.Duration) system {
	var begins []time.Duration
	for at := time.Duration(0); at < time.Minute; at += pause {
		at += time.Duration(r.ExpFloat64() * float64(every))
		begins = append(begins, at)
	}
	return func(r *rand.Rand, at time.Duration) (bool, time.Duration) {
		took := lognormal(5*time.Millisecond, 0.3)(r)
		for _, b := range begins {
			if at >= b && at < b+pause {
				took += b + pause - at
			}
		}
		return true, took
	}
}

// watched returns a history of a baseline, a fault of two seconds, and eight seconds after it.
func watched(r *rand.Rand, rate int, baseline int, before, after system) *journal.History {
	h := &journal.History{}
	second := func(i int, w journal.Window, s system, n int) {
		from := time.Duration(i) * time.Second
		x := journal.Sample{From: from, To: from + time.Second, Window: w, Route: "GET /", Sent: rate}
		var took []time.Duration
		for k := range rate {
			ok, d := s(r, time.Duration(n)*time.Second+time.Duration(k)*time.Second/time.Duration(rate))
			if took = append(took, d); ok {
				x.OK++
			} else {
				x.Ambiguous++
			}
		}
		next := 0
		x.Latency = sample(r, func(*rand.Rand) time.Duration { next++; return took[next-1] }, rate)
		h.Samples = append(h.Samples, x)
	}
	for i := range baseline {
		second(i, journal.Before, before, i)
	}
	healed := baseline + 2
	h.Faults = []*journal.Injection{{Injected: time.Duration(baseline) * time.Second, Healed: time.Duration(healed) * time.Second}}
	for i := range 8 {
		second(healed+i, journal.After, after, i)
	}
	return h
}

// TestRecoveryOfSteadySystems uses systems that do not change, with occasional failures or pauses. At most one in
// a hundred may fail.
func TestRecoveryOfSteadySystems(t *testing.T) {
	declared := func(ratio float64) []Steady { return []Steady{{Measure: "success", Ratio: ratio}} }
	for _, rate := range []int{20, 40, 200} {
		for _, c := range []struct {
			name   string
			is     func(*rand.Rand) system
			steady []Steady
			passed float64
		}{
			{"0.5% fail", func(*rand.Rand) system { return failingShare(0.005) }, nil, 0.9},
			{"0.5% fail, 98% declared", func(*rand.Rand) system { return failingShare(0.005) }, declared(0.98), 0.98},
			{"0.5% fail, 99% declared", func(*rand.Rand) system { return failingShare(0.005) }, declared(0.99), 0.95},
			{"0.7% fail, 98% declared", func(*rand.Rand) system { return failingShare(0.007) }, declared(0.98), 0.98},
			{"as many fail as may, 98% declared", func(*rand.Rand) system { return failingShare(0.02) }, declared(0.98), 0.9},
			{"pauses of 400ms", func(r *rand.Rand) system { return stopping(r, 400*time.Millisecond, 6*time.Second) }, nil, 0.6},
		} {
			for _, baseline := range []int{3, 6} {
				failed, passed := rates(300, func(r *rand.Rand) Outcome {
					s := c.is(r)
					return Recovers{Route: "GET /", Within: 2 * time.Second, Steady: c.steady}.Judge(watched(r, rate, baseline, s, c.is(r))).Outcome
				})
				t.Logf("%s, %d/s, a baseline of %ds: %.1f%% failed, %.1f%% passed", c.name, rate, baseline, 100*failed, 100*passed)
				assert.LessOrEqual(t, failed, atMost(0.01), "%s %d %d", c.name, rate, baseline)
				assert.GreaterOrEqual(t, passed, 1-atMost(1-c.passed), "%s %d %d", c.name, rate, baseline)
			}
		}
	}
}

// TestNoRecovery uses systems that are worse than before. Inconclusive results are allowed if the rate is too low
// to show it.
func TestNoRecovery(t *testing.T) {
	const s = time.Second
	always := func(is system) func(*rand.Rand) system { return func(*rand.Rand) system { return is } }
	for _, c := range []struct {
		name   string
		is     func(*rand.Rand) system
		failed float64    // rate of failures at 40 requests per second and more
		at20   [2]float64 // rates of failures and passes at 20
	}{
		{"down for 2s", func(r *rand.Rand) system {
			at := s/2 + time.Duration(r.Float64()*5.5*float64(s))
			return outageOf(at, at+2*s, 0)
		}, 0.99, [2]float64{0.99, 0}},
		{"flapping, a second of three", func(r *rand.Rand) system {
			at := time.Duration(r.Float64() * 2 * float64(s))
			return outageOf(at, at+s, 3*s)
		}, 0.99, [2]float64{0.99, 0}},
		{"flapping, half of each second", always(outageOf(s/4, s*3/4, s)), 0.99, [2]float64{0.99, 0}},
		{"10% fail", always(failingShare(0.1)), 0.95, [2]float64{0.85, 0.02}},
		{"slow", always(func(r *rand.Rand, _ time.Duration) (bool, time.Duration) {
			return true, lognormal(80*time.Millisecond, 0.3)(r)
		}), 0.99, [2]float64{0.99, 0}},
		{"slow for 20%", always(func(r *rand.Rand, _ time.Duration) (bool, time.Duration) {
			if r.Float64() < 0.2 {
				return true, 200 * time.Millisecond
			}
			return true, lognormal(5*time.Millisecond, 0.3)(r)
		}), 0.99, [2]float64{0.9, 0.01}},
		{"hardly anything but pauses", func(r *rand.Rand) system { return stopping(r, 400*time.Millisecond, s/2) }, 0.8, [2]float64{0.8, 0.01}},
	} {
		for _, rate := range []int{20, 40, 200} {
			least, most := c.failed, 0.01
			if rate == 20 {
				least, most = c.at20[0], c.at20[1]
			}
			failed, passed := rates(200, func(r *rand.Rand) Outcome {
				return Recovers{Route: "GET /", Within: 2 * s}.Judge(watched(r, rate, 6, failingShare(0.005), c.is(r))).Outcome
			})
			t.Logf("%s, %d/s: %.1f%% failed, %.1f%% passed", c.name, rate, 100*failed, 100*passed)
			assert.GreaterOrEqual(t, failed, 1-atMost(1-least), "%s %d", c.name, rate)
			assert.LessOrEqual(t, passed, atMost(most), "%s %d", c.name, rate)
		}
	}
}

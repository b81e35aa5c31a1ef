package load

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/firedrill-dev/firedrill/scenarios"
)

const ms = time.Millisecond

// scripted are attempts of known duration and result, in the order in which they begin. The last one repeats.
type scripted []struct {
	takes time.Duration
	Attempt
}

// script makes the attempt of a retrier.
func (s scripted) script() func(ctx context.Context) []Attempt {
	var n atomic.Int64
	return func(ctx context.Context) []Attempt {
		one := s[min(int(n.Add(1)), len(s))-1]
		a := one.Attempt
		a.At = time.Now()
		if !sleep(ctx, one.takes) {
			a = Attempt{At: a.At, Kind: TimedOut}
			if errors.Is(context.Cause(ctx), errAcknowledged) {
				a.Kind = Cancelled
			}
		}
		a.Took = time.Since(a.At)
		return []Attempt{a}
	}
}

func answered(status int) Attempt {
	return Attempt{Status: status, Outcome: outcomes[(&scenarios.Load{}).Outcome(scenarios.Route{}, status)]}
}

func failing(kind string) Attempt { return Attempt{Kind: kind} }

func asking(status int, pause time.Duration) Attempt {
	a := answered(status)
	a.Answer.RetryAfter = pause
	return a
}

// TestRetryPolicies runs each policy in virtual time. starts are when attempts begin.
func TestRetryPolicies(t *testing.T) {
	jitter := scenarios.BackOff{First: 100 * ms, Jitter: true}
	for name, c := range map[string]struct {
		policy   scenarios.RetryPolicy
		retries  int
		attempts scripted
		starts   []time.Duration
		took     time.Duration
		last     Attempt
	}{
		"by default pauses grow, and all of each jitter is drawn": {
			scenarios.RetryPolicy{}, 7, scripted{{0, answered(503)}},
			[]time.Duration{0, 50 * ms, 150 * ms, 350 * ms, 750 * ms, 1550 * ms, 3150 * ms, 4750 * ms}, 4750 * ms, answered(503)},
		"pauses of the same length": {
			scenarios.RetryPolicy{BackOff: scenarios.BackOff{First: 100 * ms}}, 3, scripted{{10 * ms, answered(503)}},
			[]time.Duration{0, 110 * ms, 220 * ms, 330 * ms}, 340 * ms, answered(503)},
		"pauses that double": {
			scenarios.RetryPolicy{BackOff: scenarios.BackOff{First: 100 * ms, Most: 300 * ms}}, 4, scripted{{0, failing("reset")}},
			[]time.Duration{0, 100 * ms, 300 * ms, 600 * ms, 900 * ms}, 900 * ms, failing("reset")},
		"jitter": {
			scenarios.RetryPolicy{BackOff: jitter}, 1, scripted{{0, answered(503)}}, []time.Duration{0, 100 * ms}, 100 * ms, answered(503)},
		"success ends it": {
			scenarios.RetryPolicy{}, 3, scripted{{10 * ms, answered(503)}, {10 * ms, answered(200)}}, []time.Duration{0, 60 * ms}, 70 * ms, answered(200)},
		"a refusal ends it": {
			scenarios.RetryPolicy{}, 3, scripted{{0, answered(400)}}, []time.Duration{0}, 0, answered(400)},
		"Retry-After is honoured up to a second": {
			scenarios.RetryPolicy{}, 2, scripted{{0, asking(429, 700*ms)}, {0, asking(429, time.Hour)}, {0, answered(200)}},
			[]time.Duration{0, 700 * ms, 1700 * ms}, 1700 * ms, answered(200)},
		"Retry-After is ignored": {
			scenarios.RetryPolicy{IgnoreRetryAfter: true}, 1, scripted{{0, asking(429, 700*ms)}, {0, answered(200)}}, []time.Duration{0, 50 * ms}, 50 * ms, answered(200)},
		"the request times out during an attempt": {
			scenarios.RetryPolicy{Within: 200 * ms, BackOff: scenarios.BackOff{First: 100 * ms}}, 5, scripted{{50 * ms, answered(503)}, {time.Hour, answered(200)}},
			[]time.Duration{0, 150 * ms}, 200 * ms, failing(TimedOut)},
		"the request times out during a pause": {
			scenarios.RetryPolicy{Within: 200 * ms, BackOff: scenarios.BackOff{First: 190 * ms}}, 5, scripted{{50 * ms, answered(503)}}, []time.Duration{0}, 200 * ms, answered(503)},
		"only after a status that is listed": {
			scenarios.RetryPolicy{Only: []string{"503", "reset"}}, 3, scripted{{0, answered(503)}, {0, answered(500)}}, []time.Duration{0, 50 * ms}, 50 * ms, answered(500)},
		"only after a kind of error that is listed": {
			scenarios.RetryPolicy{Only: []string{"503", "reset"}}, 3, scripted{{0, failing("reset")}, {0, failing(TimedOut)}}, []time.Duration{0, 50 * ms}, 50 * ms, failing(TimedOut)},
		"after a refusal that is listed": {
			scenarios.RetryPolicy{Only: []string{"404"}}, 3, scripted{{0, answered(404)}, {0, answered(200)}}, []time.Duration{0, 50 * ms}, 50 * ms, answered(200)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if c.policy.Within > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, c.policy.Within)
					defer cancel()
				}
				began := time.Now()
				all := retrier{retries: c.retries, policy: c.policy, draw: func(int) float64 { return 1 }, attempt: c.attempts.script()}.run(ctx)
				assert.Equal(t, c.took, time.Since(began))
				var starts []time.Duration
				for _, a := range all.attempts {
					starts = append(starts, a.At.Sub(began))
				}
				assert.Equal(t, c.starts, starts)
				assert.Equal(t, len(c.starts)-1, all.retries)
				last := all.attempts[len(all.attempts)-1]
				assert.Equal(t, []any{c.last.Status, c.last.Kind, c.last.Outcome}, []any{last.Status, last.Kind, last.Outcome})
				assert.LessOrEqual(t, time.Since(began), (&scenarios.Load{Retries: c.retries, GiveUp: 50 * ms, Policy: c.policy}).Patience(true), "the upper bound")
			})
		})
	}
}

func TestJitterIsHalfOfThePauseAtLeast(t *testing.T) {
	for drawn, want := range map[float64]time.Duration{0: 100 * ms, 0.5: 150 * ms} {
		r := retrier{policy: scenarios.RetryPolicy{BackOff: scenarios.BackOff{First: 200 * ms, Jitter: true}}, draw: func(int) float64 { return drawn }}
		assert.Equal(t, want, r.pause(0, Attempt{}))
		assert.Equal(t, want, r.pause(3, Attempt{}))
	}
}

// TestHedging runs attempts beside each other in virtual time. The attempts are those of the first and of the second.
func TestHedging(t *testing.T) {
	const after = 50 * ms
	cancelled := func(took time.Duration) Attempt { return Attempt{Kind: Cancelled, Took: took} }
	for name, c := range map[string]struct {
		budget   float64
		attempts scripted
		want     []Attempt // in the order in which they ended
		hedges   []bool
		over     int
		took     time.Duration
	}{
		"an answer in time": {
			0, scripted{{40 * ms, answered(200)}}, []Attempt{answered(200)}, []bool{false}, 0, 40 * ms},
		"an error in time": {
			0, scripted{{40 * ms, answered(503)}}, []Attempt{answered(503)}, []bool{false}, 0, 40 * ms},
		"the second is acknowledged, and the first cancelled": {
			0, scripted{{200 * ms, answered(200)}, {10 * ms, answered(201)}}, []Attempt{cancelled(60 * ms), answered(201)}, []bool{false, true}, 0, 60 * ms},
		"the first is acknowledged, and the second cancelled": {
			0, scripted{{70 * ms, answered(200)}, {time.Hour, answered(201)}}, []Attempt{cancelled(20 * ms), answered(200)}, []bool{true, false}, 0, 70 * ms},
		"the first fails, and the second is awaited": {
			0, scripted{{60 * ms, answered(500)}, {100 * ms, answered(201)}}, []Attempt{answered(500), answered(201)}, []bool{false, true}, 0, 150 * ms},
		"the second fails, and the first is awaited": {
			0, scripted{{150 * ms, answered(200)}, {10 * ms, answered(400)}}, []Attempt{answered(400), answered(200)}, []bool{true, false}, 0, 150 * ms},
		"both fail": {
			0, scripted{{150 * ms, failing("reset")}, {10 * ms, answered(400)}}, []Attempt{answered(400), failing("reset")}, []bool{true, false}, 0, 150 * ms},
		"the generator itself failed to make the second": {
			0, scripted{{60 * ms, answered(503)}, {20 * ms, Attempt{Kind: "own", generatorFailed: true}}}, []Attempt{{Kind: "own"}, answered(503)}, []bool{true, false}, 0, 70 * ms},
		"no budget": {
			0.1, scripted{{200 * ms, answered(200)}, {0, answered(201)}}, []Attempt{answered(200)}, []bool{false}, 1, 200 * ms},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				r := retrier{policy: scenarios.RetryPolicy{Hedge: after}, budget: newRetryBudget(c.budget), attempt: c.attempts.script()}
				all := r.run(t.Context())
				assert.Equal(t, c.took, time.Since(began))
				var hedges []bool
				for i, a := range all.attempts {
					hedges = append(hedges, a.Hedge)
					if i < len(c.want) {
						assert.Equal(t, []any{c.want[i].Status, c.want[i].Kind}, []any{a.Status, a.Kind})
					}
					if a.Kind == Cancelled {
						assert.Equal(t, c.want[i].Took, a.Took)
						assert.Equal(t, Ambiguous, a.Outcome)
					}
				}
				assert.Equal(t, c.hedges, hedges)
				assert.Equal(t, []int{len(hedges) - 1, len(hedges) - 1, c.over}, []int{all.retries, all.hedges, all.overBudget})
			})
		})
	}
}

// Each attempt of the policy may have a second one beside it.
func TestRetriesAreHedged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		slow := scripted{{100 * ms, failing("reset")}, {100 * ms, failing("reset")}, {100 * ms, failing("reset")}, {10 * ms, answered(200)}}
		all := retrier{retries: 1, policy: scenarios.RetryPolicy{Hedge: 50 * ms, BackOff: scenarios.BackOff{First: 200 * ms}}, attempt: slow.script()}.run(t.Context())
		assert.Equal(t, 150*ms+200*ms+60*ms, time.Since(began))
		assert.Equal(t, []int{4, 3, 2}, []int{len(all.attempts), all.retries, all.hedges})
		assert.Equal(t, 200, all.attempts[3].Status)
		assert.Equal(t, Cancelled, all.attempts[2].Kind)
	})
}

// A request that times out ends both attempts, which have timed out then.
func TestHedgedRequestTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 80*ms)
		defer cancel()
		all := retrier{retries: 1, policy: scenarios.RetryPolicy{Hedge: 50 * ms}, attempt: scripted{{time.Hour, answered(200)}}.script()}.run(ctx)
		assert.Len(t, all.attempts, 2)
		for _, a := range all.attempts {
			assert.Equal(t, TimedOut, a.Kind)
		}
	})
}

func TestRetryBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRetryBudget(0.3)
		allowed := func() (n int) {
			for b.withdraw() {
				n++
			}
			return n
		}
		assert.Zero(t, allowed(), "no request was made yet")
		for range 10 {
			b.deposit()
		}
		assert.Equal(t, 3, allowed())
		for range 100 {
			b.deposit()
			time.Sleep(10 * ms)
		}
		assert.Equal(t, 30, allowed())
		time.Sleep(11 * time.Second)
		for range 100 {
			b.deposit()
		}
		time.Sleep(9 * time.Second)
		assert.Equal(t, 30, allowed(), "they count for 10 s")
		for range 100 {
			b.deposit()
		}
		time.Sleep(11 * time.Second)
		assert.Zero(t, allowed(), "requests of long ago do not count")
		time.Sleep(time.Hour)
		for range 10 {
			b.deposit()
		}
		assert.Equal(t, 3, allowed())
		assert.True(t, newRetryBudget(0).withdraw(), "no budget is no limit")
	})
}

// However requests and failures are spread, retries stay within their share of the requests.
func TestRetriesStayWithinTheirBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRetryBudget(0.1)
		requests, retries := 0, 0
		for i := range 20_000 {
			b.deposit()
			requests++
			if i%500 > 100 { // in bursts
				for range 3 {
					if b.withdraw() {
						retries++
					}
				}
			}
			time.Sleep(time.Duration(i%7) * 5 * ms)
		}
		assert.LessOrEqual(t, retries, requests/10)
		assert.Greater(t, retries, requests/20)
	})
}

// Sentences name the kinds of errors that occur.
func TestRetryErrorsAreTheKindsOfErrors(t *testing.T) {
	names := []string{otherError}
	for _, k := range errorKinds {
		names = append(names, k.name)
	}
	assert.ElementsMatch(t, names, scenarios.RetryErrors())
}

package runner_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// collapsing is a service that does no work, and only refuses, while it gets more than 60 requests in a second.
type collapsing struct {
	mu      sync.Mutex
	arrived []time.Time // within the last second
}

func (c *collapsing) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.arrived = append(slices.DeleteFunc(c.arrived, func(at time.Time) bool { return now.Sub(at) > time.Second }), now)
	if len(c.arrived) > 60 {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

func (c *collapsing) reset() { c.arrived = nil }

// Clients repeat what failed during a fault, and these retries keep the service overloaded after it is healed. A retry
// budget prevents that.
func TestRetryStorm(t *testing.T) {
	t.Parallel()
	recovered := check.Success{Ratio: 0.9, Window: journal.After}
	for name, c := range map[string]struct {
		budget  float64
		outcome string
	}{"without a budget": {0, "failed"}, "with a budget": {0.1, "passed"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := scenarios.Load{Rate: 30, Retries: 10, Policy: scenarios.RetryPolicy{BackOff: scenarios.BackOff{First: 200 * time.Millisecond}, Budget: c.budget},
				Mix: []scenarios.Route{{Method: "GET", Path: "/"}}}
			e := build(t, drill(name, &collapsing{}, l).
				Inject("clients", "orders", injector.Answer{Status: 503}).For(2500*time.Millisecond).
				Wait(3*time.Second).
				Check(recovered))
			_, h := run(t, runner.Options{}, e)
			v := verdict(t, h, recovered)
			if v.Outcome == "inconclusive" { // this machine was busy each time; the storm is there all the same
				require.Contains(t, v.Reason, "it would have "+c.outcome)
			} else {
				require.Equal(t, c.outcome, v.Outcome, v.Reason)
			}
			if c.budget == 0 {
				assert.Greater(t, h.Load.Retries, 2*h.Load.Sent)
				return
			}
			assert.LessOrEqual(t, h.Load.Retries, h.Load.Sent/10)
			assert.Positive(t, h.Load.OverBudget)
			assert.Contains(t, verdict(t, h, check.NotRepeated{}).Observed, "the retry budget prevented")
		})
	}
}

// numbered is a service that gives each order a number, and answers a key that it knows as before. It looks a key up
// and stores it in two steps, with the work between them, unless it is safe.
type numbered struct {
	safe bool

	mu      sync.Mutex
	answers map[string]string
	working map[string]chan struct{} // closed when the work on a key is done
	effects []journal.Effect
}

func (n *numbered) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/ledger" {
		n.mu.Lock()
		defer n.mu.Unlock()
		_ = json.NewEncoder(w).Encode(map[string]any{"effects": n.effects})
		return
	}
	_, _ = fmt.Fprint(w, n.order(r.Header.Get("Idempotency-Key")))
}

// order returns the answer to an order, which takes 60 ms of work.
func (n *numbered) order(key string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if done := n.working[key]; done != nil {
		n.mu.Unlock()
		<-done
		n.mu.Lock()
	}
	if answer, ok := n.answers[key]; ok {
		return answer
	}
	if n.safe {
		done := make(chan struct{})
		n.working[key] = done
		defer close(done)
	}
	n.mu.Unlock()
	time.Sleep(60 * time.Millisecond)
	n.mu.Lock()
	delete(n.working, key)
	id := fmt.Sprint("o-", len(n.effects)+1)
	n.effects = append(n.effects, journal.Effect{Key: key, ID: id})
	n.answers[key] = "order " + id
	return n.answers[key]
}

func (n *numbered) reset() {
	n.answers, n.working, n.effects = map[string]string{}, map[string]chan struct{}{}, nil
}

// Two attempts at the same time show that a service is not idempotent. Retries do not: they come one after the other.
func TestHedging(t *testing.T) {
	t.Parallel()
	once, same := check.ExactlyOnce{}, check.SameResponse{}
	for name, c := range map[string]struct {
		safe    bool
		hedge   time.Duration
		outcome string
	}{
		"a race that nothing shows":    {false, 0, "passed"},
		"a race under hedging":         {false, 20 * time.Millisecond, "failed"},
		"a safe service under hedging": {true, 20 * time.Millisecond, "passed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			orders := &numbered{safe: c.safe}
			e := build(t, scenarios.New(name).
				System(scenarios.System{
					Services: []scenarios.Service{{Name: "orders", Handler: orders, Serves: []string{"/"}}},
					Links:    []scenarios.Link{{From: "clients", To: "orders", Protocol: "http"}},
				}).
				EffectsFrom("GET /ledger").EffectsSettle(500*time.Millisecond).
				Load(scenarios.Load{Shape: scenarios.Counted, GiveUp: 30 * time.Second, Key: scenarios.HeaderKey("Idempotency-Key"),
					Policy: scenarios.RetryPolicy{Hedge: c.hedge}, Mix: []scenarios.Route{{Method: "POST", Path: "/orders"}}}).
				Send(20, 5).
				Inject("clients", "orders", injector.SlowReplies{By: 30 * time.Millisecond}).
				Send(60, 10).
				Check(once, same))
			_, h := run(t, runner.Options{}, e)
			for _, k := range []check.Check{once, same} {
				v := verdict(t, h, k)
				require.Equal(t, c.outcome, v.Outcome, "%s: %s %s", k, v.Reason, v.Details)
			}
			assert.Equal(t, h.Load.Attempts, h.Load.Wire)
			assert.Equal(t, h.Load.Retries, h.Load.Hedges)
			if c.hedge == 0 {
				return
			}
			assert.Equal(t, "passed", verdict(t, h, check.NotRepeated{}).Outcome)
			assert.Positive(t, h.Load.Hedges)
			second := 0
			for _, r := range h.Requests.All() {
				require.Equal(t, "acknowledged", r.Outcome)
				for _, a := range r.Attempts {
					if a.Hedge {
						second++
					}
				}
				if len(r.Attempts) == 2 {
					assert.Contains(t, []string{"", "cancelled"}, r.Attempts[0].Error)
				}
			}
			assert.Equal(t, h.Load.Hedges, second)
		})
	}
}

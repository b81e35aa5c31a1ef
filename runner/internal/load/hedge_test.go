package load

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// policyLoad is a load with keys under a policy.
func policyLoad(retries int, p scenarios.RetryPolicy) scenarios.Load {
	return scenarios.Load{
		Retries: retries, GiveUp: 30 * time.Second, Policy: p,
		Key: scenarios.HeaderKey("Idempotency-Key"), Mix: []scenarios.Route{{Method: "POST", Path: "/orders", Body: "{}", Share: 1}},
	}
}

// untilClosed answers only when the client has closed the connection.
func untilClosed(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func TestHedgedRequestOverHTTP(t *testing.T) {
	t.Parallel()
	client, k, requests := clientOn(t, policyLoad(0, scenarios.RetryPolicy{Hedge: 500 * ms}), untilClosed, status(201))
	client.Do(5, time.Now())
	e := k.all[0]
	require.Len(t, e.Attempts, 2)
	assert.Equal(t, []any{Acknowledged, 1, 1, 2}, []any{e.Outcome, e.Retries, e.Hedges, e.Wire})
	first, second := e.Attempts[0], e.Attempts[1]
	assert.Equal(t, []any{Cancelled, 0, Ambiguous, false}, []any{first.Kind, first.Status, first.Outcome, first.Hedge})
	assert.Equal(t, []any{"", 201, Acknowledged, true}, []any{second.Kind, second.Status, second.Outcome, second.Hedge})
	assert.True(t, second.At.After(first.At))
	for _, r := range requests() {
		assert.Equal(t, "run-5", r.key, "both carry the same key")
	}
	r := e.JournalRequest(func(at time.Time) time.Duration { return at.Sub(first.At) }, journal.Before)
	assert.Equal(t, []any{"acknowledged", time.Duration(0), "cancelled", true}, []any{r.Outcome, r.Began(), r.Attempts[0].Error, r.Attempts[1].Hedge})
	var l journal.Load
	client.account(&l)
	assert.Equal(t, journal.Load{Hedges: 1, EndsEarly: true}, l)
	assert.Equal(t, client.attempts.Load(), client.wire.Load())
}

// The cancelled attempt is the later one, so that the attempts are not in the order of their beginning.
func TestHedgeIsCancelledOverHTTP(t *testing.T) {
	t.Parallel()
	arrived := make(chan bool)
	client, k, _ := clientOn(t, policyLoad(0, scenarios.RetryPolicy{Hedge: 500 * ms}),
		func(w http.ResponseWriter, _ *http.Request) { <-arrived; w.WriteHeader(http.StatusOK) },
		func(w http.ResponseWriter, r *http.Request) { close(arrived); untilClosed(w, r) })
	client.Do(5, time.Now())
	e := k.all[0]
	require.Len(t, e.Attempts, 2)
	assert.Equal(t, []any{Acknowledged, Cancelled, 200}, []any{e.Outcome, e.Attempts[0].Kind, e.Attempts[1].Status})
	assert.Equal(t, e.Attempts[1].At, e.Began())
}

// Neither attempt is acknowledged, so that the request may have been applied.
func TestHedgedRequestThatFails(t *testing.T) {
	t.Parallel()
	client, k, _ := clientOn(t, policyLoad(0, scenarios.RetryPolicy{Hedge: 20 * ms, Within: 2 * time.Second}), untilClosed)
	client.Do(5, time.Now())
	assert.Equal(t, []any{Ambiguous, TimedOut, 2}, []any{k.all[0].Outcome, k.all[0].Kind, len(k.all[0].Attempts)})
}

// The journal has the digest of each acknowledging answer, so that two that differ are found.
func TestAnswersOfHedgedRequestsAreRecorded(t *testing.T) {
	answer := func(digest string, o Outcome) Attempt { return Attempt{Outcome: o, Answer: Answer{Digest: digest}} }
	e := Result{Hedges: 1, Attempts: []Attempt{answer("a", Acknowledged), answer("b", Ambiguous), answer("c", Acknowledged)}}
	e.Attempts[2].Answer.fallback = true
	digests := func() (all []string) {
		for _, a := range e.JournalRequest(func(time.Time) time.Duration { return 0 }, journal.Before).Attempts {
			all = append(all, a.Digest)
		}
		return all
	}
	assert.Equal(t, []string{"a", "", ""}, digests())
	e.Hedges = 0
	assert.Equal(t, []string{"", "", ""}, digests(), "the request has the digest")
}

func TestPoliciesOverHTTP(t *testing.T) {
	t.Parallel()
	busy := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	pause := scenarios.BackOff{First: 10 * ms}
	for name, c := range map[string]struct {
		policy   scenarios.RetryPolicy
		answers  []http.HandlerFunc
		outcome  Outcome
		kind     string
		attempts int
		shortest time.Duration
	}{
		"fixed pauses":              {scenarios.RetryPolicy{BackOff: scenarios.BackOff{First: 80 * ms}}, []http.HandlerFunc{status(503), status(503), status(200)}, Acknowledged, "", 3, 160 * ms},
		"growing pauses":            {scenarios.RetryPolicy{BackOff: scenarios.BackOff{First: 40 * ms, Most: 80 * ms}}, []http.HandlerFunc{status(503), hangUp, status(503), status(200)}, Acknowledged, "", 4, 200 * ms},
		"Retry-After":               {scenarios.RetryPolicy{BackOff: pause}, []http.HandlerFunc{busy, status(200)}, Acknowledged, "", 2, time.Second},
		"time-out of the request":   {scenarios.RetryPolicy{Within: 2 * time.Second, BackOff: pause}, []http.HandlerFunc{status(503), untilClosed}, Ambiguous, TimedOut, 2, 2 * time.Second},
		"time-out in a pause":       {scenarios.RetryPolicy{Within: 2 * time.Second, BackOff: scenarios.BackOff{First: time.Hour}}, []http.HandlerFunc{status(503)}, Ambiguous, "status 503", 1, 2 * time.Second},
		"not after this status":     {scenarios.RetryPolicy{Only: []string{"503", "closed"}}, []http.HandlerFunc{status(503), hangUp, status(500)}, Ambiguous, "status 500", 3, 0},
		"no budget":                 {scenarios.RetryPolicy{Budget: 0.5}, []http.HandlerFunc{status(503)}, Ambiguous, "status 503", 1, 0},
		"a budget for each request": {scenarios.RetryPolicy{Budget: 1, BackOff: pause}, []http.HandlerFunc{status(503)}, Ambiguous, "status 503", 2, 10 * ms},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, k, requests := clientOn(t, policyLoad(4, c.policy), c.answers...)
			client.Do(5, time.Now())
			e := k.all[0]
			assert.Equal(t, []any{c.outcome, c.kind, c.attempts}, []any{e.Outcome, e.Kind, len(e.Attempts)})
			assert.GreaterOrEqual(t, e.End.Sub(e.Due), c.shortest)
			assert.Len(t, requests(), c.attempts)
			assert.Equal(t, client.attempts.Load(), client.wire.Load())
		})
	}
}

func TestIgnoredRetryAfterOverHTTP(t *testing.T) {
	t.Parallel()
	client, k, _ := clientOn(t, policyLoad(3, scenarios.RetryPolicy{IgnoreRetryAfter: true, BackOff: scenarios.BackOff{First: ms}}), func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	client.Do(5, time.Now())
	all := k.all[0].Attempts
	require.Len(t, all, 4)
	shortest := time.Hour // the machine may pause, but not each time
	for i, a := range all[1:] {
		shortest = min(shortest, a.At.Sub(all[i].At)-all[i].Took)
	}
	assert.Less(t, shortest, scenarios.MostRetryAfter)
}

// A budget of a tenth allows a retry of every tenth request, and what it does not allow is counted.
func TestBudgetIsSharedByRequests(t *testing.T) {
	t.Parallel()
	client, k, _ := clientOn(t, policyLoad(3, scenarios.RetryPolicy{Budget: 0.1, BackOff: scenarios.BackOff{First: ms}}), status(503))
	for n := range uint64(40) {
		client.Do(n, time.Now())
	}
	retries := 0
	for _, e := range k.all {
		retries += e.Retries
	}
	assert.LessOrEqual(t, retries, 4)
	assert.Positive(t, retries)
	var l journal.Load
	client.account(&l)
	assert.Equal(t, 40, l.OverBudget, "each request would have had further retries")
}

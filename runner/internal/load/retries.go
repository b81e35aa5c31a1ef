package load

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios"
)

// retrier makes the attempts at one request that a policy allows.
type retrier struct {
	retries int
	policy  scenarios.RetryPolicy
	budget  *retryBudget                        // nil: no limit
	draw    func(i int) float64                 // at random from 0 to 1, for the pause after attempt i
	attempt func(ctx context.Context) []Attempt // one attempt; if redirects are followed, each is an Attempt, and the last is the result
}

// tries is what a retrier did.
type tries struct {
	attempts   []Attempt // in the order in which they ended; the last one is the result
	retries    int       // further attempts of the policy, hedges included
	hedges     int
	overBudget int // further attempts that the budget did not allow
}

// run makes attempts until one is acknowledged, the policy allows no more, or ctx ends.
func (r retrier) run(ctx context.Context) (t tries) {
	for i := 0; ; i++ {
		r.hedged(ctx, &t)
		a := t.attempts[len(t.attempts)-1]
		switch {
		case a.generatorFailed, a.Outcome == Acknowledged, i >= r.retries, !r.retriesAfter(a), ctx.Err() != nil:
			return t
		case !r.allowed(&t), !sleep(ctx, r.pause(i, a)):
			return t
		}
		t.retries++
	}
}

// allowed reports whether the budget allows a further attempt.
func (r retrier) allowed(t *tries) bool {
	if r.budget.withdraw() {
		return true
	}
	t.overBudget++
	return false
}

// pause returns how long to wait before the next attempt, after attempt i.
func (r retrier) pause(i int, a Attempt) time.Duration {
	pauses := r.policy.Pauses()
	pause := pauses.Pause(i)
	if pauses.Jitter {
		pause = pause/2 + time.Duration(r.draw(i)*float64(pause/2))
	}
	if !r.policy.IgnoreRetryAfter {
		pause = max(pause, min(a.Answer.RetryAfter, scenarios.MostRetryAfter))
	}
	return pause
}

// retriesAfter reports whether the policy retries after an attempt that was not acknowledged.
func (r retrier) retriesAfter(a Attempt) bool {
	if len(r.policy.Only) == 0 {
		return ShouldRetry(a)
	}
	return slices.Contains(r.policy.Only, strconv.Itoa(a.Status)) || slices.Contains(r.policy.Only, a.Kind)
}

// ShouldRetry reports whether a client without another policy retries after an attempt: if there was no answer, after
// 429, and after an error that leaves the outcome unknown. It does not retry a refused request or an answer below 400,
// such as a redirect, which would not change. An answer that is not HTTP says itself whether the same request may
// succeed later.
func ShouldRetry(a Attempt) bool {
	if a.replied {
		return a.transient || a.Outcome == Ambiguous
	}
	return a.Status == 0 || a.Status == http.StatusTooManyRequests || a.Outcome == Ambiguous && a.Status >= 400
}

// sleep waits for a time. It returns false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

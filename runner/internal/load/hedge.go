package load

import (
	"context"
	"errors"
)

// errAcknowledged is the cause of the end of an attempt that was cancelled.
var errAcknowledged = errors.New("another attempt was acknowledged")

// hedged makes an attempt, and a second one at the same time if the policy hedges and the first is not answered in
// time. The first of them to be acknowledged is the result, and the other one is cancelled: gRPC (proposal A6) and
// Finagle (BackupRequestFilter) do so, too, since the answer is no longer of use. If none is acknowledged, the one that
// ended last is the result. hedged returns when both have ended.
func (r retrier) hedged(ctx context.Context, t *tries) {
	if r.policy.Hedge == 0 {
		t.attempts = append(t.attempts, r.attempt(ctx)...)
		return
	}
	type ended struct {
		second bool
		hops   []Attempt
	}
	ends := make(chan ended, 2)
	start := func(second bool) context.CancelCauseFunc {
		ctx, cancel := context.WithCancelCause(ctx)
		go func() { ends <- ended{second, r.attempt(ctx)} }()
		return cancel
	}
	cancelFirst := start(false)
	defer cancelFirst(nil)
	waiting, stop := context.WithTimeout(ctx, r.policy.Hedge)
	defer stop()
	select {
	case first := <-ends:
		t.attempts = append(t.attempts, first.hops...)
		return
	case <-waiting.Done():
	}
	if ctx.Err() != nil || !r.allowed(t) {
		t.attempts = append(t.attempts, (<-ends).hops...)
		return
	}
	cancelSecond := start(true)
	defer cancelSecond(nil)
	t.retries++
	t.hedges++
	a := <-ends
	if acknowledges(a.hops) {
		cancelFirst(errAcknowledged)
		cancelSecond(errAcknowledged)
	}
	b := <-ends
	for _, e := range []ended{a, b} {
		for i := range e.hops {
			e.hops[i].Hedge = e.second
		}
	}
	if acknowledges(a.hops) || b.hops[len(b.hops)-1].generatorFailed {
		a, b = b, a
	}
	t.attempts = append(append(t.attempts, a.hops...), b.hops...)
}

// acknowledges reports whether an attempt, with its redirects, was acknowledged.
func acknowledges(hops []Attempt) bool { return hops[len(hops)-1].Outcome == Acknowledged }

package probes

import (
	"context"
	"fmt"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
)

// Run asks a probe at its interval until ctx ends, and records each answer. An answer that takes longer than the
// interval delays the next question; none is made up for. The answer that is awaited when ctx ends is not recorded.
func Run(ctx context.Context, p scenarios.Probe, t Target, record func(asked time.Time, took time.Duration, a Answer)) {
	for _, k := range kinds {
		if k.is(p) {
			repeat(ctx, p, k.asker(p, t), record)
			return
		}
	}
}

func repeat(ctx context.Context, p scenarios.Probe, ask ask, record func(asked time.Time, took time.Duration, a Answer)) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for next := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		asked := time.Now()
		a := once(ctx, p.Patience(), ask)
		if ctx.Err() != nil {
			return
		}
		now := time.Now()
		record(asked, now.Sub(asked), a)
		if next = next.Add(p.Interval()); next.Before(now) {
			next = now
		}
		timer.Reset(next.Sub(now))
	}
}

// once asks once, and waits for the answer for a limited time.
func once(ctx context.Context, patience time.Duration, ask ask) Answer {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errLate)
	defer cancel()
	a := ask(ctx)
	if context.Cause(ctx) == errLate && a.Unanswered != "" { //nolint:errorlint // never wrapped
		a.Unanswered = fmt.Sprintf("no answer within %s", check.Duration(patience))
	}
	return a
}

var errLate = fmt.Errorf("no answer in time")

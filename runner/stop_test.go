package runner_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

func TestInterruptedRunIsHealed(t *testing.T) {
	t.Parallel()
	e := build(t, drill("interrupted", &orders{}, scenarios.Load{}).
		Inject("clients", "orders", injector.CutOff{}).For(10*time.Minute).
		Check(check.Success{Ratio: 0.9}))
	res := runner.Steadily(t, func() (*runner.Result, error) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		return runner.RunExperiments(ctx, runner.Options{Dir: t.TempDir(), Watch: func(e journal.Event) {
			if e.Fault != nil && e.Fault.Stage == "injected" {
				cancel()
			}
		}}, e)
	})
	assert.Equal(t, 130, res.ExitCode())
	h := res.Book.Scenarios[0]
	require.NotEmpty(t, h.Faults)
	assert.Positive(t, h.Faults[0].Healed, "the fault is healed")
	require.NotNil(t, h.End)
	assert.Equal(t, "interrupted", h.End.Outcome)
	assert.Equal(t, codes.Interrupted.String(), h.End.Code)
	assert.NotEqual(t, "failed", verdict(t, h, check.Success{Ratio: 0.9}).Outcome, "requests that were under way are not the system's failure")
}

func TestStopRuleEndsTheRun(t *testing.T) {
	t.Parallel()
	e := build(t, drill("stopped", &orders{}, scenarios.Load{}).
		StopBelow(0.5, 2*time.Second).
		Inject("clients", "orders", injector.Answer{Status: 500}).For(10*time.Minute).
		Check(check.Success{Ratio: 0.9}))
	res, h := run(t, runner.Options{}, e)
	assert.Equal(t, 4, res.ExitCode())
	assert.Contains(t, h.End.Reason, "50%")
	assert.Equal(t, codes.Stopped.String(), h.End.Code)
	require.NotEmpty(t, h.Faults)
	assert.Positive(t, h.Faults[0].Healed)
}

// With a client timeout of a minute no request ends while the system hangs.
func TestStopRuleCountsUnansweredRequests(t *testing.T) {
	t.Parallel()
	e := build(t, drill("silent", &orders{}, scenarios.Load{GiveUp: time.Minute}).
		StopBelow(0.5, 2*time.Second).
		Inject("clients", "orders", injector.CutOff{}).For(10*time.Minute).
		Check(check.Success{Ratio: 0.9}))
	res := runner.Steadily(t, func() (*runner.Result, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second)
		defer cancel()
		return runner.RunExperiments(ctx, runner.Options{Dir: t.TempDir()}, e)
	})
	assert.Equal(t, 4, res.ExitCode(), "%v", runner.Failures(res.Book.Scenarios[0]))
}

// The operator can also heal a fault that stays live until a step heals it. That step then has nothing
// to do.
func TestOperatorHealsOpenEndedFault(t *testing.T) {
	t.Parallel()
	healing := make(chan struct{})
	close(healing)
	o := runner.Options{HealRequested: func(context.Context) <-chan struct{} { return healing }}
	e := build(t, drill("by hand", &orders{}, scenarios.Load{}).
		Inject("clients", "orders", injector.SlowCalls{By: time.Millisecond}).
		Wait(2*time.Second).
		Heal().
		Check(check.Success{Ratio: 0.9}))
	_, h := run(t, o, e)
	require.NotEmpty(t, h.Faults)
	assert.Less(t, h.Faults[0].Healed-h.Faults[0].Injected, 2*time.Second)
	assert.NotContains(t, h.End.Reason, "no fault is live")
}

// A request that comes while the next fault is being injected heals the faults that are live.
func TestOperatorHealsWhileTheNextFaultIsInjected(t *testing.T) {
	t.Parallel()
	var requests []chan struct{}
	o := runner.Options{
		Watch: func(e journal.Event) {
			if e.Begin != nil {
				requests = nil
			}
		},
		HealRequested: func(context.Context) <-chan struct{} {
			requests = append(requests, make(chan struct{}))
			if len(requests) == 2 {
				close(requests[0])
			}
			return requests[len(requests)-1]
		},
	}
	e := build(t, drill("by hand", &orders{}, scenarios.Load{}).
		Inject("clients", "orders", injector.SlowCalls{By: time.Millisecond}).
		Inject("clients", "orders", injector.SlowCalls{By: 2 * time.Millisecond}).For(100*time.Millisecond).
		Wait(2*time.Second).
		Heal().
		Check(check.Success{Ratio: 0.9}))
	_, h := run(t, o, e)
	require.Len(t, h.Faults, 2)
	assert.Less(t, h.Faults[0].Healed-h.Faults[0].Injected, 2*time.Second)
}

func TestOperatorSkipsOrHeals(t *testing.T) {
	t.Parallel()
	var sentences []string
	healing := make(chan struct{})
	close(healing)
	o := runner.Options{
		Watch: func(e journal.Event) {
			if e.Begin != nil {
				sentences = nil
			}
		},
		BeforeInject: func(_ context.Context, sentence string) (bool, error) {
			sentences = append(sentences, sentence)
			return len(sentences) == 1, nil
		},
		HealRequested: func(context.Context) <-chan struct{} { return healing },
	}
	e := build(t, drill("by hand", &orders{}, scenarios.Load{}).
		Inject("clients", "orders", injector.SlowCalls{By: time.Minute}).For(10*time.Minute).
		Inject("clients", "orders", injector.CutOff{}).For(10*time.Minute).
		Check(check.Success{Ratio: 0.1, Window: journal.Before}))
	res, h := run(t, o, e)
	assert.Len(t, sentences, 2)
	require.Len(t, h.Faults, 2)
	assert.Equal(t, "skipped", h.Faults[0].Stage)
	assert.Equal(t, "cut off", h.Faults[1].Kind)
	assert.Less(t, h.Faults[1].Healed-h.Faults[1].Injected, 5*time.Minute)
	assert.Equal(t, "passed", verdict(t, h, check.Success{Ratio: 0.1, Window: journal.Before}).Withheld)
	assert.Equal(t, "inconclusive", res.Outcome, "a drill without its fault proves nothing")
	assert.Contains(t, verdict(t, h, check.FaultsActed{}).Reason, "skipped by the facilitator")
	assert.NotContains(t, verdict(t, h, check.Healed{}).Outcome, "inconclusive")
}

package runner_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
)

// stuck is a fault whose undo does nothing.
type stuck struct{ injector.Refuse }

func (f stuck) Inject(ctx context.Context, t injector.Target) (injector.Heal, error) {
	_, err := f.Refuse.Inject(ctx, t)
	return func(context.Context) error { return nil }, err
}

// A dry run finds a fault that could not be undone, before it is injected into the system.
func TestDryRunFindsAnUndoThatFails(t *testing.T) {
	t.Parallel()
	e := build(t, drill("stuck", &orders{}, scenarios.Load{}).
		Inject("clients", "orders", stuck{}).For(10*time.Minute).
		Check(check.Success{Ratio: 0.9}))
	res, h := run(t, runner.Options{DryRun: true}, e)
	assert.Equal(t, 3, res.ExitCode())
	assert.Contains(t, h.End.Reason, "after the fault, link \"clients -> orders\" does not pass traffic")
	assert.Empty(t, h.Faults)
}

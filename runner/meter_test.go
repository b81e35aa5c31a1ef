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
)

func TestMeterDuringARun(t *testing.T) {
	t.Parallel()
	e := build(t, drill("measured", &orders{}, scenarios.Load{}).
		Inject("clients", "orders", injector.SlowCalls{By: 20 * time.Millisecond}).For(time.Minute).
		Check(check.Success{Ratio: 0.9}))
	var m *runner.Meter
	var first int64
	res := runner.Steadily(t, func() (res *runner.Result, err error) {
		m = &runner.Meter{}
		require.Empty(t, m.Counts(), "before the run")
		seen, ended := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			o := runner.Options{Dir: t.TempDir(), Meter: m, HealRequested: func(context.Context) <-chan struct{} { return seen }}
			res, err = runner.RunExperiments(t.Context(), o, e)
		}()
		c, ok := awaitAffected(ended, m, 0)
		if !ok {
			return res, err
		}
		first = c.Faults[0].Affected
		c, ok = awaitAffected(ended, m, first)
		require.True(t, ok, "it does not rise")
		assert.Equal(t, "measured", c.Scenario)
		f := c.Faults[0]
		assert.Equal(t, []string{"fault-1", "slow calls", "clients -> orders", "calls"}, []string{f.Fault, f.Kind, f.On, f.Unit})
		assert.True(t, f.Live)
		assert.GreaterOrEqual(t, f.DelayP50, 19*time.Millisecond)
		require.Len(t, c.Links, 1)
		assert.Equal(t, "clients -> orders", c.Links[0].Link)
		assert.Positive(t, c.Links[0].Opened)
		assert.GreaterOrEqual(t, c.Links[0].BytesToServer, int64(100))
		close(seen) // heals the fault, and the run ends
		<-ended
		return res, err
	})
	h := res.Book.Scenarios[0]
	require.NotEmpty(t, h.Faults)
	require.Positive(t, first)
	assert.Greater(t, h.Faults[0].Affected, first)
	assert.EqualValues(t, h.Faults[0].Affected, h.Faults[0].Delayed)
	assert.GreaterOrEqual(t, h.Faults[0].DelayP50, 19*time.Millisecond)
	require.Len(t, h.Traffic, 1)
	last := m.Counts()
	require.Len(t, last, 1, "after the run")
	assert.False(t, last[0].Faults[0].Live)
	assert.EqualValues(t, h.Faults[0].Affected, last[0].Faults[0].Affected)
}

// awaitAffected waits until the first fault has affected more than least. It returns false if the run ends before that.
func awaitAffected(ended <-chan struct{}, m *runner.Meter, least int64) (runner.Counts, bool) {
	for {
		if all := m.Counts(); len(all) == 1 && len(all[0].Faults) == 1 && all[0].Faults[0].Affected > least {
			return all[0], true
		}
		select {
		case <-ended:
			return runner.Counts{}, false
		case <-time.After(20 * time.Millisecond):
		}
	}
}

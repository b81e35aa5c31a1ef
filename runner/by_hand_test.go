package runner_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/runner/control"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// A step that heals "the fault" means the scenario's own. What was injected by hand stays, and is healed with the rest when
// the scenario is judged.
func TestFaultsByHandInARun(t *testing.T) {
	t.Parallel()
	live := make(chan struct{})
	answer := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-live }) // once there is a fault by hand
	e := build(t, scenarios.New("by hand").
		System(scenarios.System{
			Services: []scenarios.Service{{Name: "orders", Handler: answer, Serves: []string{"/"}}},
			Links:    []scenarios.Link{{From: "clients", To: "orders", Protocol: "http"}},
		}).
		Load(scenarios.Load{Shape: scenarios.Counted, Mix: []scenarios.Route{{Method: "GET", Path: "/", Share: 1}}}).
		Inject("clients", "orders", injector.SlowCalls{By: time.Millisecond}).
		Send(30, 1).
		Heal().
		Send(30, 1).
		Check(check.Success{Ratio: 0.5}))
	var byHand control.Reply
	var once sync.Once
	var asking sync.WaitGroup
	dir := t.TempDir()
	res, err := runner.RunExperiments(t.Context(), runner.Options{Dir: dir, Watch: func(ev journal.Event) {
		if ev.Fault == nil || ev.Fault.Stage != "live" || ev.Fault.By != "" {
			return
		}
		once.Do(func() {
			asking.Go(func() {
				isLive := sync.OnceFunc(func() { close(live) })
				defer isLive()
				runs, err := control.Running(t.Context(), dir)
				if !assert.NoError(t, err) || !assert.Len(t, runs, 1) {
					return
				}
				byHand, err = control.Hold(t.Context(), runs[0], control.Request{Do: "inject", By: "ann", UntilHeal: true, Sentence: `calls from "clients" to "orders" are delayed by 2ms`}, func(control.Reply) { isLive() })
				assert.NoError(t, err)
			})
		})
	}}, e)
	require.NoError(t, err)
	asking.Wait()
	require.NotEmpty(t, byHand.Lines)
	assert.Contains(t, byHand.Lines[0], "hand-1 is healed after")
	h := res.Book.Scenarios[0]
	require.Len(t, h.Faults, 2, "%v", runner.Failures(h))
	own, hand := h.Faults[0], h.Faults[1]
	assert.Equal(t, [2]string{"hand-1", "ann"}, [2]string{hand.ID, hand.By})
	assert.Empty(t, own.By)
	assert.Greater(t, hand.Healed, own.Healed, "the step healed the scenario's own")
	assert.Positive(t, hand.Affected)
	assert.Equal(t, codes.InjectedByHand.String(), verdict(t, h, check.NoneByHand{}).Code)
	assert.Equal(t, "inconclusive", h.End.Outcome)
}

package runner_test

import (
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/features/machine"
	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
)

// Before the load, a client sends the same requests as the load, and stops when the load begins.
// Without the trace context, requests of the load would be taken for its requests.
func TestTraceContextIdentifiesLoad(t *testing.T) {
	t.Parallel()
	res := runner.Steadily(t, func() (*runner.Result, error) { return runTraced(t) })
	h := res.Book.Scenarios[0]
	require.Len(t, h.Faults, 1)
	assert.Positive(t, h.Faults[0].Affected)
	assert.Zero(t, h.Faults[0].Background)
}

func runTraced(t *testing.T) (*runner.Result, error) {
	t.Helper()
	address := machine.FreeAddr(t)
	load := make(chan struct{})
	begins := sync.OnceFunc(func() { close(load) })
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Traceparent") != "" {
			begins()
		}
		_, _ = io.WriteString(w, "ok")
	})
	e := build(t, scenarios.New("traced").
		System(scenarios.System{
			Services: []scenarios.Service{{Name: "orders", Handler: handler, Serves: []string{"/"}}},
			Links:    []scenarios.Link{{From: "clients", To: "orders", Protocol: "http", Listen: address}},
		}).
		Load(scenarios.Load{Rate: 30, GiveUp: 30 * time.Second, Mix: []scenarios.Route{{Method: "GET", Path: "/", Share: 1}}}).
		Baseline(time.Second).
		Inject("clients", "orders", injector.SlowCalls{By: time.Millisecond}).For(time.Second).
		Check(check.Success{Ratio: 0.9}))
	var traffic sync.WaitGroup
	traffic.Go(func() {
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		every := time.NewTicker(5 * time.Millisecond)
		defer every.Stop()
		for {
			select {
			case <-load:
				return
			case <-t.Context().Done():
				return
			case <-every.C:
				if resp, err := client.Get("http://" + address + "/"); err == nil {
					_ = resp.Body.Close()
				}
			}
		}
	})
	defer traffic.Wait()
	defer begins()
	return runner.RunExperiments(t.Context(), runner.Options{Dir: t.TempDir()}, e)
}

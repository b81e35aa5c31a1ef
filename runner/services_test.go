package runner_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// webExperiment returns a builder with one service that plays a role, and a load on one of its paths.
func webExperiment(name string, s scenarios.Service, path string) *scenarios.Builder {
	s.Serves = []string{"/"}
	return scenarios.New(name).System(scenarios.System{Services: []scenarios.Service{s}}).
		Load(scenarios.Load{Rate: 50, Mix: []scenarios.Route{{Method: "GET", Path: path, Share: 1}}}).Baseline(500 * time.Millisecond)
}

func TestUnexpectedExitIsInconclusive(t *testing.T) {
	t.Parallel()
	_, h := run(t, runner.Options{}, build(t, webExperiment("ends", roleService("web", "server"), "/end").Wait(time.Second).Check(check.Success{Ratio: 0.5})))
	require.Equal(t, "inconclusive", h.End.Outcome)
	i := slices.IndexFunc(h.Processes, func(p journal.TimedProcess) bool { return p.What == "exited" })
	require.GreaterOrEqual(t, i, 0)
	assert.Equal(t, "exit status 7", h.Processes[i].Detail)
	assert.Equal(t, "ready\nthe disk is full", h.Processes[i].Log)
}

func TestForcedStopIsNotGraceful(t *testing.T) {
	t.Parallel()
	s := roleService("web", "stubborn")
	s.Stop.Within = 300 * time.Millisecond
	_, h := run(t, runner.Options{}, build(t, webExperiment("stubborn", s, "/a").Inject("", "web", injector.Stop{}).For(time.Second).Check(check.Success{Ratio: 0.5})))
	require.Equal(t, "inconclusive", h.End.Outcome)
	require.Contains(t, h.End.Reason, `"web" did not end within 300ms of SIGTERM and was killed: this was a crash, not an orderly stop; raise stop.within or send another stop.signal`)
	require.True(t, slices.ContainsFunc(h.Processes, func(p journal.TimedProcess) bool { return p.What == "killed" }))
}

func TestDaemonIsCrashedAndRestarted(t *testing.T) {
	t.Parallel()
	e := build(t, webExperiment("daemon", roleService("web", "daemon"), "/a").Inject("", "web", injector.Crash{}).For(time.Second).Check(check.Success{Ratio: 0.5}))
	_, h := run(t, runner.Options{}, e)
	require.Empty(t, h.End.Reason)
	failed := 0
	for _, s := range h.Samples {
		if s.Window == journal.During {
			failed += s.Sent - s.OK
		}
	}
	assert.Positive(t, failed, "its port really refuses")
	count := func(what string) (n int) {
		for _, p := range h.Processes {
			if p.What == what {
				n++
			}
		}
		return n
	}
	assert.Equal(t, 2, count("started"))
	assert.Equal(t, 2, count("ready"))
	assert.Equal(t, 1, count("crashed"))
	assert.Equal(t, 1, count("stopped"))
	assert.Positive(t, count("daemon"))
}

// A link may lead to a further port of a service. The server here listens at no other one.
func TestLinkToFurtherPort(t *testing.T) {
	t.Parallel()
	s := roleService("web", "server")
	s.Env["ADDR"], s.Ready, s.Serves = "127.0.0.1:${port:admin}", scenarios.Ready{Line: "^ready$"}, []string{"/"}
	e := build(t, scenarios.New("further port").System(scenarios.System{
		Services: []scenarios.Service{s},
		Links:    []scenarios.Link{{From: scenarios.Clients, To: "web", Port: "admin", Protocol: "http"}},
	}).Load(scenarios.Load{Rate: 50, Mix: []scenarios.Route{{Method: "GET", Path: "/a", Share: 1}}}).Baseline(500*time.Millisecond).
		Inject("", "web", injector.Crash{}).For(time.Second).Wait(500*time.Millisecond).Check(check.Success{Ratio: 0.99, Window: journal.Before}).Check(check.Success{Ratio: 0.99, Window: journal.After}))
	_, h := run(t, runner.Options{}, e)
	assert.Empty(t, h.End.Reason)
	require.Len(t, h.Faults, 1)
	assert.Positive(t, h.Faults[0].Affected, "calls through the link met the crash")
}

// Clients that reach a service without a link wait as long as it hangs, and none of their requests
// ends before healing.
func TestRequestsWaitingForHungServiceAreCounted(t *testing.T) {
	t.Parallel()
	e := build(t, webExperiment("hangs", roleService("web", "server"), "/a").Inject("", "web", injector.Hang{}).For(3500*time.Millisecond).Check(check.Success{Ratio: 0.5}))
	var counted []int64 // while the fault is live
	_, h := run(t, runner.Options{Watch: func(e journal.Event) {
		switch {
		case e.Begin != nil:
			counted = nil
		case e.Fault != nil && e.Fault.Stage == "counted":
			counted = append(counted, e.Fault.Affected)
		}
	}}, e)
	require.Len(t, h.Faults, 1)
	require.Empty(t, h.Faults[0].Hint)
	require.GreaterOrEqual(t, len(counted), 2)
	require.Greater(t, counted[1], counted[0])
	during := h.Sum(func(s journal.Sample) bool { return s.Window == journal.During })
	require.Greater(t, h.Faults[0].Affected, int64(during.Sent/2))
	require.LessOrEqual(t, h.Faults[0].Affected, int64(h.Load.Sent-h.Sum(func(s journal.Sample) bool { return s.Window == journal.Before }).Sent))
}

// A service that exits in a user-defined step, after the checks were judged, still makes the scenario
// inconclusive.
func TestExitAfterTheChecksIsInconclusive(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{
		"system.yaml": {Data: []byte("services:\n  web: {command: [\"${self}\"], env: {ROLE: server, ADDR: \"127.0.0.1:${port}\"}, serves: [/]}\n")},
		"a.feature": {Data: []byte(`Feature: web
  Scenario: it ends late
    Given the system described in "system.yaml"
    And a steady load of 20 requests per second on "GET /a"
    And a baseline is measured for 1s
    When 1s passes
    Then at least 50% of requests succeed
    And it exits unexpectedly
`)},
	}
	res := runner.Steadily(t, func() (*runner.Result, error) {
		ended := make(chan struct{})
		return runner.Run(t.Context(), runner.Options{
			Dir: t.TempDir(), Paths: []string{"a.feature"}, FS: files,
			Steps: []runner.Step{{Pattern: "^it exits unexpectedly$", Do: func(ctx context.Context) error {
				_, err := http.Get("http://" + runner.FromContext(ctx).Address("web") + "/end") //nolint:noctx // it answers nothing
				if err == nil {
					return errors.New("it answered")
				}
				select {
				case <-ended:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}}},
			Watch: func(e journal.Event) {
				if e.Process != nil && e.Process.What == "exited" {
					close(ended)
				}
			},
		})
	})
	require.Equal(t, 3, res.ExitCode())
	require.Contains(t, res.Book.Scenarios[0].End.Reason, `service "web" exited unexpectedly: exit status 7`)
}

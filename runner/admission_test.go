package runner

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

func admitted(r *admission, g *job) bool {
	select {
	case <-g.start:
		return true
	default:
		return false
	}
}

func TestAdmissionSeparatesConflictingScenarios(t *testing.T) {
	for name, c := range map[string]struct {
		limit         int
		first, second job
		together      bool
	}{
		"nothing shared":           {2, job{claims: []string{"port 1"}}, job{claims: []string{"port 2"}}, true},
		"a port":                   {2, job{claims: []string{"port 1", "port 3"}}, job{claims: []string{"port 3"}}, false},
		"more than at once":        {1, job{}, job{}, false},
		"no limit said":            {0, job{}, job{}, false},
		"one is alone":             {2, job{alone: true}, job{}, false},
		"the other is alone":       {2, job{}, job{alone: true}, false},
		"they fill the machine":    {2, job{cost: 1}, job{cost: 1}, true},
		"they overload it":         {2, job{cost: 1}, job{cost: 1.1}, false},
		"half of it is left free":  {2, job{cost: 0.5, timed: true}, job{cost: 0.5}, true},
		"less than half were free": {2, job{cost: 0.5}, job{cost: 0.6, timed: true}, false},
		"too large for any":        {2, job{cost: 99}, job{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newAdmission(c.limit)
			r.cpus = 2
			first, second := r.queue(&c.first), r.queue(&c.second)
			require.True(t, admitted(r, first))
			assert.Equal(t, c.together, admitted(r, second))
			assert.Equal(t, c.together, r.wasShared(first))
			r.release(first)
			assert.True(t, admitted(r, second))
			assert.Equal(t, c.together, r.wasShared(second))
		})
	}
}

func TestReleaseOfWaitingJob(t *testing.T) {
	r := newAdmission(1)
	first, second, third := r.queue(&job{}), r.queue(&job{}), r.queue(&job{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.Error(t, r.wait(ctx, second))
	r.release(first)
	require.NoError(t, r.wait(t.Context(), third))
	assert.False(t, admitted(r, second))
}

func TestJobOf(t *testing.T) {
	o := &Options{Handlers: map[string]http.Handler{"stub": http.NotFoundHandler()}}
	e := &scenarios.Experiment{
		System: scenarios.System{
			Dir: "shop",
			Services: []scenarios.Service{
				{Name: "free", Command: []string{"x"}}, {Name: "fixed", Command: []string{"x"}, Port: 9001, Dir: "."},
				{Name: "runs", Address: "127.0.0.1:80"}, {Name: "stub"},
			},
			Links: []scenarios.Link{{From: "a", To: "b", Listen: "unix:/run/x.sock"}, {From: "b", To: "c", Listen: "127.0.0.1:0"}, {From: "c", To: "d", Listen: "localhost:9002"}},
		},
		Load:   &scenarios.Load{Rate: 50},
		Steps:  []scenarios.Step{{Do: scenarios.ChangeLoad{From: 50, To: 150}}},
		Checks: []scenarios.Check{{Check: check.NoneTwice{}}},
	}
	g := jobOf(e, o)
	assert.Equal(t, []string{"port 9001", "folder shop", "a system that runs already", "handler of stub", "address unix:/run/x.sock", "port 9002"}, g.claims)
	assert.InDelta(t, 2.0/processesPerCPU+150.0/requestsPerCPU, g.cost, 1e-9)
	assert.False(t, g.timed)
	assert.False(t, g.alone)
	e.Checks, e.Tags = []scenarios.Check{{Check: check.Recovers{}}}, []string{"@serial"}
	g = jobOf(e, o)
	assert.True(t, g.timed)
	assert.True(t, g.alone)
	e.Tags = []string{"@light"}
	assert.InDelta(t, lightCost, jobOf(e, o).cost, 1e-9)
}

// In parallel with another scenario the baseline is not steady; alone it is. Only the second attempt
// is judged, and it records why it was made.
func TestScenarioShortOfCPURunsAgainAlone(t *testing.T) {
	t.Parallel()
	for range 1 + Repeats {
		if runCrowded(t) {
			return
		}
	}
	require.Fail(t, "the machine was too busy each time")
}

// runCrowded returns false if the machine was too busy for the second attempt, too.
func runCrowded(t *testing.T) bool {
	t.Helper()
	var crowded atomic.Bool
	crowded.Store(true)
	var mu sync.Mutex
	keys := map[string]bool{}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		keys[r.Header.Get("Idempotency-Key")] = true
		mu.Unlock()
		if crowded.Load() {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	e, err := scenarios.New("crowded").
		System(scenarios.System{Services: []scenarios.Service{{Name: "web", Handler: handler, Serves: []string{"/"}}}}).
		Load(scenarios.Load{Rate: 40, Key: scenarios.HeaderKey("Idempotency-Key"), Mix: []scenarios.Route{{Method: "GET", Path: "/", Share: 1}}}).
		Baseline(time.Second).Check(check.Success{Ratio: 0.99}).Build()
	require.NoError(t, err)
	e.Recovery = 0
	var r *runState
	other := &job{}
	begun := 0
	r, err = begin(Options{Dir: t.TempDir(), Parallel: 2, Watch: func(ev journal.Event) {
		switch {
		case ev.Begin != nil:
			begun++
		case ev.End != nil && ev.Scenario != "" && begun == 1:
			crowded.Store(false)
			go r.admission.release(other)
		}
	}}, []*scenarios.Experiment{e})
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Join(r.dir, "scenarios", e.ID, "logs"), 0o700))
	r.admission.queue(other)
	r.scenario(t.Context(), e, r.admission.queue(jobOf(e, &r.o)))
	res, err := r.end(t.Context())
	require.NoError(t, err)

	require.Equal(t, 2, begun)
	require.Len(t, res.Book.Scenarios, 1)
	h := res.Book.Scenarios[0]
	if res.Outcome == "inconclusive" {
		t.Log(strings.Join(failures(h), "\n"))
		return false
	}
	require.Equal(t, "passed", res.Outcome, strings.Join(failures(h), "\n"))
	assert.Equal(t, 2, h.Attempt)
	assert.Contains(t, h.RerunReason, "the baseline was not within the steady state")
	require.NotEmpty(t, h.Notes)
	assert.Contains(t, h.Notes[0].Text, "run again alone")
	assert.Empty(t, h.Total("", "").Errors, "the first attempt is not judged")
	assert.Len(t, keys, h.Load.Sent+len(discardedKeys(t, r)), "keys are not used twice")
	assert.Equal(t, []journal.Planned{{ID: e.ID, Name: "crowded", Line: e.Line, About: e.Estimate()}}, res.Book.Run.Plan)
	assert.DirExists(t, filepath.Join(res.Dir, "scenarios", e.ID+".attempt-1"))
	return true
}

// discardedKeys returns the keys of requests in the journal that are not from the last attempt.
func discardedKeys(t *testing.T, r *runState) map[string]bool {
	t.Helper()
	raw, err := os.ReadFile(r.file.Name())
	require.NoError(t, err)
	first, _, ok := strings.Cut(string(raw), `"attempt":2`)
	require.True(t, ok)
	keys := map[string]bool{}
	for line := range strings.Lines(first) {
		var e journal.Event
		if json.Unmarshal([]byte(line), &e) != nil || e.RequestRows == nil {
			continue
		}
		for _, r := range e.RequestRows.All() {
			keys[r.Key] = true
		}
	}
	return keys
}

// A verdict that was withheld because of a pause in which no request was under way is due to this machine, too.
func TestPauseBeforeFirstRequestIsDueToMachine(t *testing.T) {
	h := &journal.History{End: &journal.End{Outcome: "inconclusive"}, Verdicts: []journal.Verdict{{Kind: "success", Outcome: "inconclusive", Code: codes.TooFewRequests.String(), Reason: "3 requests"}}}
	assert.Empty(t, busyMachine(h, "baseline steady"))
	h.Verdicts = append(h.Verdicts, journal.Verdict{Kind: "success", Outcome: "inconclusive", Code: codes.RunnerPaused.String(), Reason: "the runner was paused"})
	assert.Equal(t, "the runner was paused", busyMachine(h, "baseline steady"))
}

package runner_test

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// gate is a front that calls a back through a circuit breaker: it opens after three failures in a row, lets a call
// through every 700 ms while it is open, and closes when that succeeds. What it cannot serve it refuses. Its flaws are
// the bugs that the checks have to find.
type gate struct {
	back   http.Client
	broken flaws

	mu       sync.Mutex
	failures int
	opened   time.Time
}

type flaws struct {
	neverOpens  bool
	neverCloses bool
	refusesBare bool // with another status, and without Retry-After
}

func (g *gate) reset() { g.mu.Lock(); defer g.mu.Unlock(); g.failures = 0 }

// admits reports whether a call may be made.
func (g *gate) admits() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.broken.neverOpens || g.failures < 3:
		return true
	case g.broken.neverCloses || time.Since(g.opened) < 700*time.Millisecond:
		return false
	}
	g.opened = time.Now()
	return true
}

func (g *gate) note(ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.failures++; ok {
		g.failures = 0
	}
	if g.failures == 3 {
		g.opened = time.Now()
	}
}

func (g *gate) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	if g.admits() {
		resp, err := g.back.Get("http://back/")
		ok := err == nil && resp.StatusCode == http.StatusOK
		if err == nil {
			resp.Body.Close()
		}
		if g.note(ok); ok {
			fmt.Fprint(w, "done")
			return
		}
	}
	if g.broken.refusesBare {
		http.Error(w, "sorry", http.StatusBadGateway)
		return
	}
	w.Header().Set("Retry-After", "1")
	http.Error(w, "later", http.StatusServiceUnavailable)
}

// TestDegradationChecks drills a gate in the ways that degradation can go wrong: each flaw fails its checks, and no
// others.
func TestDegradationChecks(t *testing.T) {
	t.Parallel()
	stops := check.StopsCalling{From: "front", To: "back", Within: time.Second}
	resumes := check.ResumesCalling{From: "front", To: "back", Within: time.Second}
	refuses := check.RefusesExcess{Statuses: []int{503}, Within: time.Second, RetryAfter: true, Window: journal.During}
	kinds := check.FailureKinds{Kinds: []check.FailureLimit{{Name: "status 503", AtMost: 1}}, Window: journal.During}
	budget := check.ErrorBudget{Spend: 0.4, Days: 1, Objective: 0.9999} // an outage of 3.5 s
	for name, row := range map[string]struct {
		flaws flaws
		want  map[string]string // of the checks that do not pass
	}{
		"sound":        {flaws{}, nil},
		"never opens":  {flaws{neverOpens: true}, map[string]string{stops.String(): "failed", resumes.String(): "inconclusive"}}, // there was nothing to resume
		"never closes": {flaws{neverCloses: true}, map[string]string{resumes.String(): "failed", budget.String(): "failed"}},
		"refuses bare": {flaws{refusesBare: true}, map[string]string{refuses.String(): "failed", kinds.String(): "failed"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			socket := filepath.Join(t.TempDir(), "back.sock")
			front := &gate{broken: row.flaws, back: http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
				DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
					return (&net.Dialer{}).DialContext(ctx, "unix", socket)
				},
			}}}
			t.Cleanup(front.back.CloseIdleConnections)
			checks := []check.Check{stops, resumes, refuses, kinds, budget}
			e := build(t, scenarios.New(name).System(scenarios.System{
				Services: []scenarios.Service{
					{Name: "front", Handler: front, Serves: []string{"/"}},
					{Name: "back", Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "back") })},
				},
				Links: []scenarios.Link{{From: "front", To: "back", Protocol: "http", Listen: "unix:" + socket}},
			}).Load(scenarios.Load{Rate: 50, Mix: []scenarios.Route{{Method: "GET", Path: "/", Share: 1}}}).Baseline(time.Second).
				Inject("front", "back", injector.Answer{Status: 503}).For(2*time.Second).Check(checks...))
			e.Recovery = 2 * time.Second
			_, h := run(t, runner.Options{}, e)
			for _, c := range checks {
				assert.Equal(t, cmp.Or(row.want[c.String()], "passed"), verdictOn(t, h, c).Outcome, "%s: %+v", c, verdictOn(t, h, c))
			}
		})
	}
}

func verdictOn(t *testing.T, h *journal.History, c check.Check) journal.Verdict {
	t.Helper()
	for _, v := range h.Verdicts {
		if v.Check == c.String() {
			return v
		}
	}
	require.Fail(t, "no verdict", c.String())
	return journal.Verdict{}
}

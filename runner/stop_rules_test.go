package runner

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
	described "github.com/firedrill-dev/firedrill/scenarios/system"
)

const (
	refused = `    When "back" refuses connections from "front" for %s`
	delayed = `    When calls from "front" to "back" are delayed by %s for %s`

	// lightLoad is half of backLoad, since the drills of all rules run at once.
	lightLoad = `    And a steady load of 25 requests per second on "GET /back"
    And the link is known
    And a baseline is measured for 2s
`
)

// TestStopRules is the conformance test of the table of stop rules: each stops a drill when its condition holds while a
// fault is live, heals it, and does not stop a drill in which it does not hold.
func TestStopRules(t *testing.T) {
	t.Parallel()
	type row struct {
		rule         string
		acts, silent string // the step with the fault
		probes       string
		during       func(dir string, answers *atomic.Int64) // called once the fault is live
		unlike       func(dir string, answers *atomic.Int64) // the same for the silent one
	}
	rows := map[string]row{
		"success_below": {
			rule: `{success_below: 50%, for: 1s}`,
			acts: fmt.Sprintf(refused, "10m"), silent: fmt.Sprintf(delayed, "20ms", "2s"),
		},
		"latency": {
			rule: `{latency: p95, above: 2s, for: 1s}`,
			acts: fmt.Sprintf(delayed, "4s", "10m"), silent: fmt.Sprintf(delayed, "20ms", "2s"),
		},
		"probe": {
			rule: `{probe: way to the back, for: 2s}`, probes: `probes: {way to the back: {http: "front GET /back", every: 50ms, within: 10s}}`,
			acts: fmt.Sprintf(refused, "10m"), silent: fmt.Sprintf(delayed, "20ms", "2s"),
		},
		"file": {
			rule: `{file: stop}`,
			acts: fmt.Sprintf(delayed, "20ms", "10m"), silent: fmt.Sprintf(delayed, "20ms", "2s"),
			during: func(dir string, _ *atomic.Int64) { _ = os.WriteFile(filepath.Join(dir, "stop"), nil, 0o600) },
			unlike: func(dir string, _ *atomic.Int64) { _ = os.WriteFile(filepath.Join(dir, "stopped"), nil, 0o600) },
		},
		"http": {
			rule: `{http: "front GET /stop", status: 409}`,
			acts: fmt.Sprintf(delayed, "20ms", "10m"), silent: fmt.Sprintf(delayed, "20ms", "2s"),
			during: func(_ string, answers *atomic.Int64) { answers.Store(409) },
			unlike: func(_ string, answers *atomic.Int64) { answers.Store(418) },
		},
	}
	once := func(t *testing.T, r row, fault string, during func(string, *atomic.Int64)) *Result {
		return runShop(t, lightLoad+fault+"\n    Then at least 99% of requests succeed before the fault\n", func(s *shop, o *Options) {
			o.Root = t.TempDir()
			o.FS.(fstest.MapFS)["system.yaml"].Data = []byte(shopFile + r.probes + "\nstop: [" + r.rule + "]\n")
			var answers atomic.Int64
			answers.Store(http.StatusOK)
			o.Handlers["front"] = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				if req.URL.Path == "/stop" {
					status := int(answers.Load())
					w.WriteHeader(status)
					if status == http.StatusConflict { // the body of this answer does not end
						_ = http.NewResponseController(w).Flush()
						<-req.Context().Done()
					}
					return
				}
				s.front(w, req)
			})
			o.Watch = func(e journal.Event) {
				if e.Fault != nil && e.Fault.Stage == "live" && during != nil {
					during(o.Root, &answers)
				}
			}
		})
	}
	// run runs again, at most Repeats times, if the runner did not run for a while and the outcome may be due to that.
	run := func(t *testing.T, r row, fault string, during func(string, *atomic.Int64), want string) *Result {
		res := once(t, r, fault, during)
		for range Repeats {
			if h := onlyScenario(res); h.End.Outcome == want && len(h.Faults) > 0 || len(h.Pauses) == 0 {
				break
			}
			t.Log("run again, because this machine was busy: " + onlyScenario(res).End.Reason)
			res = once(t, r, fault, during)
		}
		return res
	}
	for _, kind := range described.StopKinds() {
		r, ok := rows[kind]
		require.True(t, ok, "add a row for the stop rule %q", kind)
		t.Run(kind+" acts", func(t *testing.T) {
			t.Parallel()
			res := run(t, r, r.acts, r.during, "stopped")
			h := onlyScenario(res)
			require.Equal(t, 4, res.ExitCode(), "%s: %v", h.End.Reason, failures(h))
			assert.Equal(t, "stopped", h.End.Outcome)
			require.Len(t, h.Faults, 1)
			assert.Positive(t, h.Faults[0].Healed)
			assert.Empty(t, h.Faults[0].Error)
			assert.Contains(t, h.End.Reason, `stopped by the rule "`)
			assert.Contains(t, h.End.Reason, `every fault was healed: front -> back answers as "back" itself does`)
			assert.Contains(t, notes(h), `stopped by the rule "`)
			assert.Contains(t, notes(h), "healing was verified: ")
			for _, name := range []string{"report.html", "junit.xml", "summary.md", "report.json"} {
				raw, err := os.ReadFile(filepath.Join(res.Dir, name))
				require.NoError(t, err)
				assert.Contains(t, string(raw), "stopped by the rule", name)
			}
		})
		t.Run(kind+" is silent", func(t *testing.T) {
			t.Parallel()
			res := run(t, r, r.silent, r.unlike, "passed")
			assert.Equal(t, "passed", res.Outcome, "%v %v", onlyScenario(res).End, failures(onlyScenario(res)))
		})
	}
	require.Len(t, stopWatchers, len(described.StopKinds()))
}

func notes(h *journal.History) string {
	var all []string
	for _, n := range h.Notes {
		all = append(all, n.Text)
	}
	return strings.Join(all, "\n")
}

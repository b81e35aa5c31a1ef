package runner

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// counter is a service that places orders and tells a back about each. What the back did not take waits in an outbox.
// Each field is a planted bug.
type counter struct {
	deep      bool // liveness depends on the back
	blind     bool // readiness does not
	sticky    bool // /healed never becomes ready again
	unbounded bool // the outbox has no limit
	silent    bool // no alert fires
	coupled   bool // no order is placed without the back

	link   func() string
	client http.Client

	mu              sync.Mutex
	failing, failed bool
	outbox, placed  int
}

const outboxLimit = 20

func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/orders" {
		resp, err := c.client.Get("http://" + c.link())
		if err == nil {
			resp.Body.Close()
		}
		c.order(err == nil && resp.StatusCode == http.StatusOK)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	healthy := true
	switch r.URL.Path {
	case "/livez":
		healthy = !c.failing || !c.deep
	case "/readyz":
		healthy = !c.failing || c.blind
	case "/healed":
		healthy = !c.failing && !(c.sticky && c.failed)
	case "/alerts":
		if c.failing && !c.silent {
			fmt.Fprintln(w, "OrdersFailing")
		}
	case "/metrics":
		fmt.Fprintf(w, "# TYPE orders_placed_total counter\norders_placed_total %d\noutbox_messages %d\n", c.placed, c.outbox)
	}
	if !healthy {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

// order places an order that the back took or not.
func (c *counter) order(taken bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failing, c.failed = !taken, c.failed || !taken
	switch {
	case taken:
		c.outbox = 0
	case c.outbox < outboxLimit || c.unbounded:
		c.outbox++
	}
	if taken || !c.coupled {
		c.placed++
	}
}

const counterFile = shopFile + `
probes:
  alert firing: {http: "front GET /alerts", contains: "OrdersFailing", every: 100ms}
  outbox: {metric: "front GET /metrics", name: outbox_messages, every: 100ms}
  placed: {metric: "front GET /metrics", name: orders_placed_total, every: 100ms}
`

const probedDrill = `Feature: A
  Scenario: S
    Given the system described in "system.yaml"
    And a steady load of 50 requests per second on "POST /orders"
    And the link is known
    And a baseline is measured for 1s
    When calls from "front" to "back" answer with status 503 for 2s
    Then the health check "/livez" of "front" stays healthy during the fault
    And the health check "/readyz" of "front" turns unhealthy within 1s of the fault
    And the health check "/healed" of "front" turns healthy within 1s of healing
    And the queue "outbox" never holds more than 20 messages
    And the probe "alert firing" detects the fault within 1s
    And the key metric "orders_placed_total" of "front" keeps at least 90% of its baseline rate during the fault
`

// runProbed runs the drill against a counter with some bugs, and returns the verdicts of its checks.
func runProbed(t *testing.T, bugs func(*counter)) []journal.Verdict {
	t.Helper()
	r := Steadily(t, func() (*Result, error) {
		var mu sync.Mutex
		link := ""
		c := &counter{client: http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, link: func() string { mu.Lock(); defer mu.Unlock(); return link }}
		bugs(c)
		return Run(t.Context(), Options{
			FS:    fstest.MapFS{"a.feature": {Data: []byte(probedDrill)}, "system.yaml": {Data: []byte(counterFile)}},
			Paths: []string{"a.feature"}, Seed: 7, Dir: t.TempDir(),
			Handlers: map[string]http.Handler{"front": c, "back": http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})},
			Steps: []Step{{`^the link is known$`, func(ctx context.Context) {
				mu.Lock()
				defer mu.Unlock()
				link = FromContext(ctx).Link("front", "back")
			}}},
		})
	})
	h := onlyScenario(r)
	for _, v := range h.Verdicts[:len(h.Verdicts)-6] {
		require.Equal(t, "passed", v.Outcome, "%s: %s", v.Check, v.Reason)
	}
	return h.Verdicts[len(h.Verdicts)-6:]
}

func TestProbesOfASoundSystem(t *testing.T) {
	t.Parallel()
	for _, v := range runProbed(t, func(*counter) {}) {
		assert.Equal(t, "passed", v.Outcome, "%s: %s", v.Check, v.Reason)
		assert.NotEmpty(t, v.Evidence, v.Check)
	}
}

// Each check finds the bug that was planted for it.
func TestProbesFindBugs(t *testing.T) {
	t.Parallel()
	why := map[string]string{
		"stays healthy":   `the health check "/livez" of "front" was unhealthy, the first time status 503 at`,
		"turns unhealthy": `the health check "/readyz" of "front" answered status 200`,
		"turns healthy":   `the health check "/healed" of "front" was unhealthy`,
		"queue bounded":   `the queue "outbox" held `, "detects": `the probe "alert firing" answered`, "keeps its rate": `increased at 0.0 per second`,
	}
	var found []journal.Verdict
	for range 1 + Repeats { // again if this machine was so busy that one of the bugs proves nothing
		found = runProbed(t, func(c *counter) {
			c.deep, c.blind, c.sticky, c.unbounded, c.silent, c.coupled = true, true, true, true, true, true
		})
		if !slices.ContainsFunc(found, func(v journal.Verdict) bool { return v.Outcome == "inconclusive" && v.Withheld == "" }) {
			break
		}
	}
	for _, v := range found {
		// A pause of the runner withholds a failure, and the reason still has it.
		assert.Contains(t, []string{v.Outcome, v.Withheld}, "failed", "%s: %s", v.Check, v.Reason)
		assert.Contains(t, v.Reason, why[v.Kind])
	}
}

const stepsFile = shopFile + `
commands:
  promote: ["sh", "-c", "echo promoted >${dir}/marker; cat ${dir}/marker; echo left >&2; sleep 1000 &"]
  fails: ["sh", "-c", "echo no standby; exit 3"]
`

// runSteps runs a scenario in which steps ask and run something.
func runSteps(t *testing.T, steps string, front http.HandlerFunc) (*Result, *journal.History) {
	t.Helper()
	r := Steadily(t, func() (*Result, error) {
		return Run(t.Context(), Options{
			FS: fstest.MapFS{"system.yaml": {Data: []byte(stepsFile)}, "a.feature": {Data: []byte(`Feature: A
  Scenario: S
    Given the system described in "system.yaml"
    And a steady load of 50 requests per second on "GET /"
` + steps + `    Then at least 99% of requests succeed
`)}},
			Paths: []string{"a.feature"}, Dir: t.TempDir(), Handlers: map[string]http.Handler{"front": front, "back": front},
		})
	})
	return r, onlyScenario(r)
}

func TestStepsAskAndRunCommands(t *testing.T) {
	t.Parallel()
	var asked sync.Map
	r, h := runSteps(t, `    When "POST /promote" of "back" is asked
    And "PUT /scale" of "back" is asked with this body:
      """
      {"copies": 3}
      """
    And the command "promote" is run
    And 500ms pass
`, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path != "/" {
			asked.Store(r.Method+" "+r.URL.Path, r.Header.Get("Content-Type")+" "+string(body))
			fmt.Fprint(w, "as you wish")
		}
	})
	require.Equal(t, "passed", r.Outcome, failures(h))
	require.Len(t, h.Tasks, 3)
	for i, want := range []journal.Task{
		{What: `"POST /promote" of "back" is asked`, Result: "status 200", Output: "as you wish"},
		{What: `"PUT /scale" of "back" is asked`, Result: "status 200", Output: "as you wish"},
		{What: `the command "promote" is run`, Result: "exit status 0", Output: "promoted\nleft"},
	} {
		got := h.Tasks[i]
		assert.Equal(t, want, journal.Task{What: got.What, Result: got.Result, Output: got.Output})
		assert.Positive(t, got.Took)
	}
	scale, _ := asked.Load("PUT /scale")
	require.Equal(t, `application/json {"copies": 3}`, scale)
	_, plain := asked.Load("POST /promote")
	require.True(t, plain)
	log, err := os.ReadFile(filepath.Join(r.Dir, h.Tasks[2].Log))
	require.NoError(t, err)
	require.Contains(t, string(log), "promoted\nleft\n")
}

// A step that fails makes the run inconclusive: the drill did not do what it says.
func TestFailedStepsAreInconclusive(t *testing.T) {
	t.Parallel()
	for step, why := range map[string]string{
		`"POST /promote" of "back" is asked`: `a.feature:5: "POST /promote" of "back" is asked: status 503: still replaying`,
		`the command "fails" is run`:         `a.feature:5: the command "fails" is run: exit status 3: no standby`,
	} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			r, h := runSteps(t, "    When "+step+"\n    And 500ms pass\n", func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/" {
					http.Error(w, "still replaying", http.StatusServiceUnavailable)
				}
			})
			require.Equal(t, "inconclusive", r.Outcome)
			require.Contains(t, strings.Join(failures(h), "\n"), why)
			require.Len(t, h.Tasks, 1)
			require.True(t, h.Tasks[0].Failed)
		})
	}
}

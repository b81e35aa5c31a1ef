package runner

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/runner/internal/load"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

const copiesFile = `
services:
  orders: {address: "127.0.0.1:1", serves: [/], depends: {back: http}}
  orders-control: {address: "127.0.0.1:1", serves: [/], depends: {back: http}}
  back: {address: "127.0.0.1:1"}
`

const copiesFeature = `Feature: A
  Scenario: S
    Given the system described in "system.yaml"
    And a steady load of 60 requests per second on "GET /orders"
    And the load is split between "orders" and its untouched copy "orders-control"
    And clients give up after 1500ms
    And the links are known
    And a baseline is measured for 1s
`

// The faults of copies, each with the check that it makes fail if a copy has no time-out on its dependency.
const (
	backGone = `    When calls from "orders" to "back" are delayed by 4s for 4s
    Then requests to "orders" succeed at most 10 points less often than to "orders-control" during the fault
`
	backSlow = `    When calls from "orders" to "back" are delayed by 500ms for 5s
    Then the p95 latency to "orders" is at most 3 times that of "orders-control" during the fault
`
)

// runCopies drills two copies of a service that ask a back. If timeout is not 0, they answer without the back after it.
func runCopies(t *testing.T, fault string, timeout time.Duration) *Result {
	t.Helper()
	return Steadily(t, func() (*Result, error) {
		var mu sync.Mutex
		links := map[string]string{}
		client := http.Client{Timeout: timeout, Transport: &http.Transport{DisableKeepAlives: true}}
		copyOf := func(name string) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				link := links[name]
				mu.Unlock()
				req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, "http://"+link+"/", nil)
				if err == nil {
					if resp, err := client.Do(req); err == nil {
						resp.Body.Close()
					}
				}
				fmt.Fprint(w, "done")
			})
		}
		return Run(t.Context(), Options{
			FS:    fstest.MapFS{"a.feature": {Data: []byte(copiesFeature + fault)}, "system.yaml": {Data: []byte(copiesFile)}},
			Paths: []string{"a.feature"}, Seed: 7, Dir: t.TempDir(),
			Handlers: map[string]http.Handler{"orders": copyOf("orders"), "orders-control": copyOf("orders-control"), "back": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "back") })},
			Steps: []Step{{`^the links are known$`, func(ctx context.Context) error {
				mu.Lock()
				defer mu.Unlock()
				for _, name := range []string{"orders", "orders-control"} {
					links[name] = FromContext(ctx).Link(name, "back")
				}
				return nil
			}}},
		})
	})
}

func TestCopyWithATimeOutDoesAsWellAsItsControl(t *testing.T) {
	t.Parallel()
	h := onlyScenario(runCopies(t, backGone, 50*time.Millisecond))
	require.Equal(t, "passed", h.Verdicts[len(h.Verdicts)-1].Outcome, failures(h))
	sent := func(name string) int { return h.OfCopy(name).Sum(func(journal.Sample) bool { return true }).Sent }
	assert.InDelta(t, sent("orders"), sent("orders-control"), 2, "half of the requests go to each")
	assert.Equal(t, h.Load.Sent, sent("orders")+sent("orders-control"))
}

// Planted bug: the service waits for its dependency without a time-out.
func TestCopyWithoutATimeOutDoesWorseThanItsControl(t *testing.T) {
	t.Parallel()
	for fault, c := range map[string]struct{ kind, reason string }{
		backGone: {"succeeds as control", `less often than to "orders-control": timeout`},
		backSlow: {"fast as control", `"orders-control"`},
	} {
		t.Run(c.kind, func(t *testing.T) {
			t.Parallel()
			var h *journal.History
			var v journal.Verdict
			for range 1 + Repeats { // again if this machine was busy, and the verdict was withheld
				h = onlyScenario(runCopies(t, fault, 0))
				if v = h.Verdicts[len(h.Verdicts)-1]; v.Withheld == "" {
					break
				}
			}
			require.Equal(t, c.kind, v.Kind)
			require.Equal(t, "failed", v.Outcome, failures(h))
			assert.Contains(t, v.Reason, c.reason)
		})
	}
}

func TestHalfOfTheRequestsGoToEachCopy(t *testing.T) {
	t.Parallel()
	c := load.NewClient(t.Context(), load.Config{Load: &scenarios.Load{Copies: []string{"a", "b"}}, Seed: 7})
	defer c.Close()
	first := 0
	for n := uint64(0); n < 2000; n += 2 {
		assert.NotEqual(t, c.Copy(n), c.Copy(n+1), "of each two, one goes to each")
		if c.Copy(n) == "a" {
			first++
		}
	}
	assert.InDelta(t, 500, first, 60, "the order is drawn")
}

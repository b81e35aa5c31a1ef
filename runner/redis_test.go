package runner

import (
	"context"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/features/machine"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// A front gives up on a cache that hangs, or it does not: the calls that show it are commands of Redis. The connection
// carries commands without an answer of their own, too, such as those with which a client introduces itself.
func TestGivesUpOnRedis(t *testing.T) {
	_, err := exec.LookPath("redis-server")
	machine.Need(t, err, "apt-get install redis-server")
	t.Parallel()
	const check = `"front" gives up on "cache" within 300ms`
	for name, row := range map[string]struct {
		patience time.Duration
		outcome  string
	}{"in time": {200 * time.Millisecond, "passed"}, "much later": {1200 * time.Millisecond, "failed"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var client atomic.Pointer[redis.Client]
			front := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if err := client.Load().Incr(r.Context(), "hits").Err(); err != nil {
					http.Error(w, err.Error(), http.StatusBadGateway)
				}
			})
			drill := func() (*Result, error) {
				defer func() { _ = client.Load().Close() }()
				return Run(t.Context(), Options{
					FS: fstest.MapFS{"system.yaml": {Data: []byte(cacheFile)}, "a.feature": {Data: []byte(`Feature: A
  Scenario: S
    Given the system described in "system.yaml"
    And a steady load of 50 requests per second on "GET /"
    And the link is known
    And a baseline is measured for 1s
    When "cache" hangs for 2s
    Then ` + check + `
    And at least 1% of requests succeed
`)}}, Paths: []string{"a.feature"}, Seed: 7, Dir: t.TempDir(),
					Handlers: map[string]http.Handler{"front": front},
					Steps: []Step{{`^the link is known$`, func(ctx context.Context) error {
						client.Store(redis.NewClient(&redis.Options{Addr: FromContext(ctx).Link("front", "cache"), MaxRetries: -1, ReadTimeout: row.patience, PoolSize: 200, MinIdleConns: 20}))
						return nil
					}}},
				})
			}
			var v journal.Verdict
			for range 1 + Repeats { // again if the machine was busy
				h := steadily(t, drill)
				i := slices.IndexFunc(h.Verdicts, func(v journal.Verdict) bool { return v.Check == check })
				require.GreaterOrEqual(t, i, 0)
				if v = h.Verdicts[i]; v.Outcome != "inconclusive" || !strings.Contains(v.Reason, "Firedrill was that late") {
					break
				}
			}
			assert.Equal(t, row.outcome, v.Outcome, "%s; %s", v.Observed, v.Reason)
			assert.Regexp(t, `gave up on [1-9][0-9]* of`, v.Observed)
		})
	}
}

const cacheFile = `
services:
  front: {address: "127.0.0.1:1", serves: [/], depends: {cache: redis}}
  cache:
    command: [redis-server, --bind, "127.0.0.1", --port, "${port}", --dir, "${dir}", --save, "", --appendonly, "no"]
    ready: {line: Ready to accept connections, within: 30s}
    needs: redis-server
`

// A front counts its requests in a real redis-server. Commands whose replies are lost were executed;
// commands answered by the fault were not.
func TestFaultsOnRedis(t *testing.T) {
	_, err := exec.LookPath("redis-server")
	machine.Need(t, err, "apt-get install redis-server")
	t.Parallel()
	var mu sync.Mutex // guards the variables below
	var client *redis.Client
	var received, last int64
	var failures map[string]int64
	front := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n, err := client.Incr(context.Background(), "hits").Result()
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			failures[err.Error()]++
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		received, last = received+1, max(last, n)
		_, _ = w.Write([]byte(strconv.FormatInt(n, 10)))
	})
	text := `Feature: A
  Scenario: S
    Given the system described in "system.yaml"
    And a steady load of 50 requests per second on "GET /"
    And the link is known
    And a baseline is measured for 1s
    When 20% of replies from "cache" to "front" are lost after the work was done for 1500ms
    And only "INCR" messages from "front" to "cache" are answered with "LOADING" for 1s
    And 1s pass
    Then at least 20 messages from "front" to "cache" were affected by the fault
    And "cache" receives at most 200 calls per second
    And at least 99% of requests succeed during the fault
    And at least 99% of requests succeed after healing
`
	h := steadily(t, func() (*Result, error) {
		received, last, failures = 0, 0, map[string]int64{}
		defer func() { _ = client.Close() }()
		return Run(t.Context(), Options{
			FS: fstest.MapFS{"a.feature": {Data: []byte(text)}, "system.yaml": {Data: []byte(cacheFile)}}, Paths: []string{"a.feature"}, Seed: 7, Dir: t.TempDir(),
			Handlers: map[string]http.Handler{"front": front},
			Steps: []Step{{`^the link is known$`, func(ctx context.Context) error {
				client = redis.NewClient(&redis.Options{Addr: FromContext(ctx).Link("front", "cache"), MaxRetries: -1, ReadTimeout: 30 * time.Second, PoolTimeout: 30 * time.Second})
				return nil
			}}},
		})
	})
	requireVerdicts(t, h, "at least 99% of requests succeed during the fault")
	require.Len(t, h.Faults, 2)
	lost, refused := h.Faults[0], h.Faults[1]
	for _, f := range h.Faults {
		assert.Equal(t, "front -> cache", f.On)
		assert.Equal(t, "messages", f.Unit)
		assert.Positive(t, f.Affected)
	}
	mu.Lock()
	defer mu.Unlock()
	assert.Equal(t, received+lost.Affected, last, "commands whose replies were lost have counted; those that were answered on the way have not: %v", failures)
	assert.Equal(t, refused.Affected, failures["LOADING Redis is loading the dataset in memory"], "%v", failures)
	for _, m := range h.Messages {
		assert.Equal(t, "INCR hits", m.Op)
	}
}

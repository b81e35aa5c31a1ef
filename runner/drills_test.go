package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// shop is a front that calls a back, both in this process. Orders keep an effect for each key.
type shop struct {
	stall   sync.RWMutex // locked to stall all answers
	mu      sync.Mutex
	effects []journal.Effect
	seen    map[string]bool
	back    func() string // returns the address of the link to the back
	client  http.Client
}

func (s *shop) front(w http.ResponseWriter, r *http.Request) {
	s.stall.RLock()
	defer s.stall.RUnlock()
	if strings.HasPrefix(r.URL.Path, "/back") {
		resp, err := s.client.Get("http://" + s.back() + "/")
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		resp.Body.Close()
	}
	if key := r.Header.Get("Idempotency-Key"); key != "" {
		s.mu.Lock()
		if !s.seen[key] {
			s.seen[key] = true
			s.effects = append(s.effects, journal.Effect{Key: key, ID: fmt.Sprint("o-", len(s.effects))})
		}
		s.mu.Unlock()
	}
	if r.URL.Path == "/ledger" {
		s.mu.Lock()
		defer s.mu.Unlock()
		_ = json.NewEncoder(w).Encode(map[string]any{"effects": s.effects})
		return
	}
	fmt.Fprint(w, "done")
}

const shopFile = `
services:
  front: {address: "127.0.0.1:1", serves: [/], depends: {back: http}}
  back: {address: "127.0.0.1:1"}
clients: {depends: {front: http}}
`

// runShop runs one feature against a shop. change may introduce a bug or set options.
func runShop(t *testing.T, steps string, change func(*shop, *Options)) *Result {
	t.Helper()
	return Steadily(t, func() (*Result, error) {
		s := &shop{seen: map[string]bool{}, client: http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
		link := ""
		o := Options{
			FS:    fstest.MapFS{"a.feature": {Data: []byte("Feature: A\n  Scenario: S\n    Given the system described in \"system.yaml\"\n" + steps)}, "system.yaml": {Data: []byte(shopFile)}},
			Paths: []string{"a.feature"}, Seed: 7, Dir: t.TempDir(),
			Handlers: map[string]http.Handler{"front": http.HandlerFunc(s.front), "back": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "back") })},
			Steps: []Step{{`^the link is known$`, func(ctx context.Context) error {
				s.mu.Lock()
				defer s.mu.Unlock()
				if link = FromContext(ctx).Link("front", "back"); link == "" {
					return errors.New("no link")
				}
				return nil
			}}},
		}
		s.back = func() string { s.mu.Lock(); defer s.mu.Unlock(); return link }
		if change != nil {
			change(s, &o)
		}
		return Run(t.Context(), o)
	})
}

func onlyScenario(r *Result) *journal.History { return r.Book.Scenarios[0] }

const backLoad = `    And a steady load of 50 requests per second on "GET /back"
    And the link is known
    And a baseline is measured for 1s
`

// A front that ignores what the back answers survives a quota and a changed body; both acted.
func TestQuotaAndReplacedReplies(t *testing.T) {
	t.Parallel()
	r := runShop(t, backLoad+`    When "back" answers more than 10 calls per second from "front" with status 429 and retry after 2s for 1s
    And replies from "back" to "front" have this body for 1s:
      """
      {"maintenance": true}
      """
    Then at least 99% of requests succeed
`, nil)
	require.Equal(t, "passed", r.Outcome, failures(onlyScenario(r)))
	faults := onlyScenario(r).Faults
	require.Len(t, faults, 2)
	require.Positive(t, faults[0].Affected)
	require.Less(t, faults[0].Affected, faults[0].Seen, "ten calls of each second pass")
	require.Equal(t, faults[1].Seen, faults[1].Affected)
}

func TestCompleteDrillPasses(t *testing.T) {
	t.Parallel()
	r := runShop(t, backLoad+`    When calls from "front" to "back" are delayed by 20ms for 1s
    Then at least 20 calls from "front" to "back" were affected by the fault
    And at least 99% of requests succeed
`, nil)
	require.Equal(t, "passed", r.Outcome, failures(onlyScenario(r)))
	require.Zero(t, r.ExitCode())
	for _, name := range []string{"journal.ndjson", "report.html", "report.json", "junit.xml"} {
		require.FileExists(t, filepath.Join(r.Dir, name))
	}
	h := onlyScenario(r)
	require.Equal(t, h.Load.Attempts, h.Load.Wire)
	require.Equal(t, h.Load.Intended, h.Load.Sent+h.Load.Unsent)
	total := 0
	for _, s := range h.Samples {
		require.LessOrEqual(t, s.To-s.From, time.Second)
		require.Equal(t, s.Sent, s.OK+s.Fallback+s.Refused+s.Failed+s.Ambiguous)
		total += s.Sent
	}
	require.Equal(t, h.Load.Sent, total, "every request lies in one slice")
}

const ordersLoad = `    And a steady load of 50 requests per second on "POST /orders"
    And the link is known
    And every request carries a fresh idempotency key in the "Idempotency-Key" header
    And clients retry failed requests up to 5 times with the same key
    And clients give up after 2s
    And applied effects are read from "GET /ledger"
    And effects settle within 1s
    And a baseline is measured for 1s
    When 30% of replies from "front" to "clients" are lost after the work was done for 1500ms
    Then every acknowledged request is applied exactly once
    And no effect appears that was never requested
`

func TestStallDelaysEveryRequestDueInIt(t *testing.T) {
	t.Parallel()
	r := runShop(t, `    And a steady load of 50 requests per second on "GET /page"
    And a baseline is measured for 1s
    When the system stalls
    And 2s pass
    Then at least 99% of requests succeed
`, func(s *shop, o *Options) {
		o.Steps = append(o.Steps, Step{`^the system stalls$`, func() error {
			s.stall.Lock()
			time.AfterFunc(1200*time.Millisecond, s.stall.Unlock)
			return nil
		}})
	})
	all := onlyScenario(r).Total("", "")
	require.Greater(t, journal.Quantile(all.Latency, 90), 300*time.Millisecond, "requests due in the stall were not counted from when they were due")
}

func TestUserStepsThatFailOrPanic(t *testing.T) {
	t.Parallel()
	const steps = "    Then the moon is full\n"
	for name, c := range map[string]struct {
		do      any
		outcome string
		reason  string
	}{
		"fails":  {func() error { return errors.New("it is new") }, "failed", "a.feature:4: the moon is full — failed: observed it is new"},
		"panics": {func() error { panic("eclipse") }, "inconclusive", "eclipse"},
		"exits":  {runtime.Goexit, "inconclusive", "t.FailNow"}, // as t.FailNow does
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := runShop(t, steps, func(_ *shop, o *Options) {
				o.Steps = append(o.Steps, Step{`^the moon is full$`, c.do})
			})
			require.Equal(t, c.outcome, r.Outcome)
			require.Contains(t, strings.Join(failures(onlyScenario(r)), "\n"), c.reason)
		})
	}
}

// The front waits without a timeout for answers that never arrive, while its clients give up.
func TestCallersWithoutTimeoutAreFound(t *testing.T) {
	t.Parallel()
	r := runShop(t, backLoad+`    And clients give up after 500ms
    When 20% of replies from "back" to "front" are lost after the work was done, then silence for 2s
    Then at least 5 calls from "front" to "back" were affected by the fault
    And "front" gives up on "back" within 1s
`, nil)
	require.Equal(t, "failed", r.Outcome)
	require.Regexp(t, `"front" waited for \d+ answers of "back" that had not arrived`, strings.Join(failures(onlyScenario(r)), "\n"))
}

func TestOutlineRowsRunSeparately(t *testing.T) {
	t.Parallel()
	text := `Feature: A
  Scenario Outline: slow by <d>
    Given the system described in "system.yaml"
    When traffic from "front" to "back" is delayed by <d> for 10ms
    Then the row is <d>

    Examples:
      | d    |
      | 10ms |
      | 20ms |
`
	var mu sync.Mutex
	var rows []string
	s := &shop{seen: map[string]bool{}}
	r, err := Run(t.Context(), Options{
		FS:    fstest.MapFS{"a.feature": {Data: []byte(text)}, "system.yaml": {Data: []byte(shopFile)}},
		Paths: []string{"a.feature"}, Dir: t.TempDir(), Handlers: map[string]http.Handler{"front": http.HandlerFunc(s.front), "back": http.HandlerFunc(s.front)},
		Steps: []Step{{`^the row is (\S+)$`, func(d string) error { mu.Lock(); defer mu.Unlock(); rows = append(rows, d); return nil }}},
	})
	require.NoError(t, err)
	require.Len(t, r.Book.Scenarios, 2)
	require.Equal(t, []string{"10ms", "20ms"}, rows)
	require.Equal(t, "inconclusive", r.Outcome, "nothing was judged")
}

// The drills run in a process of their own, since other tests open files meanwhile.
func TestDescriptorsAreReleased(t *testing.T) {
	const inner = "FIREDRILL_TEST_RELEASED"
	if os.Getenv(inner) == "" {
		t.Parallel()
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDescriptorsAreReleased$", "-test.v")
		cmd.Env = append(os.Environ(), inner+"=1")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		return
	}
	open := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip("descriptors are counted on Linux")
		}
		return len(entries)
	}
	runShop(t, ordersLoad, nil) // opens what stays open for the life of the process
	before := open()
	runShop(t, ordersLoad, nil)
	require.Eventually(t, func() bool { return open() <= before }, 10*time.Second, 50*time.Millisecond)
}

package runner_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/Shopify/toxiproxy/v2/stream"
	"github.com/Shopify/toxiproxy/v2/toxics"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/reports"
	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// TestEveryPartIsReplaceable replaces the parts that Firedrill takes from libraries by a user's own: what sends the
// requests of the load, a fault on streams, what carries out the steps of feature files, and a chart.
func TestEveryPartIsReplaceable(t *testing.T) {
	t.Parallel()
	toxics.Register("shout", new(shout)) // the only test that registers it
	files := fstest.MapFS{
		"a.feature": {Data: []byte(`Feature: Orders
  Scenario: The store shouts
    Given the system described in "system.yaml"
    And the store is found
    When 20 calls of the function "order" are made, 2 at a time
    And the toxic "shout" is on one-way traffic from "store" to "clients"
    And 50 calls of the function "order" are made, 2 at a time
    And the fault is healed
    And 30 calls of the function "order" are made, 2 at a time
    Then at least 99% of requests succeed after healing
    And at least 99% of requests succeed during the fault
`)},
		"system.yaml": {Data: []byte(fmt.Sprintf("services:\n  store: {address: %q}\nclients: {depends: {store: tcp}}\n", startStore(t)))},
	}
	var store atomic.Value
	find := func(ctx context.Context) { store.Store(runner.FromContext(ctx).Link("clients", "store")) }
	var driven []string
	result := runner.Steadily(t, func() (*runner.Result, error) {
		driven = nil
		return runner.Run(t.Context(), runner.Options{
			FS: files, Paths: []string{"a.feature"}, Seed: 7, Dir: t.TempDir(),
			Steps: []runner.Step{{Pattern: "^the store is found$", Do: find}},
			Funcs: map[string]runner.Func{"order": func(ctx context.Context, r runner.Request) runner.Outcome {
				return order(ctx, store.Load().(string), r)
			}},
			Drive: func(s *runner.ScenarioRun) error {
				for i, step := range s.Experiment().Steps {
					driven = append(driven, step.Text)
					switch {
					case !step.Foreign:
						_ = s.RunStep(i) // what did not pass is in the verdicts
					case s.BeginUserStep(i):
						find(s.Context())
						s.EndUserStep(i, nil)
					}
				}
				return nil
			},
		})
	})
	h := result.Book.Scenarios[0]
	assert.Len(t, driven, 9)
	assert.Positive(t, h.Faults[0].Affected)
	outcomes := map[string]string{}
	for _, v := range h.Verdicts {
		if v.Step != "" {
			outcomes[v.Check] = v.Outcome
		}
	}
	assert.Equal(t, map[string]string{
		"at least 99% of requests succeed after healing":    "passed",
		"at least 99% of requests succeed during the fault": "failed",
	}, outcomes, "%s", strings.Join(runner.Failures(h), "\n"))

	require.NoError(t, append(reports.Formats(), reports.Format{Name: "bars", File: "bars.txt", Means: "a chart of bars", Write: writeBars}).WriteDir(result.Dir, result.Book))
	bars, err := os.ReadFile(filepath.Join(result.Dir, "bars.txt"))
	require.NoError(t, err)
	assert.Equal(t, "before ####\nduring ----------\nafter  ######\n", string(bars))
}

// shout is a fault on streams: what passes through it is in capital letters.
type shout struct{}

// Pipe implements toxics.Toxic.
func (*shout) Pipe(s *toxics.ToxicStub) {
	for {
		select {
		case <-s.Interrupt:
			return
		case chunk := <-s.Input:
			if chunk == nil {
				s.Close()
				return
			}
			s.Output <- &stream.StreamChunk{Data: []byte(strings.ToUpper(string(chunk.Data))), Timestamp: chunk.Timestamp}
		}
	}
}

// order sends an order over a connection of its own, and is content only with the answer that belongs to it.
func order(ctx context.Context, addr string, r runner.Request) runner.Outcome {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return runner.Refused("refused")
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	fmt.Fprintf(conn, "order %d\n", r.N)
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || answer != fmt.Sprintf("stored order %d\n", r.N) {
		return runner.NotKnown("garbled")
	}
	return runner.Acknowledged(answer)
}

// startStore starts a server that stores orders, which ends with the test, and returns its address.
func startStore(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				for lines := bufio.NewScanner(conn); lines.Scan(); {
					fmt.Fprintln(conn, "stored", lines.Text())
				}
			}()
		}
	}()
	return ln.Addr().String()
}

// writeBars is a chart: a mark for every five requests of each window, # if most of them succeeded.
func writeBars(w io.Writer, b *journal.Book) error {
	for _, h := range b.Scenarios {
		for _, window := range []journal.Window{journal.Before, journal.During, journal.After} {
			total := h.Total(window, "")
			mark := "-"
			if 2*h.Good(total) > total.Sent {
				mark = "#"
			}
			if _, err := fmt.Fprintf(w, "%-6s %s\n", window, strings.Repeat(mark, (total.Sent+total.Paused)/5)); err != nil {
				return err
			}
		}
	}
	return nil
}

package runner_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// triangle consists of three echo services, each of which depends on the other two, with a client at
// each that sends the letter of its service.
type triangle struct {
	addresses     map[string]string
	mu            sync.Mutex
	received      map[string]int        // by direction such as "ab": bytes from a received at b
	open          map[string]net.Conn   // by direction: the connection that stays open
	pendingEchoes map[string][]net.Conn // connections on which an echo is pending
}

func newTriangle(t *testing.T) *triangle {
	t.Helper()
	tr := &triangle{addresses: map[string]string{}, received: map[string]int{}, open: map[string]net.Conn{}, pendingEchoes: map[string][]net.Conn{}}
	var serving sync.WaitGroup
	for _, name := range []string{"a", "b", "c"} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		tr.addresses[name] = ln.Addr().String()
		t.Cleanup(func() { ln.Close() })
		serving.Go(func() {
			for {
				conn, err := ln.Accept()
				if err != nil {
					return
				}
				serving.Go(func() { defer conn.Close(); tr.echo(name, conn) })
			}
		})
	}
	t.Cleanup(func() {
		for way, c := range tr.open {
			c.Close()
			for _, c := range tr.pendingEchoes[way] {
				c.Close()
			}
		}
	})
	return tr
}

func (tr *triangle) echo(name string, conn net.Conn) {
	buf := make([]byte, 64)
	for {
		n, err := conn.Read(buf)
		tr.mu.Lock()
		for _, letter := range buf[:n] {
			tr.received[string(letter)+name]++
		}
		tr.mu.Unlock()
		if err != nil {
			return
		}
		_, _ = conn.Write(buf[:n])
	}
}

func (tr *triangle) crossed(way string) int {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.received[way]
}

// probe sends a letter and waits for its echo, on a new connection or on the one that stays open.
func (tr *triangle) probe(ctx context.Context, way string, fresh bool, patience time.Duration) error {
	conn := tr.open[way]
	if conn == nil || fresh {
		var err error
		if conn, err = net.DialTimeout("tcp", runner.FromContext(ctx).Link(way[:1], way[1:]), 10*time.Second); err != nil {
			return err
		}
		if tr.open[way] == nil {
			tr.open[way] = conn
		}
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write([]byte(way[:1])); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, make([]byte, 1))
	if err != nil {
		tr.pendingEchoes[way] = append(tr.pendingEchoes[way], conn)
	} else if conn != tr.open[way] {
		conn.Close()
	}
	return err
}

const (
	echoTimeout = 60 * time.Millisecond // no echo for this long means cut; an echo usually takes 1 ms
	healTimeout = 10 * time.Second      // how long the first probe after healing may take
)

var ways = []string{"ab", "ac", "ba", "bc", "ca", "cb"}

// checkCut returns an error unless nothing passes in the given directions, on open and on new
// connections, while all others work.
func (tr *triangle) checkCut(ctx context.Context, cut string) error {
	for _, way := range ways {
		before := tr.crossed(way)
		for _, fresh := range []bool{false, true} {
			if !strings.Contains(cut, way) {
				if err := tr.probe(ctx, way, fresh, healTimeout); err != nil {
					return fmt.Errorf("%s is not cut, and yet: %w", way, err)
				}
			} else if err := tr.probe(ctx, way, fresh, echoTimeout); !errors.Is(err, os.ErrDeadlineExceeded) {
				return fmt.Errorf("%s is cut, and yet: %w", way, err)
			}
		}
		if n := tr.crossed(way) - before; strings.Contains(cut, way) && n > 0 {
			return fmt.Errorf("%d bytes crossed %s", n, way)
		}
	}
	return nil
}

// checkHealed returns an error unless the first probe succeeds on a new connection, and held-back
// data arrives.
func (tr *triangle) checkHealed(ctx context.Context, cut string) error {
	for way := range strings.SplitSeq(cut, " ") {
		if err := tr.probe(ctx, way, true, healTimeout); err != nil {
			return fmt.Errorf("%s is healed, and the first probe: %w", way, err)
		}
		for _, conn := range tr.pendingEchoes[way] {
			_ = conn.SetDeadline(time.Now().Add(healTimeout))
			if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
				return fmt.Errorf("%s is healed, and what was held: %w", way, err)
			}
			if conn != tr.open[way] {
				conn.Close()
			}
		}
		delete(tr.pendingEchoes, way)
	}
	return nil
}

// drill runs a scenario with the given sentences about the triangle.
func (tr *triangle) drill(t *testing.T, steps string) *journal.History {
	t.Helper()
	system := "services:\n"
	for i := 0; i < len(ways); i += 2 {
		name := ways[i][:1]
		system += fmt.Sprintf("  %s: {address: %q, depends: [%s, %s]}\n", name, tr.addresses[name], ways[i][1:], ways[i+1][1:])
	}
	res, err := runner.Run(t.Context(), runner.Options{
		FS: fstest.MapFS{
			"system.yaml": {Data: []byte(system + "groups: {all: [a, b, c]}\n")},
			"a.feature":   {Data: []byte("Feature: A\n  Scenario: S\n    Given the system described in \"system.yaml\"\n    When \"\" is cut\n" + steps)},
		},
		Paths: []string{"a.feature"}, Dir: t.TempDir(),
		Steps: []runner.Step{{Pattern: `^"([^"]*)" is cut$`, Do: tr.checkCut}, {Pattern: `^"([^"]*)" is healed$`, Do: tr.checkHealed}, {
			Pattern: `^"(\w\w)" is heard and "(\w\w)" is not$`, Do: func(ctx context.Context, heard, not string) error {
				if err := tr.checkCut(ctx, not); err == nil || !strings.HasPrefix(err.Error(), heard+" is not cut") {
					return fmt.Errorf("%s should have been heard without an echo: %w", heard, err)
				}
				if tr.crossed(heard) == 0 {
					return fmt.Errorf("%s was not heard", heard)
				}
				return nil
			},
		}},
	})
	require.NoError(t, err)
	h := res.Book.Scenarios[0]
	for _, v := range h.Verdicts {
		assert.NotEqual(t, "failed", v.Outcome, "%s: %s", v.Step, v.Reason)
		if v.Kind == "faults acted" || v.Kind == "healed" {
			assert.Equal(t, "passed", v.Outcome, v.Reason)
		}
	}
	return h
}

func TestEachDirectionCanBeCut(t *testing.T) {
	t.Parallel()
	tr := newTriangle(t)
	var steps strings.Builder
	for _, way := range ways {
		fmt.Fprintf(&steps, "    And requests from %q never reach %q\n    And %q is cut\n    And the fault is healed\n    And %q is healed\n", way[:1], way[1:], way, way)
	}
	steps.WriteString(`    And "a" is cut off from the rest of "all"
    And "ab ac ba ca" is cut
    And "b" and "c" are cut off from each other
    And "ab ac ba bc ca cb" is cut
    And all faults are healed
    And "ab ac ba bc ca cb" is healed
    And "" is cut
    And 100ms pass
`) // the link counts bytes after it has written them, which may be after the echo was read
	h := tr.drill(t, steps.String())
	require.Len(t, h.Faults, 6+4+2)
	total := 0
	for _, f := range h.Faults {
		assert.Positive(t, f.Affected, f.On)
		assert.Positive(t, f.Connections, f.On)
		assert.GreaterOrEqual(t, f.Live, f.Injected)
		assert.Greater(t, f.Healed, f.Live)
	}
	require.Len(t, h.Traffic, 6)
	for i, c := range h.Traffic {
		way := ways[i]
		assert.Equal(t, way[:1]+" -> "+way[1:], c.Link)
		assert.EqualValues(t, tr.crossed(way), c.BytesToServer, "the link counts what the service counts")
		assert.Equal(t, c.BytesToServer, c.BytesToClient)
		total += int(c.Opened)
	}
	assert.Greater(t, total, 6*8)
}

func TestOneWayPartition(t *testing.T) {
	t.Parallel()
	tr := newTriangle(t)
	h := tr.drill(t, `    And traffic from "a" never reaches "b"
    And "ba" is heard and "ab" is not
`)
	require.Len(t, h.Faults, 2)
	assert.Equal(t, []string{"a -> b", "b -> a"}, []string{h.Faults[0].On, h.Faults[1].On})
	for _, f := range h.Faults {
		assert.Equal(t, `traffic from "a" never reaches "b"`, f.Sentence)
		assert.Equal(t, "fault-1", journal.FaultID(f.ID))
	}
}

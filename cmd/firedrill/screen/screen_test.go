package screen

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/cmd/firedrill/live"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// play is a game day whose time is that of the bubble.
type play struct {
	*Screen
	began time.Time
}

func newPlay(width, height int) *play {
	p := &play{Screen: New(nil, false), began: time.Now()}
	p.resize(width, height)
	return p
}

func (p *play) resize(width, height int) {
	_, _ = model{p.Screen}.Update(tea.WindowSizeMsg{Width: width, Height: height})
}

func (p *play) picture() string { return model{p.Screen}.View().Content }

// event sends an event that happens now.
func (p *play) event(e journal.Event) {
	e.At, e.Scenario = time.Since(p.began), "s"
	p.Event(e)
}

const (
	delayed = `calls from "orders" to "payments" are delayed by 800ms, give or take 200ms`
	hangs   = `"stock" hangs`
)

var asked = Prompt{
	Question: "next: inject: " + delayed, Undo: "the delay of the link is removed; waiting calls go at once",
	Keys: []string{"c: continue", "o: hold", "h: heal", "n: note", "d: detected", "m: mitigated", "!: abort"},
}

// begin plays up to the first fault, which a question asks for.
func (p *play) begin() {
	p.event(journal.Event{Run: &journal.Run{ID: "r"}})
	p.Begin(Card{
		Heading: "card 1 of 3: payments are slow, orders are taken nevertheless",
		Facts:   [][2]string{{"hypothesis", "orders are taken within 2s, and charged exactly once"}, {"steady state", "99% of requests succeed within 300ms"}, {"blast radius", "the payments of the demo shop"}, {"owner", "Cleo"}},
		Actions: []Action{{"fault-1", delayed, "the delay of the link is removed"}, {"fault-2", hangs, "the process is resumed"}},
	})
	p.event(journal.Event{Begin: &journal.Begin{ID: "s", Name: "slow payments", Links: []journal.Link{{From: "clients", To: "orders", Protocol: "http"}, {From: "orders", To: "payments", Protocol: "http"}, {From: "orders", To: "stock", Protocol: "tcp"}}}})
	p.event(journal.Event{Phase: &journal.Phase{Name: "baseline"}})
	time.Sleep(20 * time.Second)
	p.event(journal.Event{Phase: &journal.Phase{Name: "fault"}})
	p.second(100, 100, 12*time.Millisecond, 0)
	p.Show(asked)
}

// second has the figures of a second.
func (p *play) second(ended, good int, p99, held time.Duration) {
	time.Sleep(time.Second)
	to := time.Since(p.began)
	for link, affected := range map[string]int{"clients -> orders": 0, "orders -> payments": ended - good} {
		p.event(journal.Event{Calls: &journal.Calls{From: to - time.Second, To: to, Link: link, Calls: ended, Affected: affected, GaveUp: ended - good}})
	}
	p.event(journal.Event{Tick: &journal.Tick{
		Phase: "fault", Rate: float64(ended), Ended: ended, Good: good, Errors: ended - good, Retries: 2 * (ended - good), P50: p99 / 4, P99: p99,
		Stop: []journal.StopMeter{{Rule: "fewer than 50% of requests succeed for 10s", For: 10 * time.Second, Held: held, Now: fmt.Sprintf("%d.0%% succeeded", 100*good/ended)}, {Rule: `the file "stop-the-drill" appears`}},
	}})
}

// inject makes the first fault live for 30s, and a partition until it is healed.
func (p *play) inject() {
	p.Show(Prompt{Keys: asked.Keys[1:]})
	for _, f := range []journal.Fault{
		{ID: "fault-1", Sentence: delayed, On: "orders -> payments", Unit: "calls", Requested: 30 * time.Second},
		{ID: "hand-1.1", Sentence: `"orders" and "stock" are cut off from each other`, By: "ben", On: "orders -> stock", Unit: "connections"},
		{ID: "hand-1.2", Sentence: `"orders" and "stock" are cut off from each other`, By: "ben", On: "stock -> orders", Unit: "connections"},
	} {
		for _, stage := range []string{"injected", "live", "counted"} {
			f.Stage = stage
			if stage == "live" {
				f.Live = time.Since(p.began)
			}
			if stage == "counted" {
				f.Seen, f.Affected = 40, 4
			}
			p.event(journal.Event{Fault: &f})
		}
	}
	p.second(80, 20, 2400*time.Millisecond, 3*time.Second)
}

// moments are what the golden files show.
var moments = []struct {
	name string
	play func(*play)
}{
	{"before", func(p *play) {
		p.Begin(Card{Heading: "The shop without its helpers, 2026-12-02; facilitator: Ana"})
		p.Show(Prompt{Question: "before the first card, 1 of 2: the dashboards are open", Keys: []string{"c: continue", "o: hold", "n: note", "d: detected", "m: mitigated", "!: abort"}})
	}},
	{"question", func(p *play) { p.begin() }},
	{"live", func(p *play) { p.begin(); p.inject() }},
	{"hold", func(p *play) {
		p.begin()
		p.inject()
		held := asked
		held.OnHold, held.Keys = true, []string{"c: go on", "h: heal", "n: note", "d: detected", "m: mitigated", "!: abort"}
		p.Show(held)
	}},
	{"note", func(p *play) {
		p.begin()
		p.inject()
		p.Show(Prompt{Typing: true, Note: "the alert of payments fired after 12s, the one of orders did not; Ben asks whether the retries are to be seen"})
	}},
	{"healed", func(p *play) {
		p.begin()
		p.inject()
		for _, id := range []string{"fault-1", "hand-1.1", "hand-1.2"} {
			p.event(journal.Event{Fault: &journal.Fault{ID: id, Stage: "healed", Sentence: "x", Unit: "calls"}})
		}
		p.Show(Prompt{Keys: asked.Keys[3:]})
		p.second(100, 100, 12*time.Millisecond, 0)
	}},
}

func TestPictures(t *testing.T) {
	t.Parallel()
	for _, m := range moments {
		for _, size := range [][2]int{{80, 24}, {60, 20}} {
			name := fmt.Sprintf("%s-%dx%d", m.name, size[0], size[1])
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					p := newPlay(size[0], size[1])
					m.play(p)
					golden(t, name, p.picture()+"\n")
				})
			})
		}
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".txt")
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o600))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

// TestEverySize: at any size nothing is wider or higher than the terminal; and what is asked, its undo, all keys, and the
// time that the fault has left are there whole from 60x20 on.
func TestEverySize(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPlay(80, 24)
		p.begin()
		p.inject()
		p.Show(asked)
		for width := 1; width < 130; width += 3 {
			for height := 1; height < 45; height += 2 {
				p.resize(width, height)
				picture := p.picture()
				if width < 20 || height < 5 {
					continue // it does not fail
				}
				rows := strings.Split(picture, "\n")
				require.Len(t, rows, height)
				for _, row := range rows {
					require.LessOrEqual(t, ansi.StringWidth(row), width, "%dx%d: %s", width, height, row)
				}
				if width < 60 || height < 20 {
					continue
				}
				words := strings.Join(strings.Fields(picture), " ")
				for _, want := range append([]string{asked.Question, "undo: " + asked.Undo, "0:29 left: calls", "success 25.0%", "p99 2400 ms", "[###.......]"}, asked.Keys...) {
					require.Contains(t, words, want, "%dx%d", width, height)
				}
			}
		}
	})
}

// TestLease: the time that a fault has left goes on between events, and ends at zero.
func TestLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPlay(80, 24)
		p.begin()
		p.inject()
		time.Sleep(9 * time.Second)
		require.Contains(t, p.picture(), "0:20 left: calls")
		time.Sleep(time.Minute)
		require.Contains(t, p.picture(), "0:00 left: calls")
		require.Contains(t, p.picture(), "until it is healed: \"orders\" and \"stock\" are cut off")
	})
}

// TestTerminalIsNotControlled: what services and people write is escaped.
func TestTerminalIsNotControlled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPlay(80, 60)
		p.begin()
		p.inject()
		const evil = "\x1b[2J\x07\u202e"
		p.Begin(Card{Heading: evil, Facts: [][2]string{{"hypothesis", evil}}})
		p.Say(evil)
		for _, prompt := range []Prompt{{Question: evil, Undo: evil}, {Typing: true, Note: evil}} {
			p.Show(prompt)
			require.NotContains(t, p.picture(), "\x1b")
			require.NotContains(t, p.picture(), "\u202e")
		}
	})
}

// written collects what the program writes.
type written struct {
	mu sync.Mutex
	bytes.Buffer
}

func (w *written) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.Buffer.Write(p)
}

func (w *written) take() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.Reset()
	return w.String()
}

const enter, leave, showCursor = "\x1b[?1049h", "\x1b[?1049l", "\x1b[?25h"

// TestFewBytes: over a slow link, a second costs few bytes, and a screen that does not change costs none.
func TestFewBytes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out written
		p := &play{Screen: New(&out, false), began: time.Now()}
		p.Start(func(err error) { t.Error(err) })
		time.Sleep(frame) // it has no size: this is no terminal
		p.program.Send(tea.WindowSizeMsg{Width: 80, Height: 24})
		p.begin()
		time.Sleep(Delay)
		first := out.take()
		assert.Contains(t, first, enter)
		assert.Contains(t, first, "slow payments")
		for range 20 {
			p.second(100, 100, 12*time.Millisecond, 0)
		}
		time.Sleep(Delay)
		assert.Less(t, len(out.take()), 20*100, "in 20 seconds")
		p.event(journal.Event{End: &journal.End{}}) // of the scenario
		p.Event(journal.Event{At: time.Since(p.began), End: &journal.End{}})
		time.Sleep(Delay)
		out.take()
		time.Sleep(time.Minute)
		assert.Empty(t, out.take())
		p.Close()
		p.Close()
		last := out.take()
		assert.Contains(t, last, leave)
		assert.Contains(t, last, showCursor)
		_, after, _ := strings.Cut(last, leave)
		assert.Contains(t, after, "  baseline\n", "what happened stays in the terminal")
		time.Sleep(frame) // the goroutine of the next frame ends
	})
}

// TestPanicGivesTheTerminalBack: also if drawing fails, and the run is told.
func TestPanicGivesTheTerminalBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out written
		s := New(&out, false)
		failed := make(chan error, 1)
		s.Start(func(err error) { failed <- err })
		time.Sleep(Delay)
		require.Contains(t, out.take(), enter)
		s.mu.Lock()
		s.run.Faults = []*live.Fault{nil}
		s.mu.Unlock()
		require.ErrorContains(t, <-failed, "panic")
		require.Contains(t, out.take(), leave)
		s.Close()
		time.Sleep(frame) // the goroutine of the next frame ends
	})
}

// TestFallbacksAreShown: pages without their helpers are no success, unless the scenario says so, and no outage either.
func TestFallbacksAreShown(t *testing.T) {
	t.Parallel()
	s := New(io.Discard, false)
	for fallback, want := range map[int]string{0: "success 25.0%  p50", 15: "success 25.0%  fallbacks 75.0%  p50"} {
		s.run.Tick = journal.Tick{Phase: "fault", Ended: 20, Good: 5, Fallback: fallback}
		assert.Contains(t, s.load(80)[0].text, want)
	}
}

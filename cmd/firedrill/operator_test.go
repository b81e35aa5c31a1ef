package main

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/cmd/firedrill/screen"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// pretended is a front that takes a second to show something.
type pretended struct {
	mu    sync.Mutex
	now   screen.Prompt
	lines []string
}

func (p *pretended) Event(journal.Event)  {}
func (p *pretended) Begin(screen.Card)    {}
func (p *pretended) Close()               {}
func (p *pretended) Delay() time.Duration { return time.Second }

func (p *pretended) Say(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lines = append(p.lines, text)
}

func (p *pretended) Show(now screen.Prompt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = now
}

func (p *pretended) keys() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.now.Keys, "  ")
}

// attendance is an operator in a bubble of time, at a terminal unless the input was written in advance.
type attendance struct {
	*operator
	view  *pretended
	typed chan key
	said  []string // notes, with their kinds
	stop  error    // why the run was cancelled
}

func attend(t *testing.T, inAdvance bool) *attendance {
	t.Helper()
	a := &attendance{view: &pretended{}, typed: make(chan key, maxTyped)}
	keys := &keyboard{typed: a.typed, inAdvance: inAdvance, discard: time.Now, restore: func() {}}
	if inAdvance {
		keys.discard = func() time.Time { return time.Time{} }
	}
	a.operator = newOperator("ana", keys, a.view, append([]action{hold}, anytime()...), func(err error) { a.stop = err })
	a.record = func(n journal.Note) { a.said = append(a.said, n.Kind+": "+n.Text) }
	a.abort = func(by string) { a.said = append(a.said, "aborted by "+by) }
	go a.read()
	t.Cleanup(func() {
		a.event(journal.Event{End: &journal.End{}})
		close(a.typed)
	})
	return a
}

func (a *attendance) press(keys string) {
	for _, k := range []byte(keys) {
		a.typed <- key{k, time.Now()}
	}
	synctest.Wait()
}

// question asks, and returns a channel with the key that answered.
func (a *attendance) question(t *testing.T) <-chan byte {
	t.Helper()
	answered := make(chan byte, 1)
	go func() {
		k, err := a.ask(t.Context(), question{text: "next", choices: []choice{{"c ", "c: continue"}}})
		if err == nil {
			answered <- k
		}
	}()
	synctest.Wait()
	return answered
}

// TestTypedAheadAnswersNothing: neither what was typed before a question nor before it is visible answers it.
func TestTypedAheadAnswersNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := attend(t, false)
		a.press("cc")
		answered := a.question(t)
		a.press("c ")
		require.NotContains(t, a.view.keys(), "continue", "no key is shown before it acts")
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Empty(t, answered)
		require.Contains(t, a.view.keys(), "c: continue")
		a.press("c")
		require.Equal(t, byte('c'), <-answered)
		synctest.Wait()
		require.NotContains(t, a.view.keys(), "continue")
	})
}

// TestInputInAdvance: what was written in advance waits for what it is about, and a question after its end stops the run.
func TestInputInAdvance(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := attend(t, true)
		a.typed <- key{'c', time.Now()}
		a.typed <- key{'h', time.Now()}
		require.Equal(t, byte('c'), <-a.question(t))
		healed := a.canHealUntil(t.Context())
		a.event(journal.Event{Fault: &journal.Fault{ID: "fault-1", Stage: "live"}})
		<-healed
		require.Contains(t, a.said, "heal: healed by hand")
		require.NoError(t, a.stop)
		a.operator.mu.Lock()
		a.deaf = true
		a.operator.mu.Unlock()
		a.question(t)
		time.Sleep(time.Hour)
		synctest.Wait()
		require.ErrorIs(t, a.stop, errQuit)
		close(a.end)
	})
}

// TestHold: the answer after a hold only ends it.
func TestHold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := attend(t, false)
		answered := a.question(t)
		time.Sleep(time.Minute)
		synctest.Wait()
		a.press("oc")
		require.Empty(t, answered)
		a.press("c")
		require.Equal(t, byte('c'), <-answered)
		require.Equal(t, []string{"hold: on hold: nothing further is injected", "released: goes on"}, a.said)
	})
}

// TestHealOnlyWhatIsLive: h is offered and heals from when a fault is live until it is healed, or cannot be any more.
func TestHealOnlyWhatIsLive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := attend(t, false)
		a.press("h")
		require.Equal(t, []string{"nothing is live"}, a.view.lines)
		a.event(journal.Event{Fault: &journal.Fault{ID: "fault-1", Stage: "live"}})
		ctx, cancel := context.WithCancel(t.Context())
		healed := a.canHealUntil(ctx)
		require.Contains(t, a.view.keys(), "h: heal")
		a.press("nh\n") // a note
		select {
		case <-healed:
			t.Fatal("a key of a note healed")
		default:
		}
		cancel()
		a.press("h")
		require.NotContains(t, a.said, "heal: healed by hand")
		healed = a.canHealUntil(t.Context())
		a.press("h")
		<-healed
		require.NotContains(t, a.view.keys(), "h: heal")
		require.Equal(t, []string{"note: h", "heal: healed by hand"}, slices.DeleteFunc(a.said, func(s string) bool { return strings.HasPrefix(s, "detected") }))
	})
}

// TestAbortEndsQuestions: an abort heals, and ends the question that is open.
func TestAbortEndsQuestions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := attend(t, false)
		ended := make(chan error, 1)
		go func() {
			_, err := a.ask(t.Context(), question{text: "next", choices: goOn})
			ended <- err
		}()
		synctest.Wait()
		a.press("!!")
		require.ErrorIs(t, <-ended, errAborted)
		require.Equal(t, []string{"abort: aborts the run", "aborted by ana"}, a.said)
	})
}

// TestArrowsAreNoKeys: what a terminal sends for arrows and function keys does not act as the letters in it.
func TestArrowsAreNoKeys(t *testing.T) {
	t.Parallel()
	keys, err := readKeys(strings.NewReader("a\x1b[cb\x1bOdc\x1b[1;5ch\x1b[3~!\x1bq\x1b\x1b[Am"))
	require.NoError(t, err)
	var got []byte
	for k := range keys.typed {
		got = append(got, k.char)
	}
	require.Equal(t, "abch!qm", string(got))
}

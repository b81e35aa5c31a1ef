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

// testOperator is an operator in a bubble of time, at a terminal unless the input was written in advance.
type testOperator struct {
	*operator
	view  *pretended
	typed chan key
	said  []string // notes, with their kinds
	stop  error    // why the run was cancelled
}

func newTestOperator(t *testing.T, inAdvance bool) *testOperator {
	t.Helper()
	o := &testOperator{view: &pretended{}, typed: make(chan key, maxTyped)}
	keys := &keyboard{typed: o.typed, inAdvance: inAdvance, discard: time.Now, restore: func() {}}
	if inAdvance {
		keys.discard = func() time.Time { return time.Time{} }
	}
	o.operator = newOperator("ana", keys, o.view, append([]action{hold}, anytime()...), func(err error) { o.stop = err })
	o.record = func(n journal.Note) { o.said = append(o.said, n.Kind+": "+n.Text) }
	o.abort = func(by string) { o.said = append(o.said, "aborted by "+by) }
	go o.read()
	t.Cleanup(func() {
		o.event(journal.Event{End: &journal.End{}})
		close(o.typed)
	})
	return o
}

func (o *testOperator) press(keys string) {
	for _, k := range []byte(keys) {
		o.typed <- key{k, time.Now()}
	}
	synctest.Wait()
}

// question asks, and returns a channel with the key that answered.
func (o *testOperator) question(t *testing.T) <-chan byte {
	t.Helper()
	answered := make(chan byte, 1)
	go func() {
		k, err := o.ask(t.Context(), question{text: "next", choices: []choice{{"c ", "c: continue"}}})
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
		o := newTestOperator(t, false)
		o.press("cc")
		answered := o.question(t)
		o.press("c ")
		require.NotContains(t, o.view.keys(), "continue", "no key is shown before it acts")
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Empty(t, answered)
		require.Contains(t, o.view.keys(), "c: continue")
		o.press("c")
		require.Equal(t, byte('c'), <-answered)
		synctest.Wait()
		require.NotContains(t, o.view.keys(), "continue")
	})
}

// TestInputInAdvance: what was written in advance waits for what it is about, and a question after its end stops the run.
func TestInputInAdvance(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newTestOperator(t, true)
		o.typed <- key{'c', time.Now()}
		o.typed <- key{'h', time.Now()}
		require.Equal(t, byte('c'), <-o.question(t))
		healed := o.canHealUntil(t.Context())
		o.event(journal.Event{Fault: &journal.Fault{ID: "fault-1", Stage: "live"}})
		<-healed
		require.Contains(t, o.said, "heal: healed by hand")
		require.NoError(t, o.stop)
		o.operator.mu.Lock()
		o.deaf = true
		o.operator.mu.Unlock()
		o.question(t)
		time.Sleep(time.Hour)
		synctest.Wait()
		require.ErrorIs(t, o.stop, errQuit)
		close(o.end)
	})
}

// TestHold: the answer after a hold only ends it.
func TestHold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newTestOperator(t, false)
		answered := o.question(t)
		time.Sleep(time.Minute)
		synctest.Wait()
		o.press("oc")
		require.Empty(t, answered)
		o.press("c")
		require.Equal(t, byte('c'), <-answered)
		require.Equal(t, []string{"hold: on hold: nothing further is injected", "released: goes on"}, o.said)
	})
}

// TestHealOnlyWhatIsLive: h is offered and heals from when a fault is live until it is healed, or cannot be any more.
func TestHealOnlyWhatIsLive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newTestOperator(t, false)
		o.press("h")
		require.Equal(t, []string{"nothing is live"}, o.view.lines)
		o.event(journal.Event{Fault: &journal.Fault{ID: "fault-1", Stage: "live"}})
		ctx, cancel := context.WithCancel(t.Context())
		healed := o.canHealUntil(ctx)
		require.Contains(t, o.view.keys(), "h: heal")
		o.press("nh\n") // a note
		select {
		case <-healed:
			t.Fatal("a key of a note healed")
		default:
		}
		cancel()
		o.press("h")
		require.NotContains(t, o.said, "heal: healed by hand")
		healed = o.canHealUntil(t.Context())
		o.press("h")
		<-healed
		require.NotContains(t, o.view.keys(), "h: heal")
		require.Equal(t, []string{"note: h", "heal: healed by hand"}, slices.DeleteFunc(o.said, func(s string) bool { return strings.HasPrefix(s, "detected") }))
	})
}

// TestAbortEndsQuestions: an abort heals, and ends the question that is open.
func TestAbortEndsQuestions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newTestOperator(t, false)
		ended := make(chan error, 1)
		go func() {
			_, err := o.ask(t.Context(), question{text: "next", choices: goOn})
			ended <- err
		}()
		synctest.Wait()
		o.press("!!")
		require.ErrorIs(t, <-ended, errAborted)
		require.Equal(t, []string{"abort: aborts the run", "aborted by ana"}, o.said)
	})
}

// TestNothingIsDroppedOfWhatWasWrittenInAdvance: it may be longer than what is kept of a terminal.
func TestNothingIsDroppedOfWhatWasWrittenInAdvance(t *testing.T) {
	t.Parallel()
	keys, err := readKeys(strings.NewReader(strings.Repeat("x", 10*maxTyped)))
	require.NoError(t, err)
	time.Sleep(10 * time.Millisecond) // the reader is ahead
	n := 0
	for range keys.typed {
		n++
	}
	require.Equal(t, 10*maxTyped, n)
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

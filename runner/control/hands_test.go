package control

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// bench is an owner of links whose faults are only recorded.
type bench struct {
	dir    string
	met    bool
	fails  error
	lasts  time.Duration
	ended  chan struct{}
	healed chan string // why, for each fault
}

func newBench(t *testing.T) *bench {
	b := &bench{dir: t.TempDir(), healed: make(chan string, 10), ended: make(chan struct{}), met: true}
	hands := &Hands{Inject: func(_ context.Context, id string, r Request) (Live, error) {
		if r.Sentence == "" {
			return Live{}, errors.New("no sentence")
		}
		return Live{
			Sentence: r.Sentence, For: b.lasts, Ended: b.ended,
			Met:  func() (string, bool) { return fmt.Sprintf("met: %v", b.met), b.met },
			Heal: func(why string) error { b.healed <- id + " " + why; return b.fails },
		}, nil
	}}
	serve(t, b.dir, func(ctx context.Context, r Request, tell func(Reply)) Reply {
		reply, ok := hands.Answer(ctx, r, tell)
		if !ok {
			reply.Error = "unknown"
		}
		return reply
	})
	return b
}

// inject injects a fault until ctx ends, and returns once it is live. end returns the last reply.
func (b *bench) inject(ctx context.Context, t *testing.T) (end func() (Reply, error)) {
	t.Helper()
	live := make(chan Reply, 1)
	var last Reply
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		last, err = Hold(ctx, b.dir, Request{Do: "inject", By: "ann", Sentence: "it is slow"}, func(r Reply) { live <- r })
	}()
	require.Regexp(t, `^hand-\d is live: it is slow$`, (<-live).Lines[0])
	return func() (Reply, error) { <-done; return last, err }
}

func (b *bench) ask(t *testing.T, do, fault string) []string {
	t.Helper()
	reply, err := Call(t.Context(), b.dir, Request{Do: do, By: "bob", Fault: fault})
	require.NoError(t, err)
	return reply.Lines
}

func TestFaultsByHand(t *testing.T) {
	b := newBench(t)
	assert.Equal(t, []string{"no fault injected by hand is live"}, b.ask(t, "faults", ""))
	first, second := b.inject(t.Context(), t), b.inject(t.Context(), t)
	lines := b.ask(t, "faults", "")
	require.Len(t, lines, 4)
	assert.Equal(t, "hand-1  it is slow", lines[0])
	assert.Regexp(t, `^  by ann since [\d:]+, until it is healed: met: true$`, lines[1])

	_, err := Call(t.Context(), b.dir, Request{Do: "heal", Fault: "hand-9"})
	require.ErrorContains(t, err, `no fault "hand-9" is live: name one of hand-1, hand-2, or "all"`)
	assert.Regexp(t, `^hand-1 is healed after [\d.]+m?s, by bob: met: true$`, b.ask(t, "heal", "hand-1")[0])
	assert.Equal(t, "hand-1 by bob", <-b.healed)
	reply, err := first()
	require.NoError(t, err)
	assert.Contains(t, reply.Lines[0], "hand-1 is healed", "the one who injected it is told")
	assert.False(t, reply.Nothing)

	assert.Len(t, b.ask(t, "faults", ""), 2)
	b.ask(t, "heal", "all")
	assert.Equal(t, "hand-2 by bob", <-b.healed)
	_, err = second()
	require.NoError(t, err)
	_, err = Call(t.Context(), b.dir, Request{Do: "heal", Fault: "all"})
	require.ErrorContains(t, err, "nothing to heal")
}

// A fault ends with its time, with the program that asked for it, and when its owner ends it.
func TestFaultsByHandEnd(t *testing.T) {
	b := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	end := b.inject(ctx, t)
	cancel()
	_, err := end()
	require.NoError(t, err)
	assert.Equal(t, "hand-1 since the program that asked for it has ended", <-b.healed)

	b.lasts = time.Millisecond
	_, err = b.inject(t.Context(), t)()
	require.NoError(t, err)
	assert.Equal(t, "hand-2 since its time is over", <-b.healed)

	b.lasts, b.met = 0, false
	end = b.inject(t.Context(), t)
	close(b.ended)
	reply, err := end()
	require.NoError(t, err)
	assert.Equal(t, "hand-3 since its links or its drill ended it", <-b.healed)
	assert.True(t, reply.Nothing, "it affected nothing, and says so")
	assert.Empty(t, b.healed, "each was healed once")
}

// A fault that cannot be healed is an error for everybody who waits for that.
func TestFailedHealing(t *testing.T) {
	b := newBench(t)
	b.fails = errors.New("the link is stuck")
	end := b.inject(t.Context(), t)
	assert.Equal(t, []string{"heal hand-1: the link is stuck"}, b.ask(t, "heal", "all"))
	_, err := end()
	require.EqualError(t, err, "heal hand-1: the link is stuck")
}

// What cannot be injected leaves nothing, and a fault needs a client that holds it.
func TestRefusedInjection(t *testing.T) {
	b := newBench(t)
	_, err := Hold(t.Context(), b.dir, Request{Do: "inject"}, func(Reply) {})
	require.EqualError(t, err, "no sentence")
	_, err = Call(t.Context(), b.dir, Request{Do: "inject", Sentence: "it is slow"})
	require.ErrorContains(t, err, "needs a program that holds it")
	assert.Equal(t, []string{"no fault injected by hand is live"}, b.ask(t, "faults", ""))
}

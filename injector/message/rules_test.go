package message

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// A rule that is healed after it chose a message but before it holds it records that it held nothing.
func TestHealedReorderHoldsNothing(t *testing.T) {
	var events []evidence.Event
	row := Protocol{Name: "toy", Actions: []Action{Reorder}, Class: ClassByParts("/"), Matches: MatchPath}
	r, err := New(row, Config{Sink: func(e evidence.Event) { events = append(events, e) }})
	require.NoError(t, err)
	count := evidence.NewCounter("calls")
	heal, err := r.Add(Rule{ID: "fault-1", Action: Reorder, Wait: time.Minute, Count: count})
	require.NoError(t, err)
	x := r.Decide(Message{Op: "POST /charge"}, Ticket{})
	require.NotNil(t, x.Rule())
	require.NoError(t, heal(t.Context()))
	assert.Nil(t, r.Reorder(x))
	assert.False(t, x.Affected)
	assert.Equal(t, "the fault was healed before it was held", x.Skipped)
	require.Len(t, events, 1)
	assert.Equal(t, evidence.Skipped, events[0].Stage)
	assert.Zero(t, count.Tally().Affected)
}

// Jitter is uniformly distributed within [By-Jitter, By+Jitter], with the corresponding mean and spread.
func TestJitterIsUniform(t *testing.T) {
	l := &Live{Rule: Rule{Action: Delay, By: 100, Jitter: 40, Seed: 3}}
	const n = 10000
	var sum, squares float64
	for i := range uint64(n) {
		d := float64(l.delayOf("a -> b", "GET", "/", i))
		assert.True(t, d >= 60 && d <= 140)
		sum += d
		squares += d * d
	}
	mean := sum / n
	assert.InDelta(t, 100, mean, 1.5)
	assert.InDelta(t, 80/math.Sqrt(12), math.Sqrt(squares/n-mean*mean), 1)
}

package message_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// A rule for any topic of a message matches it, but not a rule that mixes two topics.
func TestMessagesWithSeveralTopics(t *testing.T) {
	d := message.Message{Topic: message.Topic{Method: "counter", Path: "a"}, More: []message.Topic{{Method: "timer", Path: "b"}}}
	for _, c := range []struct {
		match message.Match
		want  bool
	}{
		{message.Match{}, true}, {message.Match{Method: "counter"}, true}, {message.Match{Path: "b"}, true}, {message.Match{Method: "Timer", Path: "b"}, true}, {message.Match{Method: "timer", Path: "a"}, false}, {message.Match{Path: "c"}, false},
	} {
		assert.Equal(t, c.want, countOf(t, "statsd", d, message.Rule{Action: message.LoseRequest, Match: c.match}, 1) == 1, "%+v", c.match)
	}
}

func countOf(t *testing.T, protocol string, d message.Message, rule message.Rule, n int) (hits int) {
	r, err := relaytest.NewRelay(protocol, message.Config{Link: "a -> b"})
	require.NoError(t, err)
	rule.ID = "fault-1"
	_, err = r.Add(rule)
	require.NoError(t, err)
	for range n {
		if r.Decide(d, message.Ticket{}).Rule() != nil {
			hits++
		}
	}
	return hits
}

// The same seed makes the same decisions, including further random choices, even with 16 concurrent goroutines.
func TestDecisionsUnderConcurrency(t *testing.T) {
	run := func(seed uint64) map[string][]int {
		r, err := relaytest.NewRelay("dns", message.Config{Link: "a -> b"})
		require.NoError(t, err)
		_, err = r.Add(message.Rule{ID: "fault-1", Action: message.Corrupt, Share: .2, Seed: seed})
		require.NoError(t, err)
		draws := make([][]int, 16)
		var all sync.WaitGroup
		for g := range draws {
			all.Go(func() {
				for range 100 {
					x := r.Decide(message.Message{Topic: message.Topic{Method: "A", Path: fmt.Sprintf("host-%c.test", 'a'+g)}}, message.Ticket{})
					if rule := x.Rule(); rule != nil {
						draws[g] = append(draws[g], r.DamagePosition(x, rule, 1000))
					} else {
						draws[g] = append(draws[g], -1)
					}
				}
			})
		}
		all.Wait()
		byName := map[string][]int{}
		for g, d := range draws {
			byName[fmt.Sprint(g)] = d
		}
		return byName
	}
	first := run(1)
	assert.Equal(t, first, run(1))
	assert.NotEqual(t, first, run(2))
}

func TestPassingWithoutRules(t *testing.T) {
	var events []evidence.Event
	r, err := relaytest.NewRelay("udp", message.Config{Sink: func(f evidence.Event) { events = append(events, f) }})
	require.NoError(t, err)
	require.True(t, r.Idle())
	heal, err := r.Add(message.Rule{ID: "f", Action: message.Reorder, Wait: time.Hour, Dir: message.ToClient})
	require.NoError(t, err)
	require.False(t, r.Idle())
	assert.Nil(t, r.Decide(message.Message{Dir: message.ToServer}, message.Ticket{}).Rule())
	decide := func() *message.Exchange {
		return r.Decide(message.Message{Conn: 1, Dir: message.ToClient, Topic: message.Topic{Method: "m"}, Bytes: 3}, message.Ticket{})
	}
	held, second, other := decide(), decide(), decide()
	require.NotNil(t, held.Rule())
	before := r.OvertakenBy(other.Message)
	wait := r.Reorder(held)
	require.NotNil(t, wait)
	r.CountPassed(before) // the connection had already ended
	require.Nil(t, r.Reorder(second), "one at a time")
	require.Contains(t, second.Skipped, "another is held already")
	r.CountPassed(r.OvertakenBy(other.Message))
	wait(t.Context())
	require.NoError(t, heal(t.Context()))
	require.True(t, r.Idle())
	var stages []evidence.Stage
	for _, event := range events {
		stages = append(stages, event.Stage)
		assert.False(t, event.ToServer)
		assert.Equal(t, 3, event.Bytes)
	}
	assert.Equal(t, []evidence.Stage{evidence.Held, evidence.Skipped, evidence.Released, evidence.Applied}, stages)
}

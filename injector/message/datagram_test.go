package message

import (
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

func TestDatagramNamesMatch(t *testing.T) {
	for _, c := range []struct {
		matches        func(template, name string) bool
		template, name string
		want           bool
	}{
		{matchDomain, "api.example.com", "api.example.com", true},
		{matchDomain, "API.example.com.", "api.EXAMPLE.com", true},
		{matchDomain, "example.com", "api.example.com", false},
		{matchDomain, "*.example.com", "a.b.example.com", true},
		{matchDomain, "*.example.com", "example.com", false},
		{matchDomain, "*.example.com", "badexample.com", false},
		{matchDomain, "{id}.example.com", "x7.example.com", true},
		{matchDomain, "{id}.example.com", "a.x7.example.com", false},
		{matchMetric, "orders.total", "orders.total", true},
		{matchMetric, "orders.total", "orders.total.more", false},
		{matchMetric, "orders.*", "orders.total.more", true},
		{matchMetric, "orders.*", "orders", false},
		{matchMetric, "orders.*", "ordersx", false},
		{matchMetric, "orders.{route}.total", "orders.buy.total", true},
	} {
		assert.Equal(t, c.want, c.matches(c.template, c.name), "%s %s", c.template, c.name)
	}
	for name, want := range map[string]string{
		"api.example.com": "api.example.com", "10.0.0.127.in-addr.arpa": "{id}.{id}.{id}.{id}.in-addr.arpa", "web-7f3a.svc.local": "web-7f3a.svc.local",
		"deadbeef01.example.com": "{id}.example.com", "orders.550e8400-e29b-41d4-a716-446655440000.total": "orders.{id}.total", "": "",
	} {
		assert.Equal(t, want, parts(".")(name), name)
	}
}

// A rule for any topic of a message matches it, but not a rule that mixes two topics.
func TestMessagesWithSeveralTopics(t *testing.T) {
	r, err := New("statsd", Config{})
	require.NoError(t, err)
	d := Datagram{Topic: Topic{"counter", "a"}, More: []Topic{{"timer", "b"}}}
	for _, c := range []struct {
		match Match
		want  bool
	}{
		{Match{}, true}, {Match{Method: "counter"}, true}, {Match{Path: "b"}, true}, {Match{Method: "Timer", Path: "b"}, true}, {Match{Method: "timer", Path: "a"}, false}, {Match{Path: "c"}, false},
	} {
		assert.Equal(t, c.want, r.matches(&Live{Rule: Rule{Match: c.match}}, d.message()), "%+v", c.match)
	}
}

// The share of a rule is a probability: over many seeds, about 99% of the counts are within the 99% interval of
// the binomial distribution, but not all. A share of 1 means all.
func TestSharesOverManySeeds(t *testing.T) {
	const seeds, n = 1000, 2000
	for _, c := range []struct {
		protocol string
		d        Datagram
	}{{"udp", Datagram{Op: "datagram"}}, {"dns", Datagram{Topic: Topic{"A", "api.example.com"}}}} {
		const share = .1
		inside := 0
		for seed := range seeds {
			hits := countOf(t, c.protocol, c.d, Rule{Action: LoseRequest, Share: share, Seed: uint64(seed)}, n) //nolint:gosec // small
			if math.Abs(float64(hits)-share*n) <= 2.576*math.Sqrt(n*share*(1-share)) {
				inside++
			}
		}
		assert.GreaterOrEqual(t, inside, seeds*980/1000, c.protocol)
		assert.LessOrEqual(t, inside, seeds*997/1000, c.protocol)
		assert.Equal(t, n, countOf(t, c.protocol, c.d, Rule{Action: LoseRequest, Share: 1}, n))
	}
}

func countOf(t *testing.T, protocol string, d Datagram, rule Rule, n int) (hits int) {
	r, err := New(protocol, Config{Link: "a -> b"})
	require.NoError(t, err)
	rule.ID = "fault-1"
	_, err = r.Add(rule)
	require.NoError(t, err)
	for range n {
		if r.Decide(d, Ticket{}).Rule() != nil {
			hits++
		}
	}
	return hits
}

// The same seed makes the same decisions, including further random choices, even with 16 concurrent goroutines.
func TestDecisionsUnderConcurrency(t *testing.T) {
	run := func(seed uint64) map[string][]int {
		r, err := New("dns", Config{Link: "a -> b"})
		require.NoError(t, err)
		_, err = r.Add(Rule{ID: "fault-1", Action: Corrupt, Share: .2, Seed: seed})
		require.NoError(t, err)
		draws := make([][]int, 16)
		var all sync.WaitGroup
		for g := range draws {
			all.Go(func() {
				for range 100 {
					x := r.Decide(Datagram{Topic: Topic{"A", fmt.Sprintf("host-%c.test", 'a'+g)}}, Ticket{})
					if rule := x.Rule(); rule != nil {
						draws[g] = append(draws[g], r.damagePosition(x, rule, 1000))
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
	r, err := New("udp", Config{Sink: func(f evidence.Event) { events = append(events, f) }})
	require.NoError(t, err)
	require.True(t, r.Idle())
	heal, err := r.Add(Rule{ID: "f", Action: Reorder, Wait: time.Hour, Dir: ToClient})
	require.NoError(t, err)
	require.False(t, r.Idle())
	assert.Nil(t, r.Decide(Datagram{Dir: ToServer}, Ticket{}).Rule())
	decide := func() *Exchange {
		return r.Decide(Datagram{Conn: 1, Dir: ToClient, Topic: Topic{Method: "m"}, Bytes: 3}, Ticket{})
	}
	held, second, other := decide(), decide(), decide()
	require.NotNil(t, held.Rule())
	before := r.Overtakes(other)
	wait := r.Reorder(held)
	require.NotNil(t, wait)
	before() // the connection had already ended
	require.Nil(t, r.Reorder(second), "one at a time")
	require.Contains(t, second.skipped, "another is held already")
	r.Overtakes(other)()
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

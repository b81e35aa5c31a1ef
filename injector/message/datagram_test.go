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

func TestNamesMatch(t *testing.T) {
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

// A rule about any of the things that a message is about picks it, and no mixture of two of them.
func TestMessagesAboutSeveralThings(t *testing.T) {
	r, err := New("statsd", Config{})
	require.NoError(t, err)
	d := Datagram{Topic: Topic{"counter", "a"}, More: []Topic{{"timer", "b"}}}
	for _, c := range []struct {
		match Match
		want  bool
	}{
		{Match{}, true}, {Match{Method: "counter"}, true}, {Match{Path: "b"}, true}, {Match{Method: "Timer", Path: "b"}, true}, {Match{Method: "timer", Path: "a"}, false}, {Match{Path: "c"}, false},
	} {
		assert.Equal(t, c.want, r.picks(&live{Rule: Rule{Match: c.match}}, d.message()), "%+v", c.match)
	}
}

// The share of a rule is one of probability: over many seeds, as many as should be lie inside of the interval in which 99% of binomial counts lie,
// and not all of them. A share of 1 is all.
func TestSharesOverManySeeds(t *testing.T) {
	const seeds, n = 1000, 2000
	for _, c := range []struct {
		protocol string
		d        Datagram
	}{{"udp", Datagram{Op: "datagram"}}, {"dns", Datagram{Topic: Topic{"A", "api.example.com"}}}} {
		const share = .1
		inside := 0
		for seed := range seeds {
			hits := countOf(t, c.protocol, c.d, Rule{Do: LoseRequest, Share: share, Seed: uint64(seed)}, n) //nolint:gosec // small
			if math.Abs(float64(hits)-share*n) <= 2.576*math.Sqrt(n*share*(1-share)) {
				inside++
			}
		}
		assert.GreaterOrEqual(t, inside, seeds*980/1000, c.protocol)
		assert.LessOrEqual(t, inside, seeds*997/1000, c.protocol)
		assert.Equal(t, n, countOf(t, c.protocol, c.d, Rule{Do: LoseRequest, Share: 1}, n))
	}
}

func countOf(t *testing.T, protocol string, d Datagram, rule Rule, n int) (hits int) {
	r, err := New(protocol, Config{Link: "a -> b"})
	require.NoError(t, err)
	rule.ID = "fault-1"
	_, err = r.Add(rule)
	require.NoError(t, err)
	for range n {
		if r.Decide(d).Rule != nil {
			hits++
		}
	}
	return hits
}

// The same seed chooses the same, and draws the same for what it leaves to chance, however 16 goroutines ask.
func TestDecisionsUnderConcurrency(t *testing.T) {
	run := func(seed uint64) map[string][]uint64 {
		r, err := New("dns", Config{Link: "a -> b"})
		require.NoError(t, err)
		_, err = r.Add(Rule{ID: "fault-1", Do: Corrupt, Share: .2, Seed: seed})
		require.NoError(t, err)
		draws := make([][]uint64, 16)
		var all sync.WaitGroup
		for g := range draws {
			all.Go(func() {
				for range 100 {
					c := r.Decide(Datagram{Topic: Topic{"A", fmt.Sprintf("host-%c.test", 'a'+g)}})
					draws[g] = append(draws[g], c.Draw)
				}
			})
		}
		all.Wait()
		byName := map[string][]uint64{}
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
	var fates []evidence.Fate
	r, err := New("udp", Config{Sink: func(f evidence.Fate) { fates = append(fates, f) }})
	require.NoError(t, err)
	require.True(t, r.Pass(ToServer))
	heal, err := r.Add(Rule{ID: "f", Do: Reorder, Wait: time.Hour, Dir: ToClient})
	require.NoError(t, err)
	require.False(t, r.Pass(ToServer))
	assert.Nil(t, r.Decide(Datagram{Dir: ToServer}).Rule)
	c := r.Decide(Datagram{Dir: ToClient})
	require.NotNil(t, c.Rule)
	before := r.Overtakes(Datagram{Conn: 1, Dir: ToClient})
	wait, skipped := r.Hold(c.Rule)
	require.Empty(t, skipped)
	before() // it had left already
	_, skipped = r.Hold(c.Rule)
	require.Contains(t, skipped, "another is held already", "one at a time")
	r.Overtakes(Datagram{Conn: 1, Dir: ToClient})()
	assert.True(t, wait(t.Context()))
	require.NoError(t, heal(t.Context()))
	require.True(t, r.Pass(ToClient))
	r.Tell(c.Rule, Datagram{Dir: ToClient, Topic: Topic{Method: "m"}, Bytes: 3}, evidence.Released, "x")
	require.Len(t, fates, 1)
	assert.False(t, fates[0].ToServer)
	assert.Equal(t, 3, fates[0].Bytes)
	to, from, err := r.Quiesce(t.Context())
	require.NoError(t, err)
	assert.Equal(t, Books{In: 1, Out: 1}, to)
	assert.Equal(t, to, from)
}

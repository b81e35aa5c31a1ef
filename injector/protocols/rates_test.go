package protocols_test

import (
	"bufio"
	"math"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// A share of chance is drawn for drawn units. 99% of all runs are within tolerance of the expected count, which
// is 0.77 percentage points.
const (
	chance, drawn = 0.1, 10_000
	tolerance     = 77.28
)

// units lists what shares apply to in each protocol. Shares of connections are tested in package link.
var units = []struct {
	name, protocol string
	decide         func(*message.Relay) bool
}{
	{"calls", "http", func(r *message.Relay) bool {
		return r.Decide(message.Message{Topic: message.Topic{Method: "POST", Path: "/charge"}}, message.Ticket{}).Rule() != nil
	}},
	{"messages", "redis", func(r *message.Relay) bool {
		return r.Decide(message.Message{Topic: message.Topic{Method: "INCR", Path: "orders:17"}}, message.Ticket{}).Rule() != nil
	}},
	{"datagrams of any kind", "udp", func(r *message.Relay) bool {
		return r.Decide(message.Message{Op: "datagram"}, message.Ticket{}).Rule() != nil
	}},
	{"questions", "dns", func(r *message.Relay) bool {
		return r.Decide(message.Message{Topic: message.Topic{Method: "A", Path: "api.example.test"}}, message.Ticket{}).Rule() != nil
	}},
}

// hits returns how many of n units a rule with this share chooses.
func hits(t testing.TB, protocol string, decide func(*message.Relay) bool, share float64, seed uint64, n int) (hit int) {
	r, err := relaytest.NewRelay(protocol, message.Config{Link: "orders -> payments"})
	require.NoError(t, err)
	_, err = r.Add(message.Rule{ID: "fault-1", Action: message.Twice, Share: share, Seed: seed})
	require.NoError(t, err)
	for range n {
		if decide(r) {
			hit++
		}
	}
	return hit
}

// Shares are exact where possible, and otherwise as random as specified.
func TestRates(t *testing.T) {
	for _, u := range units {
		assert.InDelta(t, drawn*chance, hits(t, u.protocol, u.decide, chance, 1, drawn), tolerance, u.name)
		assert.Equal(t, drawn, hits(t, u.protocol, u.decide, 1, 1, drawn), "all "+u.name)
		assert.Zero(t, hits(t, u.protocol, u.decide, math.SmallestNonzeroFloat64, 1, drawn), "no "+u.name+"; 0 is not a share and means all")
	}
}

// Of 1,000 seeds, about 1% are outside of the 99% interval. More would mean a wrong rate, and fewer a lack of
// randomness.
func TestRatesOverAThousandSeeds(t *testing.T) {
	if relaytest.RaceEnabled || testing.Short() {
		t.Skip("ten million draws: make test runs them without the race detector, which has nothing to find in them")
	}
	for _, u := range units {
		inside := within(1000, func(seed uint64) bool {
			return math.Abs(float64(hits(t, u.protocol, u.decide, chance, seed, drawn))-drawn*chance) <= tolerance
		})
		t.Logf("%s: %d of 1000 seeds inside", u.name, inside)
		assert.GreaterOrEqual(t, inside, 980, u.name)
		assert.LessOrEqual(t, inside, 997, u.name)
	}
}

// within counts the seeds for which a condition holds.
func within(seeds int, ok func(seed uint64) bool) int {
	var inside atomic.Int64
	var all sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		all.Go(func() {
			for seed := w; seed < seeds; seed += workers {
				if ok(uint64(seed)) { //nolint:gosec // small
					inside.Add(1)
				}
			}
		})
	}
	all.Wait()
	return int(inside.Load())
}

// The relay acts as decided: as many answers are errors as the decisions require, the server executes all other
// requests, and the counts agree.
func TestRateThroughARelay(t *testing.T) {
	addr, executed := relaytest.CountLines(t)
	f := relaytest.OpenLinkFor(t, "lines", addr, message.Config{Framing: message.Framing{Lockstep: true}})
	count, _ := f.AddRule(t, message.Rule{Action: message.Answer, Code: "error", Share: chance, Seed: 7})
	p := relaytest.Connect(t, f.Addr)
	var sending sync.WaitGroup
	sending.Go(func() { _, _ = p.WriteText(strings.Repeat("COUNT k\n", drawn), false) })
	failed := 0
	for in, i := bufio.NewReader(p), 0; i < drawn; i++ {
		text, err := in.ReadString('\n')
		require.NoError(t, err)
		if text == "error\n" {
			failed++
		}
	}
	sending.Wait()
	assert.InDelta(t, drawn*chance, failed, tolerance)
	assert.Equal(t, drawn-failed, executed("k"))
	assert.Equal(t, evidence.Tally{Unit: "calls", Seen: drawn, Affected: int64(failed)}, relaytest.PlainTally(count))
	assert.Equal(t, failed, hits(t, "lines", func(r *message.Relay) bool {
		return r.Decide(message.Message{Topic: message.Topic{Method: "COUNT"}}, message.Ticket{}).Rule() != nil
	}, chance, 7, drawn))
}

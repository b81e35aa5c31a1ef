package message_test

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
)

func TestCauseIsReadFromTraceContextOrKey(t *testing.T) {
	trace := message.Trace{ID: "00000000000000ab", KeyPrefix: "f00ba4-00000001-", Further: []message.Trace{{ID: "00000000000000cd", KeyPrefix: "f00ba4-00000001-l1-"}}}
	for _, c := range []struct {
		header, key string
		want        evidence.Cause
	}{
		{"00-00000000000000ab0000000000000011-0000000000000001-01", "", evidence.Cause{Request: 17, Known: true}},
		{"00-00000000000000ABffffffffFFFFFFFF-0000000000000001-01", "", evidence.Cause{Request: 1<<64 - 1, Known: true}},
		{"00-00000000000000ac0000000000000011-0000000000000001-01", "", evidence.Cause{}}, // of another run
		{"00-00000000000000ab00000000000000x1-0000000000000001-01", "", evidence.Cause{}},
		{"00-00000000000000ab", "", evidence.Cause{}},
		{"0-000000000000000ab0000000000000011-0000000000000001-01", "", evidence.Cause{}},
		{"", "f00ba4-00000001-0", evidence.Cause{Known: true}},
		{"", "f00ba4-00000001-17", evidence.Cause{Request: 17, Known: true}},
		{"00-00000000000000cd0000000000000011-0000000000000001-01", "", evidence.Cause{Load: 1, Request: 17, Known: true}},
		{"", "f00ba4-00000001-l1-17", evidence.Cause{Load: 1, Request: 17, Known: true}},
		{"", "f00ba4-00000001-", evidence.Cause{}},
		{"", "f00ba4-00000001-17b", evidence.Cause{}},
		{"", "f00ba4-00000001-9999999999999999999", evidence.Cause{}},
		{"", "f00ba4-00000002-17", evidence.Cause{}},
		{"00-00000000000000ab0000000000000011-0000000000000001-01", "f00ba4-00000001-4", evidence.Cause{Request: 17, Known: true}},
	} {
		header := http.Header{"Traceparent": {c.header}}
		assert.Equal(t, c.want, trace.CauseOf(message.Message{Header: header.Get, Key: c.key}), "%q %q", c.header, c.key)
		assert.Equal(t, evidence.Cause{}, message.Trace{}.CauseOf(message.Message{Header: header.Get, Key: c.key}))
	}
}

// chosenRequests returns which attempts of 400 requests a rule chooses, as "request/attempt". Clients send them
// concurrently, in an order that differs in each call, and each client sends a request a second time if the rule chose
// it.
func chosenRequests(t *testing.T, rule message.Rule, clientCount int) []string {
	r, err := relaytest.NewRelay("http", message.Config{Link: "a -> b"})
	require.NoError(t, err)
	_, err = r.Add(rule)
	require.NoError(t, err)
	var mu sync.Mutex
	var chosen []string
	var clients sync.WaitGroup
	order := rand.Perm(400)
	for client := range clientCount {
		clients.Go(func() {
			for _, n := range order[client*400/clientCount : (client+1)*400/clientCount] {
				for attempt := 1; attempt <= 2; attempt++ {
					m := message.Message{Topic: message.Topic{Method: "POST", Path: "/charge"}, Cause: evidence.Cause{Request: uint64(n), Known: true}}
					if r.Decide(m, message.Ticket{}).Rule() == nil {
						break
					}
					mu.Lock()
					chosen = append(chosen, fmt.Sprintf("%d/%d", n, attempt))
					mu.Unlock()
				}
			}
		})
	}
	clients.Wait()
	slices.Sort(chosen)
	return chosen
}

// The same seed chooses the same attempts of the same requests, whatever the order in which they arrive.
func TestSeedChoosesSameRequestsUnderConcurrency(t *testing.T) {
	rule := message.Rule{Action: message.LoseReply, Share: .3, Seed: 42}
	first := chosenRequests(t, rule, 16)
	assert.InDelta(t, 400*(.3+.3*.3), len(first), 60)
	assert.Contains(t, fmt.Sprint(first), "/2", "a retry is a new decision")
	for range 20 {
		assert.Equal(t, first, chosenRequests(t, rule, 16))
	}
	rule.Seed = 43
	assert.NotEqual(t, first, chosenRequests(t, rule, 16))
}

// The schedule of faults is the same with 1 and with up to 64 clients, for 1,000 seeds, and another one for each seed.
func TestScheduleDependsOnTheSeedOnly(t *testing.T) {
	seeds := 1000
	if relaytest.RaceEnabled || testing.Short() {
		seeds = 100
	}
	schedules := map[[32]byte]bool{}
	for seed := range seeds {
		rule := message.Rule{Action: message.LoseReply, Share: .3, Seed: uint64(seed)} //nolint:gosec // small
		hash := func(clients int) [32]byte { return sha256.Sum256([]byte(fmt.Sprint(chosenRequests(t, rule, clients)))) }
		want := hash(1)
		require.Equal(t, want, hash(1+seed%64), "seed %d with %d clients", seed, 1+seed%64)
		require.Equal(t, want, hash(64), "seed %d with 64 clients", seed)
		require.False(t, schedules[want], "the schedule of seed %d is that of another one", seed)
		schedules[want] = true
	}
	t.Logf("%d of %d schedules have the same hash", len(schedules), seeds)
}

// The attempts of a request are counted although many other requests come between them.
func TestAttemptsAreCountedAmongManyRequests(t *testing.T) {
	r, err := relaytest.NewRelay("http", message.Config{Link: "a -> b"})
	require.NoError(t, err)
	_, err = r.Add(message.Rule{Action: message.LoseReply, Share: .5, Seed: 1})
	require.NoError(t, err)
	decide := func(n uint64) bool {
		m := message.Message{Topic: message.Topic{Method: "POST", Path: "/charge"}, Cause: evidence.Cause{Request: n, Known: true}}
		return r.Decide(m, message.Ticket{}).Rule() != nil
	}
	var alone, among []bool
	for range 8 {
		alone = append(alone, decide(1))
	}
	r, err = relaytest.NewRelay("http", message.Config{Link: "a -> b"})
	require.NoError(t, err)
	_, err = r.Add(message.Rule{Action: message.LoseReply, Share: .5, Seed: 1})
	require.NoError(t, err)
	for n := range uint64(8) {
		among = append(among, decide(1))
		for other := range uint64(30_000) {
			decide(1000 + n*30_000 + other)
		}
	}
	assert.Equal(t, alone, among)
}

// Only calls that "POST /orders" requests of the load caused are delayed or lost.
func TestRuleSelectsByCause(t *testing.T) {
	s := relaytest.StartShop(t)
	trace := message.Trace{ID: "00000000000000ab", Route: func(n uint64) string { return []string{"POST /orders", "GET /page"}[n%2] }}
	f := relaytest.OpenLink(t, s.Addr, message.Config{Trace: trace})
	count, _ := f.AddRule(t, message.Rule{Action: message.Answer, Status: 503, Match: message.Match{CausedBy: "POST /orders"}})
	p := relaytest.Connect(t, f.Addr)
	for header, want := range map[string]string{
		"Traceparent: 00-00000000000000ab0000000000000004-0000000000000001-01\r\n": "503",
		"Traceparent: 00-00000000000000ab0000000000000005-0000000000000001-01\r\n": "200",
		"": "200",
	} {
		p.Send(relaytest.HTTPRequest("GET", "/a", header), false)
		assert.Contains(t, p.ReadReply(), want, header)
	}
	assert.EqualValues(t, 1, count.Tally().Affected)
	assert.EqualValues(t, 1, count.Tally().Seen)
	calls := f.FinishedCalls()
	require.Len(t, calls, 3)
	for _, c := range calls {
		assert.Equal(t, c.Status == 503, c.Fault == "fault-1" && c.Cause == evidence.Cause{Request: 4, Known: true}, "%+v", c)
	}
}

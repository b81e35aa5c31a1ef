package datagram

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// conversation is a client and a server that have exchanged a greeting.
type conversation struct {
	*testLink
	client, server *peer
	from           *net.UDPAddr
}

func startConversation(t *testing.T, cfg Config) *conversation {
	t.Helper()
	k := &conversation{server: serve(t)}
	k.testLink = openLink(t, k.server.addr(), cfg)
	k.client = connect(t, k.Addr())
	k.client.send("hello")
	_, k.from = k.server.next()
	return k
}

// exchange sends datagrams in a direction and returns the receiving end.
func (k *conversation) exchange(d message.Dir, texts ...string) *peer {
	for _, text := range texts {
		if d == message.ToServer {
			k.client.send(text)
		} else {
			_, err := k.server.WriteToUDP([]byte(text), k.from)
			require.NoError(k.client.t, err)
		}
	}
	if d == message.ToServer {
		return k.server
	}
	return k.client
}

// finalAccounts returns the accounts of a direction, without the greeting.
func (k *conversation) finalAccounts(t *testing.T, d message.Dir) evidence.Accounts {
	t.Helper()
	to, from := k.CheckAccounts(t)
	if d == message.ToClient {
		return from
	}
	to.Received--
	to.Delivered--
	to.Written--
	return to
}

// Each fault in each direction: what arrives, the accounts, and the evidence.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name     string
		rule     message.Rule
		send     []string
		arrive   [][]string // after each datagram
		accounts evidence.Accounts
		stages   []string
	}{
		{"lost", message.Rule{Action: message.LoseRequest, Every: 2}, []string{"a", "b", "c"}, [][]string{{"a"}, nil, {"c"}}, evidence.Accounts{Received: 3, Delivered: 2, Written: 2, Dropped: 1}, []string{"applied lost"}},
		{"twice", message.Rule{Action: message.Twice, First: 1}, []string{"a", "b"}, [][]string{{"a", "a"}, {"b"}}, evidence.Accounts{Received: 2, Copies: 1, Delivered: 3, Written: 3}, []string{"applied delivered twice"}},
		{"a late copy", message.Rule{Action: message.Twice, Late: 3 * time.Second, First: 1}, []string{"a", "b"}, [][]string{{"a"}, {"b", "a"}}, evidence.Accounts{Received: 2, Copies: 1, Delivered: 3, Written: 3}, []string{"applied delivered again after "}},
		{"out of order", message.Rule{Action: message.Reorder, Wait: relaytest.Patience, First: 1}, []string{"a", "b", "c"}, [][]string{nil, {"b", "a"}, {"c"}}, evidence.Accounts{Received: 3, Delivered: 3, Written: 3}, []string{"held until another passed", "released ", "applied another passed it"}},
		{"out of order, nothing overtakes", message.Rule{Action: message.Reorder, Wait: relaytest.Quiet}, []string{"a"}, [][]string{{"a"}}, evidence.Accounts{Received: 1, Delivered: 1, Written: 1}, []string{"held until another passed", "expired only delayed: no other passed in time"}},
		{"delayed alone", message.Rule{Action: message.Delay, By: 3 * time.Second, First: 1}, []string{"a", "b"}, [][]string{nil, {"b", "a"}}, evidence.Accounts{Received: 2, Delivered: 2, Written: 2}, []string{"applied delayed by "}},
		{"cut short", message.Rule{Action: message.Truncate, First: 2}, []string{"abcdefg", "a", "abc"}, [][]string{{"abc"}, {""}, {"abc"}}, evidence.Accounts{Received: 3, Delivered: 3, Written: 3}, []string{"applied cut after 3 bytes of 7", "applied cut after 0 bytes of 1"}},
		{"cut short, empty", message.Rule{Action: message.Truncate}, []string{""}, [][]string{{""}}, evidence.Accounts{Received: 1, Delivered: 1, Written: 1}, []string{"skipped it has no payload"}},
		{"corrupted, empty", message.Rule{Action: message.Corrupt}, []string{""}, [][]string{{""}}, evidence.Accounts{Received: 1, Delivered: 1, Written: 1}, []string{"skipped it has no payload"}},
	} {
		for _, d := range []message.Dir{message.ToServer, message.ToClient} {
			t.Run(fmt.Sprint(c.name, " ", d), func(t *testing.T) {
				t.Parallel() // those that wait for long
				k := startConversation(t, Config{})
				rule := c.rule
				rule.Dir = d
				count, heal := k.AddRule(t, rule)
				var at *peer
				for i, text := range c.send {
					at = k.exchange(d, text)
					relaytest.WaitUntil(t, "it came", func() bool { return k.currentAccounts(d).Received == int64(i+1) })
					at.expect(c.arrive[i]...)
				}
				heal()
				at.expectNothing()
				b := k.finalAccounts(t, d)
				assert.Equal(t, c.accounts, b)
				affected := 0
				require.Len(t, k.Events(), len(c.stages))
				for i, f := range k.Events() {
					assert.True(t, strings.HasPrefix(string(f.Stage)+" "+f.Detail, c.stages[i]), "%s %s, want %s", f.Stage, f.Detail, c.stages[i])
					assert.Equal(t, d == message.ToServer, f.ToServer)
					assert.Equal(t, "orders -> billing", f.Link)
					assert.Equal(t, "datagram", f.Op)
					if f.Stage == evidence.Applied {
						affected++
					}
				}
				assert.EqualValues(t, affected, count.Tally().Affected)
				assert.EqualValues(t, len(c.send), count.Tally().Seen)
			})
		}
	}
}

// currentAccounts returns the current accounts of a direction, without the greeting.
func (k *conversation) currentAccounts(d message.Dir) evidence.Accounts {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	to, from, _ := k.Quiesce(over) // do not wait
	if d == message.ToClient {
		return from
	}
	to.Received--
	to.Delivered--
	to.Written--
	return to
}

// A corrupted datagram keeps its length and differs in one byte, chosen by the seed.
func TestCorrupted(t *testing.T) {
	body := strings.Repeat("x", 200)
	run := func(seed uint64) []string {
		k := startConversation(t, Config{})
		k.AddRule(t, message.Rule{Action: message.Corrupt, Seed: seed})
		var got []string
		for range 5 {
			k.exchange(message.ToServer, body)
			text, _ := k.server.next()
			differ := 0
			for i := range text {
				if text[i] != body[i] {
					differ++
				}
			}
			require.Len(t, text, len(body))
			require.Equal(t, 1, differ)
			got = append(got, text)
		}
		return got
	}
	first := run(1)
	assert.Equal(t, first, run(1))
	assert.NotEqual(t, first, run(2))
	assert.Greater(t, len(slices.Compact(first)), 1, "each its own")
}

// Delays with jitter reorder, as networks do; healing releases all held datagrams at once, in the order of their
// arrival.
func TestDelaysWithJitter(t *testing.T) {
	k := startConversation(t, Config{})
	const n = 50
	_, heal := k.AddRule(t, message.Rule{Action: message.Delay, By: 100 * time.Millisecond, Jitter: 100 * time.Millisecond, Seed: 1})
	var sent, got []string
	for i := range n {
		sent = append(sent, fmt.Sprint(i))
		k.exchange(message.ToServer, sent[i])
	}
	for range n {
		text, _ := k.server.next()
		got = append(got, text)
	}
	assert.ElementsMatch(t, sent, got)
	assert.NotEqual(t, sent, got)
	heal()

	_, heal = k.AddRule(t, message.Rule{ID: "f2", Action: message.Delay, By: time.Hour, Jitter: time.Hour})
	k.exchange(message.ToServer, sent...)
	relaytest.WaitUntil(t, "all wait", func() bool { return k.firstSession().held.Load() == n })
	heal()
	k.server.expect(sent...)
}

// The delays of several rules add up; any other rule acts after them.
func TestDelaysComeBeforeOtherFaults(t *testing.T) {
	k := startConversation(t, Config{})
	one, _ := k.AddRule(t, message.Rule{ID: "f1", Action: message.Delay, By: 60 * time.Millisecond})
	two, _ := k.AddRule(t, message.Rule{ID: "f2", Action: message.Delay, By: 60 * time.Millisecond})
	lost, _ := k.AddRule(t, message.Rule{ID: "f3", Action: message.LoseRequest, Every: 2})
	began := time.Now()
	k.exchange(message.ToServer, "a", "b").expect("a")
	assert.GreaterOrEqual(t, time.Since(began), 120*time.Millisecond)
	relaytest.WaitUntil(t, "the other is lost", func() bool { return lost.Tally().Affected == 1 })
	assert.EqualValues(t, 2, one.Tally().Affected)
	assert.EqualValues(t, 2, two.Tally().Affected)
	k.server.expectNothing()
}

// If several datagrams are chosen at once, only one is held; the others are those that pass it.
func TestReorderHoldsOneDatagram(t *testing.T) {
	k := startConversation(t, Config{})
	count, _ := k.AddRule(t, message.Rule{Action: message.Reorder, Wait: relaytest.Patience})
	for _, pair := range []string{"ab", "cd"} {
		k.exchange(message.ToServer, pair[:1], pair[1:]).expect(pair[1:], pair[:1])
	}
	relaytest.WaitUntil(t, "both are counted", func() bool { return count.Tally().Affected == 2 })
	require.Len(t, k.Recorded(evidence.Skipped), 2)
	assert.Equal(t, "another is held already: it counts as one that passed", k.Recorded(evidence.Skipped)[0].Detail)
}

// An unknown datagram is identified by its digest; rules cannot match it by topic.
func TestUnknownDatagrams(t *testing.T) {
	var a, b, c message.Message
	readAny([]byte("x"), &a)
	readAny([]byte("x"), &b)
	readAny([]byte("y"), &c)
	assert.Equal(t, a, b)
	assert.NotEqual(t, a.Key, c.Key)
	f := openLink(t, "127.0.0.1:9", Config{})
	for want, r := range map[string]message.Rule{
		"no operations to choose by":               {Action: message.LoseRequest, Match: message.Match{Path: "a"}},
		"a datagram has no connection":             {Action: message.LoseRequest, EndWith: message.EndReset},
		"udp has no headers":                       {Action: message.LoseRequest, Match: message.Match{Header: "a: b"}},
		`udp has no fault "answer"`:                {Action: message.Answer, Code: "SERVFAIL"},
		`udp has no fault "lose reply"`:            {Action: message.LoseReply},
		"nothing tells which answer":               {Action: message.Twice, Second: true},
		"the longest wait must be positive":        {Action: message.Reorder},
		`add rule "f" to link "orders -> billing"`: {Action: message.Reorder},
	} {
		r.ID = "f"
		_, err := f.Add(r)
		assert.ErrorContains(t, err, want)
	}
}

// The relay counts datagrams by operation, with and without a live rule, under the names used in the tally.
func TestDatagramsAreCountedByOperation(t *testing.T) {
	for protocol, c := range map[string]struct{ send, op string }{
		"udp":    {"x", "datagram"},
		"statsd": {"requests.total:1|c", "counter requests.total"},
	} {
		t.Run(protocol, func(t *testing.T) {
			f := openLink(t, echo(t), Config{Protocol: protocol})
			client := connect(t, f.Addr())
			client.send(c.send)
			client.expect(c.send)
			assert.Equal(t, map[string]int64{c.op: 1, "<- " + c.op: 1}, f.Operations())
			count, _ := f.AddRule(t, message.Rule{Action: message.LoseRequest})
			client.send(c.send)
			relaytest.WaitUntil(t, "it is lost", func() bool { return count.Tally().Affected == 1 })
			assert.Equal(t, map[string]int64{c.op: 2, "<- " + c.op: 1}, f.Operations())
			assert.Equal(t, map[string]int64{c.op: 1}, count.Tally().Ops)
		})
	}
}

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
	"github.com/firedrill-dev/firedrill/injector/message"
)

// talk is a client and a server who have met, and a way to send in a direction.
type talk struct {
	*front
	client, server *peer
	from           *net.UDPAddr
}

func meet(t *testing.T, cfg Config) *talk {
	t.Helper()
	k := &talk{server: serve(t)}
	k.front = open(t, k.server.addr(), cfg)
	k.client = connect(t, k.Addr())
	k.client.send("hello")
	_, k.from = k.server.next()
	return k
}

// say sends in a direction and returns the end where it should arrive.
func (k *talk) say(d message.Dir, texts ...string) *peer {
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

// books returns those of a direction without the greeting.
func (k *talk) books(t *testing.T, d message.Dir) message.Books {
	t.Helper()
	to, from := k.balanced(t)
	if d == message.ToClient {
		return from
	}
	to.In--
	to.Out--
	return to
}

// Each fault, in each direction: what arrives, what the books say, what is told.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name   string
		rule   message.Rule
		send   []string
		arrive [][]string // after each
		books  message.Books
		told   []string
	}{
		{"lost", message.Rule{Do: message.LoseRequest, Every: 2}, []string{"a", "b", "c"}, [][]string{{"a"}, nil, {"c"}}, message.Books{In: 3, Out: 2, Dropped: 1}, []string{"applied lost"}},
		{"twice", message.Rule{Do: message.Twice, First: 1}, []string{"a", "b"}, [][]string{{"a", "a"}, {"b"}}, message.Books{In: 2, Copies: 1, Out: 3}, []string{"applied delivered twice"}},
		{"a late copy", message.Rule{Do: message.Twice, Late: 700 * time.Millisecond, First: 1}, []string{"a", "b"}, [][]string{{"a"}, {"b", "a"}}, message.Books{In: 2, Copies: 1, Out: 3}, []string{"applied delivered again after "}},
		{"out of order", message.Rule{Do: message.Reorder, Wait: patience, First: 1}, []string{"a", "b", "c"}, [][]string{nil, {"b", "a"}, {"c"}}, message.Books{In: 3, Out: 3}, []string{"held until others passed", "released ", "applied others passed it"}},
		{"out of order, several others", message.Rule{Do: message.Reorder, Wait: patience, First: 1, Others: 2}, []string{"a", "b", "c"}, [][]string{nil, {"b"}, {"c", "a"}}, message.Books{In: 3, Out: 3}, []string{"held until others passed", "released ", "applied others passed it"}},
		{"out of order, nobody passes", message.Rule{Do: message.Reorder, Wait: quiet}, []string{"a"}, [][]string{{"a"}}, message.Books{In: 1, Out: 1}, []string{"held until others passed", "expired became a mere delay"}},
		{"delayed alone", message.Rule{Do: message.Delay, By: 700 * time.Millisecond, First: 1}, []string{"a", "b"}, [][]string{nil, {"b", "a"}}, message.Books{In: 2, Out: 2}, []string{"applied delayed by "}},
		{"cut short", message.Rule{Do: message.Truncate, First: 2}, []string{"abcdefg", "a", "abc"}, [][]string{{"abc"}, {""}, {"abc"}}, message.Books{In: 3, Out: 3}, []string{"applied cut to its first half", "applied cut to its first half"}},
		{"cut short, empty", message.Rule{Do: message.Truncate}, []string{""}, [][]string{{""}}, message.Books{In: 1, Out: 1}, []string{"skipped it is empty"}},
		{"corrupted, empty", message.Rule{Do: message.Corrupt}, []string{""}, [][]string{{""}}, message.Books{In: 1, Out: 1}, []string{"skipped it is empty"}},
	} {
		for _, d := range []message.Dir{message.ToServer, message.ToClient} {
			t.Run(fmt.Sprint(c.name, " ", d), func(t *testing.T) {
				k := meet(t, Config{})
				c.rule.Dir = d
				count, heal := k.live(t, c.rule)
				var at *peer
				for i, text := range c.send {
					at = k.say(d, text)
					until(t, "it came", func() bool { return k.now(d).In == int64(i+1) })
					at.expect(c.arrive[i]...)
				}
				heal()
				at.silent()
				b := k.books(t, d)
				assert.Equal(t, c.books, b)
				k.mu.Lock()
				defer k.mu.Unlock()
				affected := 0
				require.Len(t, k.fates, len(c.told))
				for i, f := range k.fates {
					assert.True(t, strings.HasPrefix(string(f.Stage)+" "+f.Detail, c.told[i]), "%s %s, want %s", f.Stage, f.Detail, c.told[i])
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

// now is the books of a direction as they are, without the greeting.
func (k *talk) now(d message.Dir) message.Books {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	to, from, _ := k.Relay().Quiesce(over) // it does not wait
	if d == message.ToClient {
		return from
	}
	to.In--
	to.Out--
	return to
}

// A corrupted datagram has its length and differs in one byte, which the seed chooses.
func TestCorrupted(t *testing.T) {
	body := strings.Repeat("x", 200)
	run := func(seed uint64) []string {
		k := meet(t, Config{})
		k.live(t, message.Rule{Do: message.Corrupt, Seed: seed})
		var got []string
		for range 5 {
			k.say(message.ToServer, body)
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

// A delay with jitter reorders, as networks do; healing lets all go at once, in the order in which they came.
func TestDelaysWithJitter(t *testing.T) {
	k := meet(t, Config{})
	const n = 50
	_, heal := k.live(t, message.Rule{Do: message.Delay, By: 100 * time.Millisecond, Jitter: 100 * time.Millisecond, Seed: 1})
	var sent, got []string
	for i := range n {
		sent = append(sent, fmt.Sprint(i))
		k.say(message.ToServer, sent[i])
	}
	for range n {
		text, _ := k.server.next()
		got = append(got, text)
	}
	assert.ElementsMatch(t, sent, got)
	assert.NotEqual(t, sent, got)
	heal()

	_, heal = k.live(t, message.Rule{ID: "f2", Do: message.Delay, By: time.Hour, Jitter: time.Hour})
	k.say(message.ToServer, sent...)
	until(t, "all wait", func() bool { return k.session0().held.Load() == n })
	heal()
	k.server.expect(sent...)
}

// Delays of several rules add up, and what was chosen besides happens after them.
func TestDelaysComeBeforeOtherFaults(t *testing.T) {
	k := meet(t, Config{})
	one, _ := k.live(t, message.Rule{ID: "f1", Do: message.Delay, By: 60 * time.Millisecond})
	two, _ := k.live(t, message.Rule{ID: "f2", Do: message.Delay, By: 60 * time.Millisecond})
	lost, _ := k.live(t, message.Rule{ID: "f3", Do: message.LoseRequest, Every: 2})
	began := time.Now()
	k.say(message.ToServer, "a", "b").expect("a")
	assert.GreaterOrEqual(t, time.Since(began), 120*time.Millisecond)
	until(t, "the other is lost", func() bool { return lost.Tally().Affected == 1 })
	assert.EqualValues(t, 2, one.Tally().Affected)
	assert.EqualValues(t, 2, two.Tally().Affected)
	k.server.silent()
}

// Of several that are chosen at once only one is held; the others are those who pass it.
func TestOutOfOrderKeepsOne(t *testing.T) {
	k := meet(t, Config{})
	count, _ := k.live(t, message.Rule{Do: message.Reorder, Wait: patience})
	for _, pair := range []string{"ab", "cd"} {
		k.say(message.ToServer, pair[:1], pair[1:]).expect(pair[1:], pair[:1])
	}
	until(t, "both are counted", func() bool { return count.Tally().Affected == 2 })
	require.Len(t, k.seen(evidence.Skipped), 2)
	assert.Equal(t, "another is held already: it counts as one that passed", k.seen(evidence.Skipped)[0].Detail)
}

func TestHealingReleasesWhatIsHeld(t *testing.T) {
	k := meet(t, Config{})
	_, heal := k.live(t, message.Rule{Do: message.Reorder, Wait: time.Hour})
	_, healCopy := k.live(t, message.Rule{ID: "f2", Do: message.Twice, Late: time.Hour, Dir: message.ToClient})
	k.say(message.ToServer, "a")
	k.say(message.ToClient, "b").expect("b")
	until(t, "both wait", func() bool { return k.session0().held.Load() == 2 })
	heal()
	k.server.expect("a")
	healCopy()
	k.client.expect("b")
}

// A datagram of any kind is recognised by its digest; a rule cannot choose it by what it is about.
func TestDatagramsOfAnyKind(t *testing.T) {
	var a, b, c message.Datagram
	readAny([]byte("x"), &a)
	readAny([]byte("x"), &b)
	readAny([]byte("y"), &c)
	assert.Equal(t, a, b)
	assert.NotEqual(t, a.Key, c.Key)
	f := open(t, "127.0.0.1:9", Config{})
	for want, r := range map[string]message.Rule{
		"no operations to choose by":               {Do: message.LoseRequest, Match: message.Match{Path: "a"}},
		"a datagram has no connection":             {Do: message.LoseRequest, Then: message.ThenReset},
		"udp has no headers":                       {Do: message.LoseRequest, Match: message.Match{Header: "a: b"}},
		`udp has no fault "answer"`:                {Do: message.Answer, Code: "SERVFAIL"},
		`udp has no fault "lose reply"`:            {Do: message.LoseReply},
		"nothing tells which answer":               {Do: message.Twice, Second: true},
		"the longest wait must be positive":        {Do: message.Reorder},
		`add rule "f" to link "orders -> billing"`: {Do: message.Reorder},
	} {
		r.ID = "f"
		_, err := f.Relay().Add(r)
		assert.ErrorContains(t, err, want)
	}
}

package link

import (
	"context"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// put adds a toxic to a link, with a counter.
func put(t testing.TB, l *Link, dir Dir, name string, attributes map[string]any) (Heal, *evidence.Counter) {
	t.Helper()
	count := evidence.NewCounter("traffic")
	heal, err := l.Toxic(Toxic{On: On{ID: "f1", Count: count}, Dir: dir, Name: name, Attributes: attributes})
	require.NoError(t, err)
	return heal, count
}

// stubs returns the number of toxics running on a link.
func stubs(l *Link) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		for _, q := range []*queue{&c.in, &c.out} {
			q.mu.Lock()
			n += len(q.stubs)
			q.mu.Unlock()
		}
	}
	return n
}

func TestCustomToxicActsOnLiveAndNewConnections(t *testing.T) {
	for _, dir := range []Dir{ToServer, ToClient} {
		l := open(t, serve(t, echo))
		live := dial(t, l)
		send(t, live, "one")
		expect(t, live, "one")
		heal, count := put(t, l, dir, "flipper", map[string]any{"Mask": 0x20})
		fresh := dial(t, l)
		for _, c := range []*net.TCPConn{live, fresh} {
			send(t, c, "two")
			expect(t, c, "TWO")
		}
		tally := count.Tally()
		require.EqualValues(t, 2, tally.Seen)
		require.EqualValues(t, 2, tally.Affected)
		require.EqualValues(t, 2, tally.Connections)
		require.EqualValues(t, 6, tally.BytesAffected)
		require.NoError(t, heal(t.Context()))
		require.Zero(t, stubs(l))
		require.NoError(t, heal(t.Context()))
		for _, c := range []*net.TCPConn{live, fresh} {
			send(t, c, "three")
			expect(t, c, "three")
			require.NoError(t, c.CloseWrite())
			_, err := c.Read(make([]byte, 1))
			require.ErrorIs(t, err, io.EOF)
		}
		require.EqualValues(t, 2, count.Tally().Affected)
	}
}

func TestNoopToxicAffectsNothing(t *testing.T) {
	l := open(t, serve(t, echo))
	heal, count := put(t, l, Both, "their noop", nil)
	c := dial(t, l)
	for range 20 {
		send(t, c, "ping")
		expect(t, c, "ping")
	}
	require.NoError(t, heal(t.Context()))
	require.EqualValues(t, 40, count.Tally().Seen)
	require.Less(t, count.Tally().Affected, int64(40), "a chunk is affected when it is kept for a millisecond, which a busy machine may do")
}

func TestHealReleasesHeldChunks(t *testing.T) {
	for name, dir := range map[string]Dir{"requests": ToServer, "replies": ToClient, "both": Both} {
		t.Run(name, func(t *testing.T) {
			l := open(t, serve(t, echo))
			c := dial(t, l)
			heal, count := put(t, l, dir, "keeper", nil)
			send(t, c, "kept")
			require.Eventually(t, func() bool { return count.Tally().Seen == 1 }, 20*time.Second, time.Millisecond)
			expectSilence(t, c)
			send(t, c, " too")
			require.NoError(t, c.CloseWrite())
			expectSilence(t, c)
			require.NoError(t, heal(t.Context()))
			got, err := io.ReadAll(c)
			require.NoError(t, err)
			require.Equal(t, "kept too", string(got))
			require.Positive(t, count.Tally().Affected)
			require.LessOrEqual(t, count.Tally().Affected, count.Tally().Seen)
		})
	}
}

// TestToxicsAreChained checks that the output of one toxic is the input of the next, whichever is
// removed first.
func TestToxicsAreChained(t *testing.T) {
	for _, first := range []int{0, 1, 2} {
		l := open(t, serve(t, echo))
		c := dial(t, l)
		var heals []Heal
		for range 2 {
			heal, _ := put(t, l, ToServer, "keeper", nil)
			heals = append(heals, heal)
		}
		delay, err := l.Delay(Delay{On: On{ID: "d"}, Dir: ToServer, By: 30 * time.Millisecond})
		require.NoError(t, err)
		heals = append(heals, delay)
		for i := range 10 {
			send(t, c, string(rune('a'+i)))
		}
		expectSilence(t, c)
		for i := range heals {
			require.NoError(t, heals[(first+i)%3](t.Context()))
		}
		expect(t, c, "abcdefghij")
		send(t, c, "k")
		expect(t, c, "k")
	}
}

func TestToxicsThatInjectDataOrClose(t *testing.T) {
	for name, c := range map[string]struct {
		toxic      string
		attributes map[string]any
		dir        Dir
		check      func(t *testing.T, client, server *net.TCPConn)
	}{
		"to the client": {"talker", map[string]any{"Say": "psst"}, ToClient, func(t *testing.T, client, server *net.TCPConn) {
			expect(t, client, "psst")
			send(t, server, "more")
			expect(t, client, "more")
		}},
		"to the server": {"talker", map[string]any{"Say": "psst"}, ToServer, func(t *testing.T, client, server *net.TCPConn) {
			expect(t, server, "psst")
			send(t, client, "more")
			expect(t, server, "more")
		}},
		"and closes, to the client": {"talker", map[string]any{"Say": "bye", "End": true}, ToClient, bothEnd("", "bye")},
		"and closes, to the server": {"talker", map[string]any{"Say": "bye", "End": true}, ToServer, bothEnd("bye", "")},
		"closes after a chunk": {"closer", nil, ToServer, func(t *testing.T, client, server *net.TCPConn) {
			send(t, client, "last")
			bothEnd("last", "")(t, client, server)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			l, client, server := pair(t)
			heal, count := put(t, l, c.dir, c.toxic, c.attributes)
			c.check(t, client, server)
			require.NoError(t, heal(t.Context()))
			require.Positive(t, count.Tally().Affected)
		})
	}
}

// bothEnd asserts that both ends receive these bytes followed by a graceful end.
func bothEnd(toServer, toClient string) func(*testing.T, *net.TCPConn, *net.TCPConn) {
	return func(t *testing.T, client, server *net.TCPConn) {
		t.Helper()
		got, err := io.ReadAll(client)
		require.NoError(t, err)
		require.Equal(t, toClient, string(got))
		got, err = io.ReadAll(server)
		require.NoError(t, err)
		require.Equal(t, toServer, string(got))
	}
}

// TestReturnedToxicHoldsStreamUntilHealed: as in Toxiproxy, where removing such a toxic hangs forever.
func TestReturnedToxicHoldsStreamUntilHealed(t *testing.T) {
	l, client, server := pair(t)
	heal, _ := put(t, l, ToServer, "quitter", nil)
	send(t, client, "a")
	expect(t, server, "a")
	send(t, client, "b")
	expectSilence(t, server)
	require.NoError(t, heal(t.Context()))
	expect(t, server, "b")
}

func TestToxicStateIsPerConnection(t *testing.T) {
	l, client, server := pair(t)
	heal, _ := put(t, l, ToServer, "counter", map[string]any{"Bytes": 3})
	send(t, client, "ab")
	expect(t, server, "ab")
	for range 10 { // add and remove other faults
		other, _ := put(t, l, Both, "their noop", nil)
		slow, err := l.Delay(Delay{By: time.Millisecond})
		require.NoError(t, err)
		require.NoError(t, other(t.Context()))
		require.NoError(t, slow(t.Context()))
	}
	send(t, client, "cdef")
	expect(t, server, "c")
	expectSilence(t, server)
	require.NoError(t, heal(t.Context()))
	send(t, client, "gh")
	expect(t, server, "gh")
}

// TestToxicPanicResetsConnectionAndIsReported checks that Heal reports the panic once.
func TestToxicPanicResetsConnectionAndIsReported(t *testing.T) {
	for _, at := range []string{"once", "state", "chunk", "end", "cleaning"} {
		t.Run(at, func(t *testing.T) {
			l := open(t, serve(t, echo))
			live := dial(t, l)
			send(t, live, "x")
			expect(t, live, "x")
			heal, count := put(t, l, ToClient, "bomb", map[string]any{"At": at})
			if at == "cleaning" {
				err := heal(t.Context())
				require.ErrorContains(t, err, "boom")
			} else {
				_, werr := io.WriteString(live, "y")
				_, err := io.ReadAll(live)
				if at != "end" && werr == nil { // the end is graceful at first, and a writer may see the reset before the reader
					require.ErrorIs(t, err, syscall.ECONNRESET)
				}
				require.Eventually(t, func() bool { return stubs(l) == 0 }, 20*time.Second, time.Millisecond)
				require.Positive(t, count.Tally().Affected)
				require.ErrorContains(t, heal(t.Context()), `toxic "bomb" panicked on connection 1 of link "a -> b", which was reset: `)
			}
			require.NoError(t, heal(t.Context()))
			c := dial(t, l)
			send(t, c, "z")
			expect(t, c, "z")
		})
	}
	l := open(t, serve(t, echo))
	_, err := l.Toxic(Toxic{Name: "bomb", Attributes: map[string]any{"At": "reading"}})
	require.ErrorContains(t, err, "panicked when it was created: boom")
}

// TestUnresponsiveToxicIsAbandoned: a toxic that returns late delays Heal, and one that returns too
// late makes it reset the connection.
func TestUnresponsiveToxicIsAbandoned(t *testing.T) {
	l, client, server := pair(t)
	heal, _ := put(t, l, ToServer, "deaf", nil)
	send(t, client, "late")
	require.Eventually(t, func() bool { return holdsChunk(l) }, 20*time.Second, time.Millisecond)
	cut, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, heal(cut), context.DeadlineExceeded, "the wait is bounded by the caller too")
	call <- struct{}{}
	require.NoError(t, heal(t.Context()))
	expect(t, server, "late")

	heal, _ = put(t, l, ToServer, "deaf", nil)
	send(t, client, "too late")
	require.Eventually(t, func() bool { return holdsChunk(l) }, 20*time.Second, time.Millisecond)
	require.ErrorContains(t, heal(t.Context()), "did not return")
	_, err := client.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
	require.NoError(t, l.Close())
	call <- struct{}{} // its output is discarded, and it can still return
}

// holdsChunk reports whether a toxic holds a chunk.
func holdsChunk(l *Link) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		c.in.mu.Lock()
		defer c.in.mu.Unlock()
		for _, s := range c.in.stubs {
			if len(s.pending) > 0 {
				return true
			}
		}
	}
	return false
}

func TestCloseWithToxicsThatHoldEverything(t *testing.T) {
	l, err := Open(Config{Name: "a -> b", Upstream: serve(t, echo)})
	require.NoError(t, err)
	for _, name := range []string{"keeper", "hole", "their timeout", "quitter"} {
		_, err := l.Toxic(Toxic{Name: name, Attributes: map[string]any{}})
		require.NoError(t, err)
	}
	for range 20 {
		c := dial(t, l)
		send(t, c, "x")
	}
	require.Eventually(t, func() bool { return stubs(l) == 160 }, 20*time.Second, time.Millisecond)
	require.NoError(t, l.Close())
}

// TestRelayReturnEndsToxics checks that no toxic waits for more after a relay has returned without
// closing the stream.
func TestRelayReturnEndsToxics(t *testing.T) {
	l, err := Open(Config{Name: "a -> b", Upstream: "127.0.0.1:1", Serve: func(_ context.Context, c Conn, _ func(context.Context) (net.Conn, error)) {
		_, _ = c.Read(make([]byte, 1))
		_, _ = c.Write([]byte("last words"))
	}})
	require.NoError(t, err)
	defer l.Close()
	_, _ = put(t, l, Both, "flipper", map[string]any{"Mask": 0x20})
	c := dial(t, l)
	send(t, c, "x")
	got, err := io.ReadAll(c)
	require.NoError(t, err)
	require.Equal(t, "LAST\x00WORDS", string(got))
}

package link

import (
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// Known defects of Toxiproxy v2.12.0 (in its link.go, toxic_collection.go, proxy.go and toxics), and the tests
// that show correct behaviour here. Where Toxiproxy's code can show the defect by itself in virtual time, a
// TestToxiproxy test does. If that fails, Toxiproxy has fixed the defect.
//
//   - A stalled receiver blocks adding and removing toxics and new connections:
//     TestStalledReceiverBlocksNothing, TestEveryFaultIsUndone, TestToxiproxyWaitsForReader
//   - Goroutines leak when a client closes during a download:
//     TestClientClosingMidDownloadLeaksNothing, TestEveryFaultIsUndone
//   - A half-close is not forwarded: TestHalfCloseIsForwarded
//   - A server's reset arrives as EOF: TestServerResetIsForwarded, TestResetSeenByWriterIsNotEOF
//   - reset_peer does not act on live and idle connections:
//     TestResetActsOnLiveAndNewConnections, TestResetPeerResetsIdleConnections, TestToxiproxyResetWaitsForData
//   - Each chunk restarts timeout: TestTimeoutIsNotExtendedByTraffic, TestToxiproxyTimeoutIsExtendedByTraffic
//   - Removing a timeout of 0 ends the connection:
//     TestZeroTimeoutHeals, TestCutOffIsSilentAndHealsWithoutLoss, TestToxiproxyZeroTimeoutEndsConnection
//   - Adding or removing another toxic draws the toxicity again:
//     TestShareIsNotRedrawn, TestShareIsDrawnOncePerConnection, TestToxiproxyToxicityIsRedrawn
//   - Jitter on a stream has the wrong mean and spread:
//     TestJitterKeepsMeanAndSpreadOnAStream, TestToxiproxyJitterIsBiased
//   - The seed is read but not used:
//     TestDelaysFollowSeedConnectionAndDirection, TestShareIsDrawnOncePerConnection
//   - Bad attributes crash the process:
//     TestBadAttributesAreErrors, TestToxicAttributes, FuzzAttributes, FuzzToxic, TestToxiproxyPanicsOnBadRate
//   - A toxicity of 0 still affects connections: TestFaultWithoutMatchesAffectsNothing
//   - The upstream is dialled in the accept loop, without a timeout: TestHangingDialBlocksNoOthers
//
// Its control API, which accepts any Host and Origin, has no counterpart here. Shares of messages instead of
// connections, and duplicated requests, belong to relays (injector/message).

// newStalledLink returns a link with live connections. The first client does not read what its server
// keeps sending.
func newStalledLink(t *testing.T, conns int) (l *Link, clients []*net.TCPConn) {
	t.Helper()
	l = open(t, serve(t, func(c *net.TCPConn) {
		kind := make([]byte, 1)
		if _, err := io.ReadFull(c, kind); err != nil {
			return
		}
		if kind[0] == 'f' {
			flood(c)
			return
		}
		echo(c)
	}))
	for range conns {
		clients = append(clients, dial(t, l))
	}
	send(t, clients[0], "f")
	awaitStall(t, l.Counters)
	return l, clients
}

// flood writes until the connection ends.
func flood(c *net.TCPConn) {
	block := make([]byte, 256<<10)
	for {
		if _, err := c.Write(block); err != nil {
			return
		}
	}
}

// awaitStall waits until no more bytes move to the client.
func awaitStall(t *testing.T, counters func() Counters) {
	t.Helper()
	require.Eventually(t, func() bool {
		before := counters().BytesToClient
		time.Sleep(50 * time.Millisecond)
		return before > 0 && counters().BytesToClient == before
	}, 30*time.Second, time.Millisecond, "the pipe never filled")
}

func TestStalledReceiverBlocksNothing(t *testing.T) {
	conns := 1000
	if testing.Short() {
		conns = 100
	}
	l, clients := newStalledLink(t, conns)
	began := time.Now()
	heal, err := l.Delay(Delay{On: On{ID: "f1"}, By: 5 * time.Millisecond})
	require.NoError(t, err)
	require.Less(t, time.Since(began), 5*time.Second)
	fresh := dial(t, l)
	for _, c := range []*net.TCPConn{fresh, clients[conns/2]} {
		send(t, c, "e")
		send(t, c, "ping")
		expect(t, c, "ping")
	}
	again, err := l.Limit(Bandwidth{On: On{ID: "f2"}, Rate: 1e9})
	require.NoError(t, err)
	began = time.Now()
	require.NoError(t, heal(t.Context()))
	require.NoError(t, again(t.Context()))
	require.Less(t, time.Since(began), 5*time.Second)
	send(t, fresh, "pong")
	expect(t, fresh, "pong")
	_, err = io.ReadFull(clients[0], make([]byte, 8<<20)) // the stalled connection is intact, too
	require.NoError(t, err)
}

func TestResetPeerResetsIdleConnections(t *testing.T) {
	for name, timeout := range map[string]int{"at once": 0, "after a time": 50} {
		t.Run(name, func(t *testing.T) {
			l, client, server := pair(t)
			heal, count := put(t, l, ToClient, "reset_peer", map[string]any{"timeout": timeout})
			for _, c := range []*net.TCPConn{client, server} {
				_, err := c.Read(make([]byte, 1)) // no side has sent anything
				require.ErrorIs(t, err, syscall.ECONNRESET)
			}
			require.ErrorIs(t, firstRead(l), syscall.ECONNRESET)
			got, idle := count.Tally(), int64(0) // the live connection was just in use, and a new one is about to be
			if timeout > 0 {
				idle = 1 // the new connection could have been used, but was not
			}
			require.EqualValues(t, idle, got.Idle)
			require.EqualValues(t, 2-idle, got.Affected)
			require.NoError(t, heal(t.Context()))
		})
	}
}

// TestTimeoutIsNotExtendedByTraffic checks that the stream is blackholed and closed gracefully when
// the time is over, whichever side keeps sending.
func TestTimeoutIsNotExtendedByTraffic(t *testing.T) {
	for name, c := range map[string]struct {
		dir     Dir
		arrives bool // whether the client's bytes reach the server
	}{"upstream": {ToServer, false}, "downstream": {ToClient, true}, "both": {Both, false}} {
		t.Run(name, func(t *testing.T) {
			ends := make(chan *net.TCPConn, 3)
			l := open(t, serve(t, func(c *net.TCPConn) { ends <- c; <-t.Context().Done() }))
			client, server := dial(t, l), <-ends
			idle, idleServer := dial(t, l), <-ends
			began := time.Now()
			heal, count := put(t, l, c.dir, "timeout", map[string]any{"timeout": 1000})
			chat := func(c net.Conn) {
				for { // until the end of the other side
					if _, err := io.WriteString(c, "x"); err != nil || time.Since(began) > 20*time.Second {
						return
					}
					time.Sleep(5 * time.Millisecond)
				}
			}
			go chat(client)
			fresh := dial(t, l)
			for _, one := range []*net.TCPConn{client, idle, fresh} {
				_, err := one.Read(make([]byte, 1))
				require.ErrorIs(t, err, io.EOF, "an orderly end")
				require.GreaterOrEqual(t, time.Since(began), time.Second)
			}
			got, err := io.ReadAll(server)
			require.NoError(t, err)
			require.Equal(t, c.arrives, len(got) > 0)
			_, err = idleServer.Read(make([]byte, 1))
			require.ErrorIs(t, err, io.EOF)
			tally, unused := count.Tally(), int64(1)
			if c.arrives {
				unused = 2 // the new connection reached the server, but carried nothing
			}
			require.EqualValues(t, unused, tally.Idle)
			require.EqualValues(t, 3-unused, tally.Affected)
			require.NoError(t, heal(t.Context()))
		})
	}
}

func TestZeroTimeoutHeals(t *testing.T) {
	l, client, server := pair(t)
	heal, count := put(t, l, Both, "timeout", map[string]any{"timeout": 0})
	send(t, client, "ask")
	expectSilence(t, server)
	send(t, server, "tell")
	expectSilence(t, client)
	require.NoError(t, heal(t.Context()))
	expect(t, server, "ask")
	expect(t, client, "tell")
	require.Positive(t, count.Tally().Affected)
}

// TestShareIsNotRedrawn checks that adding and removing other faults does not change which connections
// a fault acts on.
func TestShareIsNotRedrawn(t *testing.T) {
	l := open(t, serve(t, echo))
	for range 60 {
		c := dial(t, l)
		send(t, c, "x")
		expect(t, c, "x")
	}
	heal, err := l.CutOff(Cut{On: On{ID: "f1", Seed: 3, Share: 0.5}, Dir: ToClient})
	require.NoError(t, err)
	chosen := func() (ids []uint64) {
		l.mu.Lock()
		defer l.mu.Unlock()
		for c := range l.conns {
			c.out.mu.Lock()
			if c.out.holding() {
				ids = append(ids, c.id)
			}
			c.out.mu.Unlock()
		}
		slices.Sort(ids)
		return ids
	}
	first := chosen()
	require.Greater(t, len(first), 10)
	require.Less(t, len(first), 50)
	for range 20 {
		before, _ := put(t, l, Both, "their noop", nil)
		after, err := l.Delay(Delay{By: time.Millisecond})
		require.NoError(t, err)
		require.Equal(t, first, chosen())
		require.NoError(t, before(t.Context()))
		require.NoError(t, after(t.Context()))
		require.Equal(t, first, chosen())
	}
	require.NoError(t, heal(t.Context()))
	require.Empty(t, chosen())
}

// TestFaultWithoutMatchesAffectsNothing checks that connections that a fault does not select keep
// using the socket directly.
func TestFaultWithoutMatchesAffectsNothing(t *testing.T) {
	l := open(t, serve(t, echo))
	c := dial(t, l)
	send(t, c, "x")
	expect(t, c, "x")
	count := evidence.NewCounter("traffic")
	for _, on := range []On{{Share: 1e-12}, {From: 1000}} {
		on.ID, on.Count, on.Seed = "f1", count, rand.Uint64()>>32
		for _, put := range []func() (Heal, error){
			func() (Heal, error) { return l.Delay(Delay{On: on, By: time.Hour}) },
			func() (Heal, error) { return l.CutOff(Cut{On: on}) },
			func() (Heal, error) { return l.Toxic(Toxic{On: on, Name: "hole"}) },
			func() (Heal, error) { return l.Toxic(Toxic{On: on, Name: "reset_peer"}) },
			func() (Heal, error) { return l.AcceptSlowly(SlowAccept{On: on}) },
		} {
			_, err := put()
			require.NoError(t, err)
		}
	}
	fresh := dial(t, l)
	for _, c := range []*net.TCPConn{c, fresh} {
		send(t, c, "x")
		expect(t, c, "x")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	require.Len(t, l.conns, 2)
	for c := range l.conns {
		assert.False(t, c.in.active.Load(), "connection %d", c.id)
		assert.False(t, c.out.active.Load(), "connection %d", c.id)
	}
	require.Zero(t, count.Tally().Affected)
}

// TestHangingDialBlocksNoOthers uses an upstream to which connects hang. Each client waits separately
// and is reset after the timeout.
func TestHangingDialBlocksNoOthers(t *testing.T) {
	l, err := Open(Config{Name: "a -> b", Upstream: hangingUpstream(t), dialTimeout: 2 * time.Second})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	var clients []*net.TCPConn
	for range 5 {
		clients = append(clients, dial(t, l))
	}
	require.Eventually(t, func() bool { return l.Counters().Live == 5 }, 20*time.Second, time.Millisecond, "all wait at once")
	for _, c := range clients {
		_, err := c.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
	}
	require.EqualValues(t, 5, l.Counters().DialErrors)
}

package link

import (
	"context"
	"io"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

func rawOf(c *net.TCPConn) syscall.RawConn {
	raw, _ := c.SyscallConn()
	return raw
}

// expectSilence asserts that the connection receives neither bytes nor an end.
func expectSilence(t *testing.T, c net.Conn) {
	t.Helper()
	require.NoError(t, c.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	_, err := c.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NoError(t, c.SetReadDeadline(time.Now().Add(30*time.Second)))
}

// pair returns both ends of a live connection through a link.
func pair(t *testing.T) (l *Link, client, server *net.TCPConn) {
	t.Helper()
	ends, release := make(chan *net.TCPConn, 1), make(chan struct{})
	l = open(t, serve(t, func(c *net.TCPConn) { ends <- c; <-release }))
	t.Cleanup(func() { close(release) })
	client = dial(t, l)
	server = <-ends
	require.NoError(t, server.SetDeadline(time.Now().Add(30*time.Second)))
	send(t, client, "hello")
	expect(t, server, "hello")
	return l, client, server
}

func TestCutOffHoldsEndsToo(t *testing.T) {
	for name, c := range map[string]struct {
		dir  Dir
		end  func(from *net.TCPConn)
		want error
	}{
		"server's reset":      {ToClient, func(c *net.TCPConn) { _ = c.SetLinger(0); c.Close() }, syscall.ECONNRESET},
		"server's half-close": {ToClient, func(c *net.TCPConn) { _ = c.CloseWrite() }, io.EOF},
		"client's reset":      {ToServer, func(c *net.TCPConn) { _ = c.SetLinger(0); c.Close() }, syscall.ECONNRESET},
		"client's half-close": {ToServer, func(c *net.TCPConn) { _ = c.CloseWrite() }, io.EOF},
		"both cut":            {Both, func(c *net.TCPConn) { _ = c.SetLinger(0); c.Close() }, syscall.ECONNRESET},
	} {
		t.Run(name, func(t *testing.T) {
			l, client, server := pair(t)
			from, to := server, client
			if c.dir == ToServer {
				from, to = client, server
			}
			heal, err := l.CutOff(Cut{On: On{ID: "f1", Count: evidence.NewCounter("traffic")}, Dir: c.dir})
			require.NoError(t, err)
			c.end(from)
			expectSilence(t, to)
			require.NoError(t, heal(t.Context()))
			_, err = to.Read(make([]byte, 1))
			require.ErrorIs(t, err, c.want)
		})
	}
}

func TestServerResetAfterHalfClose(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("noticed at the next write only")
	}
	_, client, server := pair(t)
	require.NoError(t, server.CloseWrite())
	_, err := client.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	require.NoError(t, server.SetLinger(0))
	server.Close()
	require.Eventually(t, func() bool {
		_, err := client.Write([]byte("x"))
		return err != nil
	}, 20*time.Second, time.Millisecond)
}

func TestHealDoesNotHideALaterReset(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("noticed at the next write only")
	}
	l, client, server := pair(t)
	heal, err := l.Delay(Delay{On: On{ID: "f1"}, By: time.Millisecond})
	require.NoError(t, err)
	require.NoError(t, client.CloseWrite())
	_, err = server.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	require.NoError(t, heal(t.Context())) // sets the deadline that wakes readers
	require.NoError(t, client.SetLinger(0))
	client.Close()
	reset, err := awaitReset(rawOf(server)) // without a write, which would detect a reset in any case
	require.NoError(t, err)
	require.True(t, reset)
}

func TestCutOffCountsWaitingConnection(t *testing.T) {
	var accepted atomic.Int64
	l := open(t, serve(t, func(c *net.TCPConn) { accepted.Add(1); echo(c) }))
	count := evidence.NewCounter("traffic")
	heal, err := l.CutOff(Cut{On: On{ID: "f1", Count: count}, Dir: Both})
	require.NoError(t, err)
	c := dial(t, l)
	send(t, c, "x")
	require.Eventually(t, func() bool { return count.Tally().Affected == 1 }, 20*time.Second, time.Millisecond)
	expectSilence(t, c)
	require.Zero(t, accepted.Load(), "the upstream was dialled through a cut")
	require.NoError(t, heal(t.Context()))
	expect(t, c, "x")
	require.EqualValues(t, 1, count.Tally().Affected)
	require.EqualValues(t, 1, count.Tally().Seen)
}

func TestCutOffThatTouchesNothingCountsNothing(t *testing.T) {
	l, _, _ := pair(t)
	count := evidence.NewCounter("traffic")
	heal, err := l.CutOff(Cut{On: On{ID: "f1", Count: count}, Dir: Both})
	require.NoError(t, err)
	require.NoError(t, heal(t.Context()))
	require.Zero(t, count.Tally().Affected)
}

func TestConnectionResetOnArrivalNeverReachesTheUpstream(t *testing.T) {
	var accepted atomic.Int64
	l := open(t, serve(t, func(c *net.TCPConn) { accepted.Add(1); echo(c) }))
	heal, err := l.Reset(Reset{On: On{ID: "f1"}})
	require.NoError(t, err)
	for range 20 {
		require.ErrorIs(t, firstRead(l), syscall.ECONNRESET)
	}
	require.NoError(t, heal(t.Context()))
	c := dial(t, l)
	send(t, c, "x")
	expect(t, c, "x")
	require.EqualValues(t, 1, accepted.Load())
}

func TestResetWhileWaitingForDial(t *testing.T) {
	l := open(t, serve(t, echo))
	cut, err := l.CutOff(Cut{On: On{ID: "f1"}, Dir: Both})
	require.NoError(t, err)
	c := dial(t, l)
	require.Eventually(t, func() bool { return l.Counters().Live == 1 }, 20*time.Second, time.Millisecond)
	heal, err := l.Reset(Reset{On: On{ID: "f2"}})
	require.NoError(t, err)
	_, err = c.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
	require.Eventually(t, func() bool { return l.Counters().Live == 0 }, 20*time.Second, time.Millisecond)
	require.NoError(t, heal(t.Context()))
	require.NoError(t, cut(t.Context()))
}

// departures passes chunks through stages in virtual time and returns when each has left.
func departures(t *testing.T, stages []*stage, chunks ...int) (leftAt []time.Duration) {
	t.Helper()
	var q queue
	q.init(nil)
	q.set(stages, &conn{id: 1}, ToServer)
	began := time.Now()
	buf := make([]byte, 1<<20)
	for _, size := range chunks {
		q.enqueueData(make([]byte, size))
	}
	for _, size := range chunks {
		for size > 0 {
			n, err, ok := q.take(buf, false)
			require.NoError(t, err)
			require.True(t, ok)
			size -= n
		}
		leftAt = append(leftAt, time.Since(began))
	}
	return leftAt
}

func TestStagesCompose(t *testing.T) {
	slow := func(by time.Duration) *stage {
		return &stage{minHeld: 1, newShape: func(*conn, Dir) shape { return &delay{Delay: Delay{By: by}, start: time.Now()} }}
	}
	narrow := func(rate int64) *stage {
		return &stage{newShape: func(*conn, Dir) shape { return &bandwidth{rate: rate} }}
	}
	for name, c := range map[string]struct {
		stages []*stage
		chunk  int
		want   time.Duration
	}{
		"delays add up":         {[]*stage{slow(50 * time.Millisecond), slow(70 * time.Millisecond)}, 1, 120 * time.Millisecond},
		"delay, then bandwidth": {[]*stage{slow(50 * time.Millisecond), narrow(1e6)}, 1e6, 1050 * time.Millisecond},
		"bandwidth, then delay": {[]*stage{narrow(1e6), slow(50 * time.Millisecond)}, 1e6, 1050 * time.Millisecond},
		"lower bandwidth":       {[]*stage{narrow(1e6), narrow(1e5)}, 1e5, time.Second},
		"small chunk":           {[]*stage{narrow(100)}, 50, 500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				require.InEpsilon(t, c.want, departures(t, c.stages, c.chunk)[0], 0.02)
			})
		})
	}
}

func TestEachChunkIsCountedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := &stage{hold: true, count: evidence.NewCounter("traffic"), newShape: func(*conn, Dir) shape { return hold{} }}
		other := &stage{count: evidence.NewCounter("traffic"), newShape: func(*conn, Dir) shape { return &delay{Delay: Delay{By: time.Second}} }, minHeld: 1}
		var q queue
		q.init(nil)
		q.enqueueData([]byte("x"))
		for range 3 { // add and remove another fault while the chunk is held
			q.set([]*stage{kept}, &conn{id: 1}, ToServer)
			_, _, _, state := q.try(make([]byte, 1), false)
			require.Equal(t, waiting, state)
			q.set([]*stage{kept, other}, &conn{id: 1}, ToServer)
			_, _, _, state = q.try(make([]byte, 1), false)
			require.Equal(t, waiting, state)
			time.Sleep(noticeable)
		}
		require.EqualValues(t, 1, kept.count.Tally().Affected)
		require.EqualValues(t, 1, kept.count.Tally().Seen)
		require.Zero(t, other.count.Tally().Affected, "it never came to it")
	})
}

func TestDataAfterEndIsDropped(t *testing.T) {
	var q queue
	q.init(nil)
	q.set([]*stage{{newShape: func(*conn, Dir) shape { return hold{} }}}, &conn{id: 1}, ToServer)
	q.fail(net.ErrClosed)
	q.put([]byte("read from the socket just before it was closed"), nil)
	_, err, _, state := q.try(make([]byte, 1), false)
	require.Equal(t, taken, state)
	require.ErrorIs(t, err, net.ErrClosed)
}

func TestWideBandwidthAffectsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stage{minHeld: time.Millisecond, count: evidence.NewCounter("traffic"), newShape: func(*conn, Dir) shape { return &bandwidth{rate: 1e9} }}
		departures(t, []*stage{s}, 100, 100, 100)
		require.EqualValues(t, 3, s.count.Tally().Seen)
		require.Zero(t, s.count.Tally().Affected)
	})
}

func TestFaultsActOnARelay(t *testing.T) {
	ids := make(chan uint64, 1)
	l, err := Open(Config{Name: "a -> b", Upstream: serve(t, echo), Serve: func(ctx context.Context, client Conn, dial func(context.Context) (net.Conn, error)) {
		ids <- client.ID()
		up, err := dial(ctx)
		if err != nil {
			return
		}
		defer up.Close()
		buf := make([]byte, 16)
		for {
			n, err := client.Read(buf)
			if err != nil {
				return
			}
			_, _ = up.Write(buf[:n])
			_, _ = io.ReadFull(up, buf[:n])
			if _, err := client.Write(buf[:n]); err != nil {
				return
			}
		}
	}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	c := dial(t, l)
	send(t, c, "one")
	expect(t, c, "one")
	require.EqualValues(t, 1, <-ids)
	count := evidence.NewCounter("traffic")
	heal, err := l.CutOff(Cut{On: On{ID: "f1", Count: count}, Dir: ToServer})
	require.NoError(t, err)
	send(t, c, "two")
	expectSilence(t, c)
	require.NoError(t, heal(t.Context()))
	expect(t, c, "two")
	require.EqualValues(t, 1, count.Tally().Affected)
	require.NoError(t, c.CloseWrite())
	_, err = c.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF, "the link closes the client when Serve returns")
}

func TestCloseIsBoundedWithStalledPeers(t *testing.T) {
	conns := 200
	fds := descriptors()
	release := make(chan struct{})
	upstream := serve(t, func(c *net.TCPConn) {
		_, _ = c.Write(make([]byte, 1<<20)) // the client does not read it
		<-release
	})
	l, err := Open(Config{Name: "a -> b", Upstream: upstream})
	require.NoError(t, err)
	_, err = l.Delay(Delay{On: On{ID: "f1", Share: 0.5, Seed: 1}, By: time.Hour})
	require.NoError(t, err)
	clients := make([]net.Conn, conns)
	for i := range clients {
		clients[i], err = net.Dial("tcp", l.Addr())
		require.NoError(t, err)
		_, err = clients[i].Write(make([]byte, 64<<10))
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool { return l.Counters().Live == int64(conns) }, 20*time.Second, time.Millisecond)
	_, err = l.CutOff(Cut{On: On{ID: "f2"}, Dir: ToClient})
	require.NoError(t, err)
	closed := make(chan error, 1)
	go func() { closed <- l.Close() }()
	select {
	case err := <-closed:
		require.NoError(t, err)
	case <-time.After(20 * time.Second):
		t.Fatal("close hangs")
	}
	require.Zero(t, l.Counters().Live)
	require.NoError(t, l.Close())
	for _, c := range clients {
		c.Close()
	}
	close(release)
	require.Eventually(t, func() bool { return descriptors() <= fds+2 }, 20*time.Second, 10*time.Millisecond, "descriptors are left") // the listener keeps its own
}

// descriptors returns the number of open descriptors, or 0 where the system does not list them.
func descriptors() int {
	open, _ := os.ReadDir("/proc/self/fd")
	return len(open)
}

func TestClosedPortStaysReserved(t *testing.T) {
	l := open(t, serve(t, echo))
	heal, err := l.Refuse(nil)
	require.NoError(t, err)
	require.NotNil(t, l.heldPort, "the port is kept from before it is closed")
	for range 200 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		require.NotEqual(t, l.Addr(), ln.Addr().String())
		ln.Close()
	}
	again, err := l.Refuse(nil)
	require.NoError(t, err)
	require.NoError(t, heal(t.Context()))
	_, err = net.Dial("tcp", l.Addr())
	require.ErrorIs(t, err, syscall.ECONNREFUSED, "the second fault still refuses")
	require.NoError(t, again(t.Context()))
	c := dial(t, l)
	send(t, c, "x")
	expect(t, c, "x")
}

// unboundLink returns a link without a listener.
func unboundLink() *Link {
	return &Link{cfg: Config{Name: "a -> b"}, conns: map[*conn]struct{}{}, changed: make(chan struct{})}
}

// TestResetSeenByWriterIsNotEOF: the kernel reports a reset once, so after a failed write a reader
// would see EOF.
func TestResetSeenByWriterIsNotEOF(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("a socket's state is not asked elsewhere")
	}
	peers := make(chan *net.TCPConn, 1)
	addr := serve(t, func(c *net.TCPConn) { peers <- c; <-t.Context().Done() })
	raw, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	s, err := newSocket(raw)
	require.NoError(t, err)
	defer s.Close()
	(&socket{halfCloser: <-peers}).reset()
	require.Eventually(t, func() bool { _, err := s.Write([]byte("x")); return err != nil }, 20*time.Second, time.Millisecond)
	_, err = raw.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF, "if the kernel told a reader too, there would be nothing to mend")
	_, err = s.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
	_, _, err = s.take()
	require.ErrorIs(t, err, syscall.ECONNRESET)
}

// TestDiscardedEndIsNotReadAgain checks that a client's FIN that a half-open connection discards is
// not read in a busy loop until the fault is healed.
func TestDiscardedEndIsNotReadAgain(t *testing.T) {
	l, client, server := pair(t)
	heal, err := l.HalfOpen(On{ID: "f1"})
	require.NoError(t, err)
	require.NoError(t, client.CloseWrite())
	expectSilence(t, server)
	busy := func() time.Duration {
		var used syscall.Rusage
		require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
		return time.Duration(used.Utime.Nano() + used.Stime.Nano())
	}
	began, before := time.Now(), busy()
	time.Sleep(300 * time.Millisecond)
	require.Less(t, busy()-before, time.Since(began)/4, "somebody is busy with nothing")
	require.NoError(t, heal(t.Context()))
	_, err = server.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
}

// TestHeldChunkIsCountedAtHeal tests a fault that is healed before the queue's consumer runs again, as
// may happen on a busy machine.
func TestHeldChunkIsCountedAtHeal(t *testing.T) {
	for kept, affected := range map[time.Duration]int64{0: 0, noticeable / 2: 0, noticeable: 1, time.Second: 1} {
		synctest.Test(t, func(t *testing.T) {
			cut := &stage{hold: true, count: evidence.NewCounter("connections"), newShape: func(*conn, Dir) shape { return hold{} }}
			var q queue
			q.init(nil)
			q.set([]*stage{cut}, &conn{id: 1}, ToServer)
			q.enqueueData([]byte("x"))
			time.Sleep(kept)
			q.set(nil, &conn{id: 1}, ToServer)
			require.Equal(t, affected, cut.count.Tally().Affected, "kept for %v", kept)
		})
	}
}

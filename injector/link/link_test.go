package link

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

func TestHalfCloseIsForwarded(t *testing.T) {
	l := open(t, serve(t, func(c *net.TCPConn) {
		request, _ := io.ReadAll(c) // until the client's FIN
		_, _ = c.Write(request)
	}))
	for range 50 { // Toxiproxy loses each of these replies
		c := dial(t, l)
		send(t, c, "ask")
		require.NoError(t, c.CloseWrite())
		got, err := io.ReadAll(c)
		require.NoError(t, err)
		require.Equal(t, "ask", string(got))
	}
}

func TestServerResetIsForwarded(t *testing.T) {
	l := open(t, serve(t, func(c *net.TCPConn) {
		_, _ = c.Read(make([]byte, 1))
		_ = c.SetLinger(0)
	}))
	c := dial(t, l)
	send(t, c, "x")
	_, err := c.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
}

func TestClientResetIsForwarded(t *testing.T) {
	for name, before := range map[string]func(*net.TCPConn){
		"at once":            func(*net.TCPConn) {},
		"after a half-close": func(c *net.TCPConn) { _ = c.CloseWrite() },
	} {
		t.Run(name, func(t *testing.T) {
			if name == "after a half-close" && runtime.GOOS != "linux" {
				t.Skip("noticed at the next write only")
			}
			seen, read := make(chan error, 1), make(chan struct{}, 1)
			l := open(t, serve(t, func(c *net.TCPConn) {
				buf := make([]byte, 16)
				for {
					_, err := c.Read(buf)
					select {
					case read <- struct{}{}:
					default:
					}
					if errors.Is(err, io.EOF) {
						if reset, _ := awaitReset(c); reset {
							err = syscall.ECONNRESET
						}
					}
					if err != nil {
						seen <- err
						return
					}
				}
			}))
			c := dial(t, l)
			send(t, c, "x")
			before(c)
			<-read
			require.NoError(t, c.SetLinger(0))
			c.Close()
			require.ErrorIs(t, <-seen, syscall.ECONNRESET)
		})
	}
}

func TestUpstreamRefusalIsReset(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ln.Close()
	l := open(t, ln.Addr().String())
	require.ErrorIs(t, firstRead(l), syscall.ECONNRESET)
	require.EqualValues(t, 1, l.Counters().DialErrors)
}

func TestClientClosingMidDownloadLeaksNothing(t *testing.T) {
	l := open(t, serve(t, func(c *net.TCPConn) {
		block := make([]byte, 64<<10)
		for {
			if _, err := c.Write(block); err != nil {
				return
			}
		}
	}))
	for range 20 {
		c := dial(t, l)
		_, err := io.ReadFull(c, make([]byte, 100<<10))
		require.NoError(t, err)
		c.Close()
	}
	require.Eventually(t, func() bool { return l.Counters().Live == 0 }, 10*time.Second, 5*time.Millisecond)
}

func TestRefuseAndReopenPort(t *testing.T) {
	l := open(t, serve(t, echo))
	live := dial(t, l)
	send(t, live, "x")
	expect(t, live, "x")
	count := evidence.NewCounter("connections")
	heal, err := l.Refuse(count)
	require.NoError(t, err)
	_, err = live.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
	_, err = net.Dial("tcp", l.Addr())
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	require.NoError(t, heal(t.Context()))
	require.NoError(t, heal(t.Context()))
	c := dial(t, l)
	send(t, c, "again")
	expect(t, c, "again")
	require.EqualValues(t, 1, count.Tally().Connections)
	if runtime.GOOS == "linux" {
		require.GreaterOrEqual(t, count.Tally().Affected, int64(2), "the live one, and the connect; other processes may have been refused too")
	}
}

func TestResetActsOnLiveAndNewConnections(t *testing.T) {
	ends := make(chan error, 10)
	l := open(t, serve(t, func(c *net.TCPConn) {
		_, err := io.Copy(c, c)
		ends <- err
	}))
	live := dial(t, l)
	send(t, live, "x")
	expect(t, live, "x")
	count := evidence.NewCounter("connections")
	heal, err := l.Reset(Reset{On: On{ID: "f1", Count: count}})
	require.NoError(t, err)
	_, err = live.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
	require.ErrorIs(t, <-ends, syscall.ECONNRESET, "the server sees a reset too")
	require.ErrorIs(t, firstRead(l), syscall.ECONNRESET)
	require.EqualValues(t, 2, count.Tally().Affected)
	require.NoError(t, heal(t.Context()))
	c := dial(t, l)
	send(t, c, "y")
	expect(t, c, "y")
}

func TestResetAfterBytes(t *testing.T) {
	l := open(t, serve(t, echo))
	c := dial(t, l)
	count := evidence.NewCounter("connections")
	heal, err := l.Reset(Reset{On: On{ID: "f1", Count: count}, AfterBytes: 4096})
	require.NoError(t, err)
	send(t, c, "few")
	expect(t, c, "few")
	require.Zero(t, count.Tally().Affected)
	_, err = c.Write(make([]byte, 8192))
	require.NoError(t, err)
	_, err = io.ReadAll(c)
	require.ErrorIs(t, err, syscall.ECONNRESET)
	require.EqualValues(t, 1, count.Tally().Affected)
	require.NoError(t, heal(t.Context()))
}

func TestShareIsDrawnOncePerConnection(t *testing.T) {
	l := open(t, serve(t, echo))
	outcomes := func() (hit []bool) {
		heal, err := l.Reset(Reset{On: On{ID: "f1", Share: 0.5, Seed: 7}})
		require.NoError(t, err)
		defer func() { require.NoError(t, heal(t.Context())) }()
		for range 40 {
			c, err := net.Dial("tcp", l.Addr()) // the reset may come before connect returns
			if err == nil {
				_, _ = io.WriteString(c, "x")
				_, err = io.ReadFull(c, make([]byte, 1))
				c.Close()
			}
			hit = append(hit, err != nil)
		}
		return hit
	}
	first := outcomes()
	require.Contains(t, first, true)
	require.Contains(t, first, false)
	for i, hit := range first {
		require.Equal(t, hit, (&chooser{On: On{ID: "f1", Share: 0.5, Seed: 7}}).picks("a -> b", uint64(i+1)), "connection %d", i+1)
	}
}

func TestHealDoesNotWaitForStalledReceiver(t *testing.T) {
	l := open(t, serve(t, func(c *net.TCPConn) {
		block := make([]byte, 1<<20)
		for {
			if _, err := c.Write(block); err != nil {
				return
			}
		}
	}))
	heal, err := l.Delay(Delay{On: On{ID: "f1", Count: evidence.NewCounter("chunks")}, By: time.Millisecond})
	require.NoError(t, err)
	c := dial(t, l)
	require.Eventually(t, func() bool {
		before := l.Counters().BytesToClient
		time.Sleep(20 * time.Millisecond)
		return before > 0 && l.Counters().BytesToClient == before
	}, 20*time.Second, time.Millisecond, "the pipe never filled")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	require.NoError(t, heal(ctx))
	_, err = io.ReadFull(c, make([]byte, 16<<20)) // the stream is not stuck
	require.NoError(t, err)
}

func TestDelayAppliesToEachExchange(t *testing.T) {
	l := open(t, serve(t, echo))
	heal, err := l.Delay(Delay{On: On{ID: "f1", Count: evidence.NewCounter("chunks")}, Dir: ToServer, By: 30 * time.Millisecond})
	require.NoError(t, err)
	c := dial(t, l)
	for range 5 {
		began := time.Now()
		send(t, c, "x")
		expect(t, c, "x")
		require.GreaterOrEqual(t, time.Since(began), 30*time.Millisecond)
	}
	require.NoError(t, heal(t.Context()))
}

func TestBadAttributesAreErrors(t *testing.T) {
	l := open(t, "127.0.0.1:1")
	for _, d := range []Delay{{}, {By: -1}, {By: 1, Jitter: 2}, {By: 1, Jitter: -1}} {
		_, err := l.Delay(d)
		require.ErrorContains(t, err, `"a -> b"`)
	}
	for _, rate := range []int64{0, -1} { // -1 panics in Toxiproxy
		_, err := l.Limit(Bandwidth{Rate: rate})
		require.ErrorContains(t, err, "must be positive")
	}
	for _, r := range []Reset{{AfterBytes: -1}, {On: On{Share: 2}}, {On: On{Share: -1}}} {
		_, err := l.Reset(r)
		require.Error(t, err)
	}
	_, err := Open(Config{Name: "x"})
	require.Error(t, err)
}

// enqueueData queues data like the source of the connection.
func (q *queue) enqueueData(data []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.enqueue(data, nil)
}

// TestRelayOutputIsDeliveredAfterReturn checks that delayed output of a relay reaches the client even
// if the relay has returned.
func TestRelayOutputIsDeliveredAfterReturn(t *testing.T) {
	l, err := Open(Config{Name: "a -> b", Upstream: "127.0.0.1:1", Serve: func(_ context.Context, c Conn, _ func(context.Context) (net.Conn, error)) {
		_, _ = c.Read(make([]byte, 1))
		_, _ = c.Write([]byte("last words"))
		_ = c.CloseWrite()
	}})
	require.NoError(t, err)
	defer l.Close()
	heal, err := l.Delay(Delay{On: On{ID: "f1"}, Dir: ToClient, By: 100 * time.Millisecond})
	require.NoError(t, err)
	c := dial(t, l)
	send(t, c, "x")
	got, err := io.ReadAll(c)
	require.NoError(t, err)
	require.Equal(t, "last words", string(got))
	require.NoError(t, heal(t.Context()))
}

// TestResetAfterWrites checks that a client that reads late gets everything written before the reset, at once or delayed.
func TestResetAfterWrites(t *testing.T) {
	for _, by := range []time.Duration{0, 50 * time.Millisecond} {
		text := bytes.Repeat([]byte("x"), 60<<10) // more than the client's buffer
		ends := make(chan struct{})
		l, err := Open(Config{Name: "a -> b", Upstream: "127.0.0.1:1", Serve: func(_ context.Context, c Conn, _ func(context.Context) (net.Conn, error)) {
			_, _ = c.Read(make([]byte, 1))
			_, _ = c.Write(text)
			close(ends)
			_ = c.ResetAfterWrites()
		}})
		require.NoError(t, err)
		if by > 0 {
			_, err = l.Delay(Delay{On: On{ID: "f1"}, Dir: ToClient, By: by})
			require.NoError(t, err)
		}
		small := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
			return c.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10) })
		}}
		c, err := small.DialContext(t.Context(), "tcp", l.Addr())
		require.NoError(t, err)
		send(t, c, "x")
		<-ends
		got, err := io.ReadAll(c)
		require.ErrorIs(t, err, syscall.ECONNRESET)
		require.Equal(t, len(text), len(got), "bytes, delayed by %v", by)
		require.NoError(t, c.Close())
		require.NoError(t, l.Close())
	}
}

package link

import (
	"context"
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

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
	reset, err := awaitReset(server) // without a write, which would detect a reset in any case
	require.NoError(t, err)
	require.True(t, reset)
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

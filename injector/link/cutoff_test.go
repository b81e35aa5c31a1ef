package link

import (
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

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

func TestCutOffIsSilentAndHealsWithoutLoss(t *testing.T) {
	l := open(t, serve(t, echo))
	c := dial(t, l)
	send(t, c, "one")
	expect(t, c, "one")
	count := evidence.NewCounter("traffic")
	heal, err := l.CutOff(Cut{On: On{ID: "f1", Count: count}, Dir: Both})
	require.NoError(t, err)

	send(t, c, "two")
	fresh := dial(t, l) // accepted, but receives nothing
	send(t, fresh, "three")
	for _, silent := range []*net.TCPConn{c, fresh} {
		require.NoError(t, silent.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
		_, err := silent.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.NoError(t, silent.SetReadDeadline(time.Now().Add(30*time.Second)))
	}
	require.NoError(t, heal(t.Context()))
	require.NoError(t, heal(t.Context()))
	expect(t, c, "two")
	expect(t, fresh, "three")
	tally := count.Tally()
	require.EqualValues(t, 2, tally.Affected)
	require.EqualValues(t, 2, tally.Connections)
	require.EqualValues(t, 3, tally.BytesAffected, "what was kept of the connection that was there; the other was not read")
	require.EqualValues(t, 3, tally.BytesSeen)
}

func TestCutOffOneWay(t *testing.T) {
	got := make(chan string, 10)
	l := open(t, serve(t, func(c *net.TCPConn) {
		buf := make([]byte, 16)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			got <- string(buf[:n])
			_, _ = c.Write(buf[:n])
		}
	}))
	c := dial(t, l)
	heal, err := l.CutOff(Cut{On: On{ID: "f1", Count: evidence.NewCounter("traffic")}, Dir: ToClient})
	require.NoError(t, err)
	send(t, c, "work")
	require.Equal(t, "work", <-got, "requests still arrive")
	require.NoError(t, c.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	_, err = c.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NoError(t, heal(t.Context()))
	require.NoError(t, c.SetReadDeadline(time.Now().Add(30*time.Second)))
	expect(t, c, "work")
}

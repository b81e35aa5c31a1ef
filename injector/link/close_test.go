package link

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

func TestSlowAcceptKeepsNewConnectionsWaiting(t *testing.T) {
	for name, by := range map[string]time.Duration{"until healed": 0, "for a time": 2 * time.Second} {
		t.Run(name, func(t *testing.T) {
			var accepted atomic.Int64
			l := open(t, serve(t, func(c *net.TCPConn) { accepted.Add(1); echo(c) }))
			live := dial(t, l)
			send(t, live, "x")
			expect(t, live, "x")
			count := evidence.NewCounter("connections")
			heal, err := l.AcceptSlowly(SlowAccept{On: On{ID: "f1", First: 1, Count: count}, By: by}) // counts new connections only
			require.NoError(t, err)
			began := time.Now()
			slow, other := dial(t, l), dial(t, l)
			send(t, slow, "x")
			send(t, other, "y")
			send(t, live, "z")
			expect(t, live, "z")
			expect(t, other, "y")
			require.EqualValues(t, 2, accepted.Load(), "the upstream hears nothing of a connection that waits")
			if by == 0 {
				expectSilence(t, slow)
				require.NoError(t, heal(t.Context()))
			}
			expect(t, slow, "x")
			require.GreaterOrEqual(t, time.Since(began), by)
			require.NoError(t, heal(t.Context()))
			require.NoError(t, heal(t.Context()))
			tally := count.Tally()
			require.EqualValues(t, 2, tally.Seen)
			require.EqualValues(t, 1, tally.Affected)
			require.EqualValues(t, 1, tally.Connections)
			require.GreaterOrEqual(t, tally.Worst, by)
		})
	}
}

func TestStallTLSAffectsOnlyNewHandshakes(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	l := open(t, server.Listener.Addr().String())
	begin := func() *tls.Conn {
		return tls.Client(dial(t, l), &tls.Config{RootCAs: roots, ServerName: "example.com"})
	}
	ask := func(c net.Conn, want string) {
		t.Helper()
		send(t, c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		expect(t, c, want)
	}
	live := begin()
	require.NoError(t, live.Handshake())
	count := evidence.NewCounter("connections")
	heal, err := l.StallTLS(On{ID: "f1", Count: count})
	require.NoError(t, err)
	fresh := begin()
	handshakes := make(chan error, 1)
	go func() { handshakes <- fresh.Handshake() }()
	ask(live, "HTTP/1.1 200")
	ask(dial(t, l), "HTTP/1.0 400") // not TLS: the server answers with an error
	require.Eventually(t, func() bool { return count.Tally().Affected == 1 }, 20*time.Second, time.Millisecond)
	require.Empty(t, handshakes)
	require.NoError(t, heal(t.Context()))
	require.NoError(t, <-handshakes)
	ask(fresh, "HTTP/1.1 200")
	require.EqualValues(t, 1, count.Tally().Affected)
}

func TestHalfOpenDiscardsSilently(t *testing.T) {
	l, client, server := pair(t)
	count := evidence.NewCounter("connections")
	heal, err := l.HalfOpen(On{ID: "f1", Count: count})
	require.NoError(t, err)
	require.Zero(t, count.Tally().Affected, "nothing was lost yet")
	for range 3 {
		send(t, client, "hello?")
		send(t, server, "anybody?")
	}
	require.NoError(t, server.CloseWrite())
	expectSilence(t, client)
	expectSilence(t, server)
	fresh := dial(t, l)
	send(t, fresh, "x") // new connections are not affected
	require.Eventually(t, func() bool { return l.Counters().BytesToServer == int64(len("hello")+len("x")) }, 20*time.Second, time.Millisecond)
	require.EqualValues(t, 1, count.Tally().Affected)
	require.EqualValues(t, 1, count.Tally().Seen)
	require.EqualValues(t, 3*len("hello?anybody?"), count.Tally().BytesAffected)
	require.NoError(t, heal(t.Context()))
	for _, c := range []*net.TCPConn{client, server} {
		_, err := c.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET, "a stream that lost bytes cannot go on")
	}
	expectSilence(t, fresh)
}

// TestCloseAfterIsGracefulAndExact checks that both peers read exactly the bytes that may pass,
// followed by EOF.
func TestCloseAfterIsGracefulAndExact(t *testing.T) {
	for _, after := range []int{0, 1, 100_000} {
		for _, dir := range []Dir{ToServer, ToClient} {
			l, client, server := pair(t)
			from, to := client, server
			if dir == ToClient {
				from, to = server, client
			}
			count := evidence.NewCounter("connections")
			heal, err := l.CloseAfter(EarlyClose{On: On{ID: "f1", Count: count}, Dir: dir, AfterBytes: int64(after)})
			require.NoError(t, err)
			transfer(t, to, from, 1000, 0, 20*time.Second) // the other direction is not counted
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				_, _ = from.Write(make([]byte, after+50_000))
			}()
			got, err := io.ReadAll(to)
			require.NoError(t, err)
			require.Len(t, got, after)
			<-sent
			require.EqualValues(t, 1, count.Tally().Affected)
			require.NoError(t, heal(t.Context()))
		}
	}
}

func TestSlowCloseDelaysFINAndReset(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(*net.TCPConn)
		want error
	}{
		"half-close": {func(c *net.TCPConn) { _ = c.CloseWrite() }, io.EOF},
		"reset":      {func(c *net.TCPConn) { _ = c.SetLinger(0); c.Close() }, syscall.ECONNRESET},
	} {
		t.Run(name, func(t *testing.T) {
			l, client, server := pair(t)
			heal, err := l.CloseSlowly(SlowClose{On: On{ID: "f1"}, By: 150 * time.Millisecond})
			require.NoError(t, err)
			transfer(t, client, server, 1000, 0, 20*time.Second)
			began := time.Now()
			c.end(server)
			_, err = client.Read(make([]byte, 1))
			require.ErrorIs(t, err, c.want)
			require.GreaterOrEqual(t, time.Since(began), 150*time.Millisecond)
			require.NoError(t, heal(t.Context()))
		})
	}
}

func TestHealCancelsTimedReset(t *testing.T) {
	l, client, server := pair(t)
	count := evidence.NewCounter("connections")
	heal, err := l.Reset(Reset{On: On{ID: "f1", Count: count}, After: time.Hour})
	require.NoError(t, err)
	soon, err := l.Reset(Reset{On: On{ID: "f2", From: 2}, After: 50 * time.Millisecond})
	require.NoError(t, err)
	require.ErrorIs(t, firstRead(l), syscall.ECONNRESET)
	require.NoError(t, soon(t.Context()))
	require.NoError(t, heal(t.Context()))
	transfer(t, client, server, 1000, 0, 20*time.Second)
	require.Zero(t, count.Tally().Affected)
	require.EqualValues(t, 2, count.Tally().Seen)
}

// TestConnectionCountsOnceForBothDirections tests a fault that acts in both directions of a
// connection.
func TestConnectionCountsOnceForBothDirections(t *testing.T) {
	l, client, server := pair(t)
	count := evidence.NewCounter("traffic")
	heal, err := l.Delay(Delay{On: On{ID: "f1", Count: count}, By: time.Millisecond})
	require.NoError(t, err)
	transfer(t, client, server, 100, time.Millisecond, 20*time.Second)
	transfer(t, server, client, 100, time.Millisecond, 20*time.Second)
	require.NoError(t, heal(t.Context()))
	require.EqualValues(t, 1, count.Tally().Connections)
	require.EqualValues(t, 2, count.Tally().Affected)
}

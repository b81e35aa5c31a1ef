package link

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// requested opens a link to an upstream whose clients request TLS with "TLS please", which "y" grants.
func (ts certs) requested(t *testing.T, upstream string, serve func(context.Context, Conn, func(context.Context) (net.Conn, error))) (*Link, *failures) {
	return ts.terminating(t, upstream, func(cfg *Config) { cfg.TLS.Request, cfg.TLS.Grant, cfg.Serve = "TLS please", "y", serve })
}

// granting is an upstream that grants TLS to who requests it, and echoes.
func granting(t *testing.T, ts certs, requests *atomic.Int64) string {
	return serve(t, func(c *net.TCPConn) {
		first := make([]byte, len("TLS please"))
		if _, err := io.ReadFull(c, first); err != nil || string(first) != "TLS please" {
			return
		}
		requests.Add(1)
		_, _ = io.WriteString(c, "y")
		w := &wire{Conn: c}
		if s := tls.Server(w, ts.server(t)); s.Handshake() == nil {
			echoTLS(tlsPeer{s, c, w})
		}
	})
}

func TestRequestedTLS(t *testing.T) {
	ts := newCerts(t)
	var requests atomic.Int64
	redial := func(ctx context.Context, client Conn, dial func(context.Context) (net.Conn, error)) {
		for range 2 { // a relay may open more than one connection
			up, err := dial(ctx)
			if err != nil {
				return
			}
			defer up.Close()
			b := make([]byte, 1)
			_, _ = io.ReadFull(client, b)
			_, _ = up.Write(b)
			_, _ = io.ReadFull(up, b)
			_, _ = client.Write(b)
		}
	}
	for name, relay := range map[string]func(context.Context, Conn, func(context.Context) (net.Conn, error)){"pump": nil, "relay": redial} {
		t.Run(name, func(t *testing.T) {
			requests.Store(0)
			l, failed := ts.requested(t, granting(t, ts, &requests), relay)
			raw := dial(t, l)
			for _, piece := range []string{"TLS", " please"} {
				send(t, raw, piece)
			}
			expect(t, raw, "y")
			c := tls.Client(raw, ts.client(t, "payments.test"))
			for _, b := range []string{"a", "b"} {
				send(t, c, b)
				expect(t, c, b)
			}
			require.Empty(t, failed.list())
			want := int64(1)
			if relay != nil {
				want = 2
			}
			require.Equal(t, want, requests.Load())
		})
	}
}

// A client that begins with TLS is served in the same way: the upstream gets no request, either.
func TestTLSWithoutItsRequest(t *testing.T) {
	ts := newCerts(t)
	l, failed := ts.requested(t, serveTLS(t, ts.server(t), echoTLS), nil)
	c := dialTLS(t, l, ts.client(t, "payments.test"))
	send(t, c, "x")
	expect(t, c, "x")
	require.Empty(t, failed.list())
}

func TestRequestedTLSFailures(t *testing.T) {
	ts := newCerts(t)
	for name, c := range map[string]struct {
		upstream func(*net.TCPConn)
		sent     string
		failed   string
	}{
		"denied": {func(c *net.TCPConn) {
			_, _ = io.ReadFull(c, make([]byte, len("TLS please")))
			_, _ = c.Write([]byte("n"))
			_, _ = io.Copy(io.Discard, c)
		}, "TLS please", `it answered the request for TLS with "n": is TLS enabled there?`},
		"closed": {func(c *net.TCPConn) { _, _ = io.ReadFull(c, make([]byte, len("TLS please"))) },
			"TLS please", "read whether it grants TLS: EOF"},
		"plain text": {nil, "plain text", "the client does not use TLS"},
	} {
		t.Run(name, func(t *testing.T) {
			l, failed := ts.requested(t, serve(t, c.upstream), nil)
			raw := dial(t, l)
			send(t, raw, c.sent)
			var err error
			if c.upstream == nil {
				_, err = raw.Read(make([]byte, 1))
			} else {
				expect(t, raw, "y")
				err = tls.Client(raw, ts.client(t, "payments.test")).Handshake()
			}
			require.ErrorIs(t, err, syscall.ECONNRESET)
			require.Len(t, failed.list(), 1)
			require.Contains(t, failed.list()[0], c.failed)
			require.Contains(t, failed.list()[0], `link "a -> b"`)
		})
	}
}

// TestClientLeavesWhileTLSIsRequested verifies that a client that leaves ends the wait for the upstream's grant, and
// one that never says anything ends with the link.
func TestClientLeavesWhileTLSIsRequested(t *testing.T) {
	ts := newCerts(t)
	begun, ended := make(chan struct{}), make(chan struct{})
	l, failed := ts.requested(t, serve(t, func(c *net.TCPConn) {
		_, _ = io.ReadFull(c, make([]byte, len("TLS please")))
		close(begun)
		_, _ = io.Copy(io.Discard, c) // it never answers
		close(ended)
	}), nil)
	c := dial(t, l)
	send(t, c, "TLS please")
	expect(t, c, "y")
	go func() { _ = tls.Client(c, ts.client(t, "payments.test")).Handshake() }()
	<-begun
	c.Close()
	<-ended
	require.Eventually(t, func() bool { return l.Counters().Live == 0 }, 20*time.Second, time.Millisecond)
	silent := dial(t, l)
	require.Eventually(t, func() bool { return l.Counters().Live == 1 }, 20*time.Second, time.Millisecond)
	require.NoError(t, l.Close())
	_, err := silent.Read(make([]byte, 1))
	require.Error(t, err)
	require.Empty(t, failed.list())
}

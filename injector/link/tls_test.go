package link

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

func TestTLSPassesThroughByDefault(t *testing.T) {
	ts := newCerts(t)
	l := open(t, serveTLS(t, ts.server(t), echoTLS))
	c := dialTLS(t, l, &tls.Config{RootCAs: pool(t, ts.other), ServerName: "payments.test"})
	send(t, c, "hello")
	expect(t, c, "hello")
	require.Equal(t, ts.other.cert.Raw, c.ConnectionState().VerifiedChains[0][1].Raw, "the certificate is the upstream's own")
}

func TestTLSTermination(t *testing.T) {
	ts := newCerts(t)
	names := make(chan string, 1)
	cfg := ts.server(t)
	cfg.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) { names <- h.ServerName; return nil, nil }
	l, failed := ts.terminating(t, serveTLS(t, cfg, echoTLS), nil)
	for name, requested := range map[string]string{"by name": "payments.test", "by address": ""} {
		t.Run(name, func(t *testing.T) {
			for range 3 { // the certificate is created once
				c := dialTLS(t, l, ts.client(t, requested))
				require.Equal(t, requested, <-names, "the name is passed on")
				send(t, c, "hello")
				expect(t, c, "hello")
				require.Equal(t, ts.run.cert.Raw, c.ConnectionState().VerifiedChains[0][1].Raw)
				c.Close()
			}
		})
	}
	ts.run.mu.Lock()
	defer ts.run.mu.Unlock()
	require.Len(t, ts.run.leaves, 2)
	require.Empty(t, failed.list())
	require.Zero(t, l.Counters().TLSErrors)
}

func TestUpstreamProtocolIsOffered(t *testing.T) {
	ts := newCerts(t)
	for name, c := range map[string]struct {
		client, upstream []string
		want             string
	}{
		"h2":                    {[]string{"h2", "http/1.1"}, []string{"h2", "http/1.1"}, "h2"},
		"upstream without h2":   {[]string{"h2", "http/1.1"}, []string{"http/1.1"}, "http/1.1"},
		"the upstream's order":  {[]string{"http/1.1", "h2"}, []string{"h2", "http/1.1"}, "h2"},
		"upstream without ALPN": {[]string{"h2", "http/1.1"}, nil, ""},
		"client without ALPN":   {nil, []string{"h2", "http/1.1"}, ""},
		"custom protocol":       {[]string{"postgresql"}, []string{"postgresql"}, "postgresql"},
	} {
		t.Run(name, func(t *testing.T) {
			chosen := make(chan string, 1)
			l, _ := ts.terminating(t, serveTLS(t, ts.server(t, c.upstream...), func(n tlsPeer) {
				chosen <- n.ConnectionState().NegotiatedProtocol
				echoTLS(n)
			}), nil)
			client := dialTLS(t, l, ts.client(t, "payments.test", c.client...))
			require.Equal(t, c.want, client.ConnectionState().NegotiatedProtocol)
			require.Equal(t, c.want, <-chosen)
			send(t, client, "x")
			expect(t, client, "x")
		})
	}
}

func TestUpstreamTLSFailureIsReset(t *testing.T) {
	ts := newCerts(t)
	secure := serveTLS(t, ts.server(t, "h2"), echoTLS)
	for name, c := range map[string]struct {
		upstream string
		tls      TLS
		name     string
		protos   []string
		failed   string
	}{
		"unknown authority":   {secure, TLS{Roots: pool(t, ts.run)}, "payments.test", nil, "unknown authority"},
		"wrong name":          {secure, TLS{Roots: pool(t, ts.other)}, "orders.test", nil, "payments.test"},
		"not TLS":             {serve(t, func(c *net.TCPConn) { _, _ = c.Write([]byte("220 hello\r\n")) }), TLS{Insecure: true}, "payments.test", nil, "does not look like a TLS handshake"},
		"no common protocol":  {secure, TLS{Insecure: true}, "payments.test", []string{"postgresql"}, "no application protocol"},
		"closes during hello": {serve(t, func(c *net.TCPConn) { _, _ = c.Read(make([]byte, 1)) }), TLS{Insecure: true}, "payments.test", nil, "start TLS with"},
	} {
		t.Run(name, func(t *testing.T) {
			l, failed := ts.terminating(t, c.upstream, func(cfg *Config) { c.tls.CA, c.tls.Failed = ts.run, cfg.TLS.Failed; cfg.TLS = &c.tls })
			client := tls.Client(dial(t, l), ts.client(t, c.name, c.protos...))
			require.ErrorIs(t, client.Handshake(), syscall.ECONNRESET)
			require.EqualValues(t, 1, l.Counters().TLSErrors)
			require.Len(t, failed.list(), 1)
			require.Contains(t, failed.list()[0], c.failed)
			require.Contains(t, failed.list()[0], `link "a -> b"`)
		})
	}
	l, failed := ts.terminating(t, secure, func(cfg *Config) { cfg.TLS = &TLS{CA: ts.run, Insecure: true, Failed: cfg.TLS.Failed} })
	c := dialTLS(t, l, ts.client(t, "orders.test"))
	send(t, c, "x")
	expect(t, c, "x")
	require.Empty(t, failed.list(), "Insecure is set")
}

func TestUpstreamRefusalIsResetBeforeTLS(t *testing.T) {
	ts := newCerts(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ln.Close()
	l, failed := ts.terminating(t, ln.Addr().String(), nil)
	require.ErrorIs(t, tls.Client(dial(t, l), ts.client(t, "payments.test")).Handshake(), syscall.ECONNRESET)
	require.EqualValues(t, 1, l.Counters().DialErrors)
	require.Zero(t, l.Counters().TLSErrors)
	require.Empty(t, failed.list())
}

func TestClientTLSFailures(t *testing.T) {
	ts := newCerts(t)
	for name, c := range map[string]struct {
		run      func(t *testing.T, c *net.TCPConn)
		accepted int64
		failed   string
	}{
		"not TLS": {func(t *testing.T, c *net.TCPConn) {
			send(t, c, "GET / HTTP/1.1\r\n\r\n")
			_, err := io.ReadAll(c)
			require.ErrorIs(t, err, syscall.ECONNRESET)
		}, 0, "does not use TLS"},
		"does not trust the CA": {func(t *testing.T, c *net.TCPConn) {
			err := tls.Client(c, &tls.Config{RootCAs: pool(t, ts.other), ServerName: "payments.test"}).Handshake()
			require.ErrorAs(t, err, &x509.UnknownAuthorityError{})
		}, 1, "trust the run's CA"},
		"offers too old a version": {func(t *testing.T, c *net.TCPConn) {
			cfg := ts.client(t, "payments.test")
			cfg.MinVersion, cfg.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
			require.ErrorContains(t, tls.Client(c, cfg).Handshake(), "protocol version not supported", "the client gets an alert")
		}, -1, "unsupported versions"},
		"closes without sending": {func(_ *testing.T, c *net.TCPConn) { c.Close() }, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var accepted, ended atomic.Int64
			l, failed := ts.terminating(t, serve(t, func(c *net.TCPConn) {
				accepted.Add(1)
				_ = tls.Server(c, ts.server(t)).Handshake()
				_, _ = io.Copy(io.Discard, c)
				ended.Add(1)
			}), nil)
			c.run(t, dial(t, l))
			require.Eventually(t, func() bool { return l.Counters().Opened == 1 && l.Counters().Live == 0 }, 20*time.Second, time.Millisecond)
			require.Eventually(t, func() bool { return accepted.Load() == ended.Load() }, 20*time.Second, time.Millisecond, "the upstream's connection stays")
			if c.accepted >= 0 {
				require.Equal(t, c.accepted, accepted.Load())
			}
			if c.failed == "" {
				require.Empty(t, failed.list())
				require.Zero(t, l.Counters().TLSErrors)
				return
			}
			require.EqualValues(t, 1, l.Counters().TLSErrors)
			require.Len(t, failed.list(), 1)
			require.Contains(t, failed.list()[0], c.failed)
		})
	}
}

func TestFaultsActOnTheCiphertext(t *testing.T) {
	ts := newCerts(t)
	var accepted atomic.Int64
	l, _ := ts.terminating(t, serveTLS(t, ts.server(t), func(c tlsPeer) { accepted.Add(1); echoTLS(c) }), nil)
	c := dialTLS(t, l, ts.client(t, "payments.test"))
	send(t, c, "one")
	expect(t, c, "one")
	count := evidence.NewCounter("traffic")
	heal, err := l.CutOff(Cut{On: On{ID: "f1", Count: count}})
	require.NoError(t, err)
	send(t, c, "two")
	fresh := dial(t, l)
	handshakes := make(chan error, 1)
	secure := tls.Client(fresh, ts.client(t, "payments.test"))
	go func() { handshakes <- secure.Handshake() }()
	expectSilence(t, c.raw)
	require.EqualValues(t, 1, accepted.Load())
	require.NoError(t, heal(t.Context()))
	require.NoError(t, <-handshakes)
	send(t, secure, "three")
	expect(t, secure, "three")
	require.Positive(t, count.Tally().Affected)

	stalled, err := l.StallTLS(On{ID: "f2"})
	require.NoError(t, err)
	late := dial(t, l)
	go func() { handshakes <- tls.Client(late, ts.client(t, "payments.test")).Handshake() }()
	select {
	case err := <-handshakes:
		t.Fatalf("the handshake ended while stalled: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	require.NoError(t, stalled(t.Context()))
	require.NoError(t, <-handshakes)

	again, err := l.Reset(Reset{On: On{ID: "f3"}})
	require.NoError(t, err)
	_, err = secure.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
	require.NoError(t, again(t.Context()))
}

// TestCutOffDeliversRestInsideTLS checks that bytes held by a cut are delivered after it, with the
// connection's own keys.
func TestCutOffDeliversRestInsideTLS(t *testing.T) {
	l, client, server, _ := pairTLS(t, nil)
	heal, err := l.CutOff(Cut{On: On{ID: "f1"}, Dir: ToServer})
	require.NoError(t, err)
	text := bytes.Repeat([]byte("0123456789"), 1<<12)
	go func() { _, _ = client.Write(text); _ = client.CloseWrite() }()
	expectSilence(t, server.raw)
	require.NoError(t, heal(t.Context()))
	require.NoError(t, server.SetDeadline(time.Now().Add(30*time.Second)))
	got, err := io.ReadAll(server)
	require.NoError(t, err)
	require.Equal(t, text, got)
}

func TestRelayRedialsWithSameTLS(t *testing.T) {
	ts := newCerts(t)
	type met struct{ name, proto string }
	seen := make(chan met, 3)
	cfg := ts.server(t, "http/1.1", "h2")
	l, _ := ts.terminating(t, serveTLS(t, cfg, func(c tlsPeer) {
		seen <- met{c.ConnectionState().ServerName, c.ConnectionState().NegotiatedProtocol}
		echoTLS(c)
	}), func(cfg *Config) {
		cfg.Serve = func(ctx context.Context, client Conn, dial func(context.Context) (net.Conn, error)) {
			for range 3 {
				up, err := dial(ctx)
				if err != nil {
					break
				}
				_, _ = up.Write([]byte("x"))
				_, _ = io.ReadFull(up, make([]byte, 1))
				up.Close()
			}
			_ = client.CloseWrite()
		}
	})
	c := dialTLS(t, l, ts.client(t, "payments.test", "h2", "http/1.1"))
	_, err := io.ReadAll(c)
	require.NoError(t, err)
	for range 3 {
		require.Equal(t, met{"payments.test", "http/1.1"}, <-seen)
	}
}

func TestInvalidTLSConfig(t *testing.T) {
	ca, err := NewCA()
	require.NoError(t, err)
	for _, c := range []*TLS{{}, {CA: ca, Insecure: true, Roots: x509.NewCertPool()}, {CA: ca, Request: "TLS please"}} {
		_, err := Open(Config{Name: "a -> b", Upstream: "127.0.0.1:1", TLS: c})
		require.ErrorContains(t, err, `open link "a -> b"`)
	}
}

// tlsTransport runs the byte-exactness test over TLS terminated by the link.
type tlsTransport struct {
	certs
	serverConfig, clientConfig *tls.Config
}

func (e tlsTransport) open(t testing.TB, upstream string) *Link {
	t.Helper()
	l, _ := e.terminating(t, upstream, nil)
	return l
}
func (e tlsTransport) server(c net.Conn) halfStream { return tls.Server(c, e.serverConfig) }
func (e tlsTransport) client(c net.Conn) halfStream { return tls.Client(c, e.clientConfig) }

func TestNoByteIsLostDuplicatedOrReorderedInsideTLS(t *testing.T) {
	ts := newCerts(t)
	for name, disturb := range map[string]func(context.Context, *testing.T, *Link) int{"healthy": nil, "faults on and off": switchFaults} {
		t.Run(name, func(t *testing.T) {
			e := &exactness{each: max(*soak, 16<<20) / 64, transport: tlsTransport{ts, ts.server(t), ts.client(t, "payments.test")}}
			e.run(t, disturb)
		})
	}
}

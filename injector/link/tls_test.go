package link

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// certs holds the certificates of a test: the run's CA, and another one that signs the upstream's
// certificate.
type certs struct{ run, other *CA }

func newCerts(t testing.TB) certs {
	t.Helper()
	run, err := NewCA()
	require.NoError(t, err)
	other, err := NewCA()
	require.NoError(t, err)
	return certs{run, other}
}

func pool(t testing.TB, ca *CA) *x509.CertPool {
	t.Helper()
	p := x509.NewCertPool()
	require.True(t, p.AppendCertsFromPEM(ca.PEM()))
	return p
}

// server returns the configuration of an upstream named payments.test with address 127.0.0.1.
func (ts certs) server(t testing.TB, protos ...string) *tls.Config {
	t.Helper()
	leaf, err := ts.other.leaf("payments.test", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	return &tls.Config{Certificates: []tls.Certificate{*leaf}, NextProtos: protos}
}

// client returns a configuration that trusts only the run's CA. With "", it sends no server name and
// expects a certificate for 127.0.0.1.
func (ts certs) client(t testing.TB, name string, protos ...string) *tls.Config {
	t.Helper()
	if name == "" {
		name = "127.0.0.1"
	}
	return &tls.Config{RootCAs: pool(t, ts.run), ServerName: name, NextProtos: protos}
}

// failures collects the TLS errors that a link reports.
type failures struct {
	mu  sync.Mutex
	all []string
}

func (f *failures) add(err error) { f.mu.Lock(); f.all = append(f.all, err.Error()); f.mu.Unlock() }

func (f *failures) list() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.all...)
}

// terminating opens a link that terminates TLS and trusts the test's upstream.
func (ts certs) terminating(t testing.TB, upstream string, change func(*Config)) (*Link, *failures) {
	t.Helper()
	failed := &failures{}
	cfg := Config{Name: "a -> b", Upstream: upstream, DialTimeout: 5 * time.Second, TLS: &TLS{CA: ts.run, Roots: pool(t, ts.other), Failed: failed.add}}
	if change != nil {
		change(&cfg)
	}
	l, err := Open(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l, failed
}

// tlsPeer is a TLS connection that distinguishes a peer's close_notify from a bare FIN.
type tlsPeer struct {
	*tls.Conn
	raw  *net.TCPConn
	wire *wire
}

func (n tlsPeer) reset() { _ = n.raw.SetLinger(0); _ = n.raw.Close() }

// serveTLS is serve with TLS, for connections whose handshake succeeds.
func serveTLS(t testing.TB, cfg *tls.Config, do func(tlsPeer)) string {
	t.Helper()
	return serve(t, func(c *net.TCPConn) {
		w := &wire{Conn: c}
		if s := tls.Server(w, cfg); s.Handshake() == nil {
			do(tlsPeer{s, c, w})
		}
	})
}

// dialTLS connects to a link and completes the handshake.
func dialTLS(t testing.TB, l *Link, cfg *tls.Config) tlsPeer {
	t.Helper()
	raw := dial(t, l)
	w := &wire{Conn: raw}
	c := tlsPeer{tls.Client(w, cfg), raw, w}
	require.NoError(t, c.Handshake())
	return c
}

func echoTLS(c tlsPeer) { _, _ = io.Copy(c, c); _ = c.CloseWrite() }

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

func TestUpstreamsProtocolChoiceIsOffered(t *testing.T) {
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
	require.Empty(t, failed.list(), "insecure was said")
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
			require.ErrorContains(t, tls.Client(c, cfg).Handshake(), "protocol version not supported", "it is told by an alert")
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

// pairTLS returns both ends of a connection through a terminating link that has already carried bytes.
func pairTLS(t *testing.T, change func(*Config)) (l *Link, client, server tlsPeer, failed *failures) {
	t.Helper()
	ts := newCerts(t)
	ends, release := make(chan tlsPeer, 1), make(chan struct{})
	l, failed = ts.terminating(t, serveTLS(t, ts.server(t), func(c tlsPeer) { ends <- c; <-release }), change)
	t.Cleanup(func() { close(release) })
	client = dialTLS(t, l, ts.client(t, "payments.test"))
	server = <-ends
	require.NoError(t, server.SetDeadline(time.Now().Add(30*time.Second)))
	send(t, client, "hello")
	expect(t, server, "hello")
	return l, client, server, failed
}

// relayed makes the link use a relay that copies between its client and one dialled connection.
func relayed(cfg *Config) {
	cfg.Serve = func(ctx context.Context, client Conn, dial func(context.Context) (net.Conn, error)) {
		up, err := dial(ctx)
		if err != nil {
			_ = client.Reset()
			return
		}
		defer up.Close()
		abort := func() { _ = up.(interface{ SetLinger(int) error }).SetLinger(0); up.Close() }
		var both sync.WaitGroup
		both.Go(func() {
			if _, err := io.Copy(up, client); err != nil {
				abort()
				return
			}
			_ = up.(interface{ CloseWrite() error }).CloseWrite()
		})
		if _, err := io.Copy(client, up); err != nil {
			_ = client.Reset()
		}
		_ = client.CloseWrite()
		both.Wait()
	}
}

func TestEndsArePreservedThroughTLS(t *testing.T) {
	notify := func(c tlsPeer) { _ = c.CloseWrite() }
	for name, e := range map[string]struct {
		end      func(from tlsPeer)
		bare     bool  // the other end sees FIN without close_notify
		want     error // nil means a graceful end
		halfOpen bool  // the other direction stays open
	}{
		"close_notify": {notify, false, nil, true},
		"a bare FIN":   {func(c tlsPeer) { _ = c.raw.CloseWrite() }, true, nil, true},
		"both":         {func(c tlsPeer) { _ = c.CloseWrite(); _ = c.raw.CloseWrite() }, false, nil, true},
		"reset":        {tlsPeer.reset, false, syscall.ECONNRESET, false},
	} {
		for kind, change := range map[string]func(*Config){"pump": nil, "relay": relayed} {
			for _, fromClient := range []bool{true, false} {
				t.Run(name+", "+kind+", "+map[bool]string{true: "client's", false: "server's"}[fromClient], func(t *testing.T) {
					_, client, server, failed := pairTLS(t, change)
					from, to := client, server
					if !fromClient {
						from, to = server, client
					}
					send(t, from, "last words")
					expect(t, to, "last words")
					e.end(from)
					rest, err := io.ReadAll(to)
					require.Empty(t, rest)
					if e.want != nil {
						require.ErrorIs(t, err, e.want)
					} else {
						require.NoError(t, err)
						require.Equal(t, e.bare, to.wire.bareFIN.Load())
					}
					if e.halfOpen {
						send(t, to, "answer")
						expect(t, from, "answer")
					}
					require.Empty(t, failed.list())
				})
			}
		}
	}
}

func TestResetAfterCloseNotify(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the peer would notice at its next write only")
	}
	for _, fromClient := range []bool{true, false} {
		t.Run(map[bool]string{true: "client's", false: "server's"}[fromClient], func(t *testing.T) {
			_, client, server, _ := pairTLS(t, nil)
			from, to := client, server
			if !fromClient {
				from, to = server, client
			}
			_ = from.CloseWrite()
			rest, err := io.ReadAll(to)
			require.NoError(t, err)
			require.Empty(t, rest)
			from.reset()
			reset, err := awaitReset(rawOf(to.raw)) // without a write, which would detect a reset in any case
			require.NoError(t, err)
			require.True(t, reset)
		})
	}
}

func TestCloseNotifyBothWaysEndsConnection(t *testing.T) {
	l, client, server, _ := pairTLS(t, nil)
	_ = client.CloseWrite() // neither side sends FIN
	_ = server.CloseWrite()
	_, err := io.ReadAll(client)
	require.NoError(t, err)
	require.False(t, client.wire.bareFIN.Load())
	require.Eventually(t, func() bool { return l.Counters().Live == 0 }, 20*time.Second, time.Millisecond)
	_, err = server.raw.Read(make([]byte, 1))
	for err == nil {
		_, err = server.raw.Read(make([]byte, 1))
	}
	require.ErrorIs(t, err, io.EOF, "the end was orderly")
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

func TestClientClosesDuringUpstreamHandshake(t *testing.T) {
	ts := newCerts(t)
	for name, leave := range map[string]func(*net.TCPConn){
		"closes": func(c *net.TCPConn) { c.Close() },
		"resets": func(c *net.TCPConn) { _ = c.SetLinger(0); c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			begun, ended := make(chan struct{}), make(chan struct{})
			l, failed := ts.terminating(t, serve(t, func(c *net.TCPConn) {
				_, _ = c.Read(make([]byte, 1))
				close(begun)
				_, _ = io.Copy(io.Discard, c) // reads the rest of the hello and sends nothing
				close(ended)
			}), nil)
			c := dial(t, l)
			go func() { _ = tls.Client(c, ts.client(t, "payments.test")).Handshake() }()
			<-begun
			leave(c)
			<-ended
			require.Eventually(t, func() bool { return l.Counters().Live == 0 }, 20*time.Second, time.Millisecond)
			require.Empty(t, failed.list())
		})
	}
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

func TestCloseIsBoundedInsideTLS(t *testing.T) {
	ts := newCerts(t)
	release := make(chan struct{})
	upstream := serveTLS(t, ts.server(t), func(c tlsPeer) {
		_, _ = c.Write(make([]byte, 16<<20)) // the client does not read it
		<-release
	})
	defer close(release)
	failed := &failures{}
	l, err := Open(Config{Name: "a -> b", Upstream: upstream, TLS: &TLS{CA: ts.run, Roots: pool(t, ts.other), Failed: failed.add}})
	require.NoError(t, err)
	for range 8 {
		dialTLS(t, l, ts.client(t, ""))
	}
	hung := dial(t, l) // sends nothing
	_, err = l.CutOff(Cut{On: On{ID: "f1"}, Dir: ToClient})
	require.NoError(t, err)
	closed := make(chan error, 1)
	go func() { closed <- l.Close() }()
	select {
	case err := <-closed:
		require.NoError(t, err)
	case <-time.After(20 * time.Second):
		t.Fatal("close hangs")
	}
	_, err = hung.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
	require.Empty(t, failed.list())
}

func TestInvalidTLSConfig(t *testing.T) {
	ca, err := NewCA()
	require.NoError(t, err)
	for _, c := range []*TLS{{}, {CA: ca, Insecure: true, Roots: x509.NewCertPool()}} {
		_, err := Open(Config{Name: "a -> b", Upstream: "127.0.0.1:1", TLS: c})
		require.ErrorContains(t, err, `open link "a -> b"`)
	}
}

func TestLeafCertificates(t *testing.T) {
	ca, err := NewCA()
	require.NoError(t, err)
	leaf := func(host string, at net.Addr) *x509.Certificate {
		made, err := ca.leaf(host, at)
		require.NoError(t, err)
		again, err := ca.leaf(host, at)
		require.NoError(t, err)
		require.Same(t, made, again)
		cert, err := x509.ParseCertificate(made.Certificate[0])
		require.NoError(t, err)
		_, err = cert.Verify(x509.VerifyOptions{Roots: pool(t, ca)})
		require.NoError(t, err)
		return cert
	}
	cert := leaf("::1", &net.TCPAddr{IP: net.ParseIP("::ffff:127.0.0.1")})
	assert.NoError(t, cert.VerifyHostname("[::1]"))
	assert.NoError(t, cert.VerifyHostname("127.0.0.1"))
	cert = leaf("payments.test", &net.UnixAddr{Name: "/a", Net: "unix"})
	assert.NoError(t, cert.VerifyHostname("payments.test"))
	assert.Error(t, cert.VerifyHostname("127.0.0.1"))
	ca.leaves = map[string]*tls.Certificate{}
	for i := range maxLeaves {
		ca.leaves[string(rune('a'+i))] = &tls.Certificate{}
	}
	leaf("one.more", nil)
	assert.Len(t, ca.leaves, 1)
	_, err = ca.leaf("n\u00e4me", nil)
	assert.True(t, err != nil && !errors.Is(err, io.EOF), "a name that no certificate can have")
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

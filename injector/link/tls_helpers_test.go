package link

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
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
	cfg := Config{Name: "a -> b", Upstream: upstream, dialTimeout: time.Minute, TLS: &TLS{CA: ts.run, Roots: pool(t, ts.other), Failed: failed.add}}
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

package datagram

import (
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
)

func TestMain(m *testing.M) { relaytest.Main(m, Protocols()...) }

// testLink is a link whose evidence is recorded.
type testLink struct {
	*Link
	relaytest.Recording
}

// openLink opens a link in front of upstream. It is closed after the test, when its accounts must add up.
func openLink(t testing.TB, upstream string, cfg Config) *testLink {
	t.Helper()
	f := &testLink{}
	if cfg.Protocol == "" {
		cfg.Protocol = "udp"
	}
	cfg.Name, cfg.Upstream, cfg.Sink = "orders -> billing", upstream, f.Event
	l, err := Open(cfg)
	require.NoError(t, err)
	f.Link, f.Recording.Relay = l, l.Relay()
	t.Cleanup(func() {
		require.NoError(t, l.Close())
		f.CheckAccounts(t)
	})
	return f
}

// peer is one end of a conversation.
type peer struct {
	*net.UDPConn
	t   testing.TB
	buf []byte
}

func newPeer(t testing.TB, c *net.UDPConn) *peer {
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetReadBuffer(socketBuffer)
	return &peer{c, t, make([]byte, maxDatagram)}
}

// connect returns a client.
func connect(t testing.TB, addr string) *peer {
	t.Helper()
	to, err := net.ResolveUDPAddr("udp", addr)
	require.NoError(t, err)
	c, err := net.DialUDP("udp", nil, to)
	require.NoError(t, err)
	return newPeer(t, c)
}

// serve returns a server that the test controls.
func serve(t testing.TB) *peer {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	return newPeer(t, c)
}

func (p *peer) addr() string { return p.LocalAddr().String() }

func (p *peer) send(text string) {
	p.t.Helper()
	_, err := p.Write([]byte(text))
	require.NoError(p.t, err)
}

// next returns the next datagram and its source.
func (p *peer) next() (string, *net.UDPAddr) {
	p.t.Helper()
	require.NoError(p.t, p.SetReadDeadline(time.Now().Add(relaytest.Patience)))
	n, from, err := p.ReadFromUDP(p.buf)
	require.NoError(p.t, err)
	return string(p.buf[:n]), from
}

// expect reads exactly these datagrams.
func (p *peer) expect(texts ...string) {
	p.t.Helper()
	for _, text := range texts {
		got, _ := p.next()
		require.Equal(p.t, text, got)
	}
}

// expectNothing checks that nothing arrives for a while.
func (p *peer) expectNothing() {
	p.t.Helper()
	require.NoError(p.t, p.SetReadDeadline(time.Now().Add(relaytest.Quiet)))
	n, err := p.Read(p.buf)
	require.ErrorIs(p.t, err, os.ErrDeadlineExceeded, "got %q", p.buf[:n])
}

// echo starts an echo server.
func echo(t testing.TB) string {
	s := serve(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, maxDatagram)
		for {
			n, from, err := s.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			_, _ = s.WriteToUDPAddrPort(buf[:n], from)
		}
	})
	t.Cleanup(func() { _ = s.Close(); wg.Wait() })
	return s.addr()
}

package link

import (
	"context"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"
)

// dnsServer is a DNS server on loopback that answers questions for A records with its current address.
type dnsServer struct {
	addr    string
	queries atomic.Int64
	mu      sync.Mutex
	ip      [4]byte
}

func (n *dnsServer) setIP(at [4]byte) { n.mu.Lock(); n.ip = at; n.mu.Unlock() }

func newDNSServer(t *testing.T) *dnsServer {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	n := &dnsServer{addr: pc.LocalAddr().String()}
	var wg sync.WaitGroup
	wg.Go(func() {
		p := make([]byte, 1500)
		for {
			size, from, err := pc.ReadFrom(p)
			if err != nil {
				return
			}
			if answer := n.answer(p[:size]); answer != nil {
				_, _ = pc.WriteTo(answer, from)
			}
		}
	})
	t.Cleanup(func() { pc.Close(); wg.Wait() })
	return n
}

func (n *dnsServer) answer(raw []byte) []byte {
	var m dnsmessage.Message
	if m.Unpack(raw) != nil || len(m.Questions) != 1 {
		return nil
	}
	m.Response, m.Additionals = true, nil
	if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
		n.queries.Add(1)
		n.mu.Lock()
		body := &dnsmessage.AResource{A: n.ip}
		n.mu.Unlock()
		m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 3600}, Body: body}}
	}
	packed, _ := m.Pack()
	return packed
}

func (n *dnsServer) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", n.addr)
	}}
}

func TestUpstreamIsResolvedAtEachDial(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("127.0.0.2 is not an address here")
	}
	n := newDNSServer(t)
	first := serveAt(t, "127.0.0.1:0", func(c halfCloser) { _, _ = c.Write([]byte("first")) })
	_, port, err := net.SplitHostPort(first)
	require.NoError(t, err)
	serveAt(t, "127.0.0.2:"+port, func(c halfCloser) { _, _ = c.Write([]byte("second")) })
	l, err := Open(Config{Name: "a -> b", Upstream: "payments.test.:" + port, resolver: n.resolver()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	n.setIP([4]byte{127, 0, 0, 1})
	expect(t, dial(t, l), "first")
	n.setIP([4]byte{127, 0, 0, 2})
	expect(t, dial(t, l), "second")
	require.EqualValues(t, 2, n.queries.Load())
}

func TestUnresolvableUpstreamIsReset(t *testing.T) {
	n := newDNSServer(t)
	n.setIP([4]byte{127, 0, 0, 1})
	l, err := Open(Config{Name: "a -> b", Upstream: "payments.test.:1", resolver: &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, syscall.ENETUNREACH
	}}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	require.ErrorIs(t, firstRead(l), syscall.ECONNRESET)
	require.EqualValues(t, 1, l.Counters().DialErrors)
}

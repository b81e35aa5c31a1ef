package datagram

import (
	"context"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/message"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	patience = 20 * time.Second       // limit for what must happen
	quiet    = 100 * time.Millisecond // how long a peer must receive nothing
)

// testLink is a link whose evidence is recorded.
type testLink struct {
	*Link

	mu     sync.Mutex
	events []evidence.Event
}

// openLink opens a link in front of upstream. It is closed after the test, when its accounts must add up.
func openLink(t testing.TB, upstream string, cfg Config) *testLink {
	t.Helper()
	f := &testLink{}
	if cfg.Protocol == "" {
		cfg.Protocol = "udp"
	}
	cfg.Name, cfg.Upstream = "orders -> billing", upstream
	cfg.Sink = func(e evidence.Event) { f.mu.Lock(); f.events = append(f.events, e); f.mu.Unlock() }
	l, err := Open(cfg)
	require.NoError(t, err)
	f.Link = l
	t.Cleanup(func() {
		require.NoError(t, l.Close())
		f.checkAccounts(t)
	})
	return f
}

// checkAccounts quiesces the relay and checks that the accounts add up.
func (f *testLink) checkAccounts(t testing.TB) (toServer, toClient evidence.Accounts) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, c, err := f.Relay().Quiesce(ctx)
	require.NoError(t, err)
	for _, b := range []evidence.Accounts{s, c} {
		assert.Empty(t, b.Wrong(), "to server %+v, to client %+v", s, c)
	}
	return s, c
}

// addRule adds a rule with a counter.
func (f *testLink) addRule(t testing.TB, r message.Rule) (count *evidence.Counter, heal func()) {
	t.Helper()
	if r.ID == "" {
		r.ID = "fault-1"
	}
	r.Count = evidence.NewCounter("messages")
	undo, err := f.Relay().Add(r)
	require.NoError(t, err)
	return r.Count, func() { t.Helper(); require.NoError(t, undo(context.Background())) }
}

// recorded returns the evidence of a stage so far.
func (f *testLink) recorded(stage evidence.Stage) []evidence.Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(f.events), func(e evidence.Event) bool { return e.Stage != stage })
}

// waitUntil waits for a condition.
func waitUntil(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			require.FailNow(t, "did not come about: "+what)
		}
	}
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
	require.NoError(p.t, p.SetReadDeadline(time.Now().Add(patience)))
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
	require.NoError(p.t, p.SetReadDeadline(time.Now().Add(quiet)))
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

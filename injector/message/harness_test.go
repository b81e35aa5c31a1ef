package message

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/link"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction(starter))
}

// starter is the goroutine that starts processes; it never ends.
const starter = "github.com/firedrill-dev/firedrill/injector/process.init.func1.1"

const (
	patience = 20 * time.Second       // limit for what must happen
	quiet    = 100 * time.Millisecond // how long a peer must receive nothing
)

// testLink is a relay on a link.
type testLink struct {
	*Relay
	addr string
	link *link.Link

	mu     sync.Mutex
	events []evidence.Event
	calls  []Call
}

// openLink starts a relay in front of upstream. It is closed after the test, when its accounts must add up.
func openLink(t testing.TB, upstream string, cfg Config) *testLink {
	t.Helper()
	return openLinkFor(t, "http", upstream, cfg)
}

func openLinkFor(t testing.TB, protocol, upstream string, cfg Config) *testLink {
	t.Helper()
	all := Protocols()
	i := slices.IndexFunc(all, func(p Protocol) bool { return p.Name == protocol })
	require.GreaterOrEqual(t, i, 0, protocol)
	return openProtocol(t, all[i], upstream, cfg)
}

func openProtocol(t testing.TB, p Protocol, upstream string, cfg Config) *testLink {
	t.Helper()
	return openLinkOn(t, p, link.Config{Upstream: upstream}, cfg)
}

// openLinkOn opens a link with a configuration, for example with TLS.
func openLinkOn(t testing.TB, p Protocol, on link.Config, cfg Config) *testLink {
	t.Helper()
	f := &testLink{}
	if cfg.Link == "" {
		cfg.Link = "orders -> payments"
	}
	if cfg.Sink == nil { // the evidence of tests with many messages is not kept
		cfg.Sink = func(e evidence.Event) { f.mu.Lock(); f.events = append(f.events, e); f.mu.Unlock() }
		cfg.Calls = func(c Call) { f.mu.Lock(); f.calls = append(f.calls, c); f.mu.Unlock() }
	}
	r, err := newRelay(p, cfg)
	require.NoError(t, err)
	f.Relay = r
	t.Cleanup(func() { f.checkAccounts(t) }) // after the link has been closed
	f.link = serveLinkOn(t, on, func(ctx context.Context, c link.Conn, dial Dial) { r.Serve(ctx, c, dial) })
	f.addr = f.link.Addr()
	return f
}

// serveLink opens a link whose connections are handled by serve. It is closed after the test.
func serveLink(t testing.TB, upstream string, serve func(context.Context, link.Conn, Dial)) *link.Link {
	t.Helper()
	return serveLinkOn(t, link.Config{Upstream: upstream}, serve)
}

func serveLinkOn(t testing.TB, on link.Config, serve func(context.Context, link.Conn, Dial)) *link.Link {
	t.Helper()
	on.Name = "orders -> payments"
	on.Serve = func(ctx context.Context, c link.Conn, dial func(context.Context) (net.Conn, error)) {
		serve(ctx, c, dial)
	}
	l, err := link.Open(on)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l
}

// checkAccounts quiesces the relay and checks that the accounts add up.
func (f *testLink) checkAccounts(t testing.TB) (toServer, toClient evidence.Accounts) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, c, err := f.Quiesce(ctx)
	require.NoError(t, err)
	for _, b := range []evidence.Accounts{s, c} {
		assert.Empty(t, b.Wrong(), "to server %+v, to client %+v", s, c)
	}
	return s, c
}

// addRule adds a rule with a counter.
func (f *testLink) addRule(t testing.TB, r Rule) (count *evidence.Counter, heal func()) {
	t.Helper()
	if r.ID == "" {
		r.ID = "fault-1"
	}
	r.Count = evidence.NewCounter("calls")
	undo, err := f.Add(r)
	require.NoError(t, err)
	return r.Count, func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(t, undo(ctx))
	}
}

// recorded returns the evidence of a stage so far.
func (f *testLink) recorded(stage evidence.Stage) []evidence.Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []evidence.Event
	for _, e := range f.events {
		if e.Stage == stage {
			list = append(list, e)
		}
	}
	return list
}

func (f *testLink) finishedCalls() []Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Call(nil), f.calls...)
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

// peer is a raw TCP end of a conversation.
type peer struct {
	*net.TCPConn
	t testing.TB
}

func connect(t testing.TB, addr string) peer {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return peer{c.(*net.TCPConn), t}
}

func (p peer) reset() {
	_ = p.SetLinger(0)
	_ = p.Close()
}

// send writes text, as a whole or byte by byte.
func (p peer) send(text string, single bool) {
	p.t.Helper()
	step := len(text)
	if single {
		step = 1
	}
	for i := 0; i < len(text); i += step {
		_, err := io.WriteString(p, text[i:i+step])
		require.NoError(p.t, err)
	}
}

// expect reads exactly this text.
func (p peer) expect(text string) {
	p.t.Helper()
	require.NoError(p.t, p.SetReadDeadline(time.Now().Add(patience)))
	buf := make([]byte, len(text))
	n, err := io.ReadFull(p, buf)
	require.Equal(p.t, text, string(buf[:n]))
	require.NoError(p.t, err)
}

// readToEnd reads until the end of the connection. It returns how the connection ended: "closed", "reset" or, on
// a timeout, "silence".
func (p peer) readToEnd(within time.Duration) (rest, how string) {
	p.t.Helper()
	require.NoError(p.t, p.SetReadDeadline(time.Now().Add(within)))
	all, err := io.ReadAll(p)
	switch {
	case err == nil:
		return string(all), "closed"
	case errors.Is(err, syscall.ECONNRESET):
		return string(all), "reset"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return string(all), "silence"
	}
	return string(all), err.Error()
}

// readReply reads one response with a Content-Length, as text.
func (p peer) readReply() string {
	p.t.Helper()
	require.NoError(p.t, p.SetReadDeadline(time.Now().Add(patience)))
	var b strings.Builder
	one := make([]byte, 1)
	for !strings.HasSuffix(b.String(), "\r\n\r\n") {
		if _, err := p.Read(one); err != nil {
			require.NoError(p.t, err, "after %q", b.String())
		}
		b.WriteByte(one[0])
	}
	var size int
	for line := range strings.SplitSeq(b.String(), "\r\n") {
		_, _ = fmt.Sscanf(strings.ToLower(line), "content-length: %d", &size)
	}
	body := make([]byte, size)
	_, err := io.ReadFull(p, body)
	require.NoError(p.t, err)
	return b.String() + string(body)
}

// scriptedServer is an upstream whose connections the test controls.
type scriptedServer struct {
	addr  string
	conns chan peer
}

func startScript(t testing.TB) *scriptedServer {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &scriptedServer{addr: ln.Addr().String(), conns: make(chan peer, 64)}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = c.Close() })
			s.conns <- peer{c.(*net.TCPConn), t}
		}
	})
	t.Cleanup(func() { _ = ln.Close(); wg.Wait() })
	return s
}

func (s *scriptedServer) accept(t testing.TB) peer {
	t.Helper()
	select {
	case p := <-s.conns:
		return p
	case <-time.After(patience):
		require.FailNow(t, "no connection came to the upstream")
		return peer{}
	}
}

// testShop is a real net/http server that counts its executions. It replies "<n> <path>" to the n-th.
type testShop struct {
	addr string
	done atomic.Int64
	mu   sync.Mutex
	log  []string
}

func startShop(t testing.TB) *testShop {
	s := &testShop{}
	s.addr = serveOn(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		size, _ := io.Copy(io.Discard, r.Body)
		n := s.done.Add(1)
		s.mu.Lock()
		s.log = append(s.log, fmt.Sprintf("%s %s %d", r.Method, r.URL.Path, size))
		s.mu.Unlock()
		if r.URL.Path == "/large" {
			_, _ = w.Write(make([]byte, 1<<20))
			return
		}
		text := fmt.Sprintf("%d %s", n, r.URL.Path)
		w.Header().Set("Content-Length", fmt.Sprint(len(text)))
		if n > 1 && r.URL.Path == "/once" {
			w.WriteHeader(http.StatusConflict)
		}
		_, _ = io.WriteString(w, text)
	}))
	return s
}

// serveOn starts a server of HTTP/1.1 and h2c with small windows, which it enforces.
func serveOn(t testing.TB, handler http.Handler) (addr string) {
	srv := httptest.NewUnstartedServer(handler)
	srv.Config.Protocols = &http.Protocols{}
	srv.Config.Protocols.SetHTTP1(true)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Config.HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerConnection: 64 << 10, MaxReceiveBufferPerStream: 64 << 10}
	srv.Start()
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().String()
}

func (s *testShop) executed() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.log...)
}

func request(method, path string, more ...string) string {
	return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: payments\r\n%s\r\n", method, path, strings.Join(more, ""))
}

func post(path, body string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: payments\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
}

func init() { strict = true }

package link

import (
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/firedrill-dev/firedrill/injector/link/internal/socket"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a server that calls do for each connection. It is closed at the end of the test.
func serve(t testing.TB, do func(*net.TCPConn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			wg.Go(func() {
				defer c.Close()
				do(c.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return ln.Addr().String()
}

func echo(c *net.TCPConn) { _, _ = io.Copy(c, c); _ = c.CloseWrite() }

func open(t testing.TB, upstream string) *Link {
	t.Helper()
	l, err := Open(Config{Name: "a -> b", Upstream: upstream, dialTimeout: time.Minute})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l
}

func dial(t testing.TB, l *Link) *net.TCPConn {
	t.Helper()
	c, err := net.DialTimeout("tcp", l.Addr(), 5*time.Second)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(30*time.Second)))
	return c.(*net.TCPConn)
}

// firstRead returns the first error that a client gets. A quick reset may already make connect fail.
func firstRead(l *Link) error {
	c, err := net.DialTimeout("tcp", l.Addr(), 5*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
	_, err = c.Read(make([]byte, 1))
	return err
}

func send(t testing.TB, c net.Conn, text string) {
	t.Helper()
	_, err := io.WriteString(c, text)
	require.NoError(t, err)
}

func expect(t testing.TB, c net.Conn, text string) {
	t.Helper()
	got := make([]byte, len(text))
	_, err := io.ReadFull(c, got)
	require.NoError(t, err)
	require.Equal(t, text, string(got))
}

// awaitReset waits, after EOF from c, until its peer resets it.
func awaitReset(c *net.TCPConn) (bool, error) {
	sock, err := socket.New(c)
	if err != nil {
		return false, err
	}
	return sock.AwaitReset()
}

// expectSilence asserts that the connection receives neither bytes nor an end.
func expectSilence(t *testing.T, c net.Conn) {
	t.Helper()
	require.NoError(t, c.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	_, err := c.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NoError(t, c.SetReadDeadline(time.Now().Add(30*time.Second)))
}

// pair returns both ends of a live connection through a link.
func pair(t *testing.T) (l *Link, client, server *net.TCPConn) {
	t.Helper()
	ends, release := make(chan *net.TCPConn, 1), make(chan struct{})
	l = open(t, serve(t, func(c *net.TCPConn) { ends <- c; <-release }))
	t.Cleanup(func() { close(release) })
	client = dial(t, l)
	server = <-ends
	require.NoError(t, server.SetDeadline(time.Now().Add(30*time.Second)))
	send(t, client, "hello")
	expect(t, server, "hello")
	return l, client, server
}

// descriptors returns the number of open descriptors, or 0 where the system does not list them.
func descriptors() int {
	open, _ := os.ReadDir("/proc/self/fd")
	return len(open)
}

// unboundLink returns a link without a listener.
func unboundLink() *Link {
	return &Link{cfg: Config{Name: "a -> b"}, conns: map[*conn]struct{}{}, changed: make(chan struct{})}
}

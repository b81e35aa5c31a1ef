package relaytest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Peer is a raw TCP end of a conversation.
type Peer struct {
	*net.TCPConn
	T testing.TB
}

func Connect(t testing.TB, addr string) Peer {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return Peer{c.(*net.TCPConn), t}
}

func (p Peer) Reset() {
	_ = p.SetLinger(0)
	_ = p.Close()
}

// Send writes text, as a whole or byte by byte.
func (p Peer) Send(text string, single bool) {
	p.T.Helper()
	step := len(text)
	if single {
		step = 1
	}
	for i := 0; i < len(text); i += step {
		_, err := io.WriteString(p, text[i:i+step])
		require.NoError(p.T, err)
	}
}

// Expect reads exactly this text.
func (p Peer) Expect(text string) {
	p.T.Helper()
	require.NoError(p.T, p.SetReadDeadline(time.Now().Add(Patience)))
	buf := make([]byte, len(text))
	n, err := io.ReadFull(p, buf)
	require.Equal(p.T, text, string(buf[:n]))
	require.NoError(p.T, err)
}

// ReadToEnd reads until the end of the connection. It returns how the connection ended: "closed", "reset" or, on
// a timeout, "silence".
func (p Peer) ReadToEnd(within time.Duration) (rest, how string) {
	p.T.Helper()
	require.NoError(p.T, p.SetReadDeadline(time.Now().Add(within)))
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

// ReadReply reads one response with a Content-Length, as text.
func (p Peer) ReadReply() string {
	p.T.Helper()
	require.NoError(p.T, p.SetReadDeadline(time.Now().Add(Patience)))
	var b strings.Builder
	one := make([]byte, 1)
	for !strings.HasSuffix(b.String(), "\r\n\r\n") {
		if _, err := p.Read(one); err != nil {
			require.NoError(p.T, err, "after %q", b.String())
		}
		b.WriteByte(one[0])
	}
	var size int
	for line := range strings.SplitSeq(b.String(), "\r\n") {
		_, _ = fmt.Sscanf(strings.ToLower(line), "content-length: %d", &size)
	}
	body := make([]byte, size)
	_, err := io.ReadFull(p, body)
	require.NoError(p.T, err)
	return b.String() + string(body)
}

// ScriptedServer is an upstream whose connections the test controls.
type ScriptedServer struct {
	Addr  string
	Conns chan Peer
}

func StartScript(t testing.TB) *ScriptedServer {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &ScriptedServer{Addr: ln.Addr().String(), Conns: make(chan Peer, 64)}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = c.Close() })
			s.Conns <- Peer{c.(*net.TCPConn), t}
		}
	})
	t.Cleanup(func() { _ = ln.Close(); wg.Wait() })
	return s
}

func (s *ScriptedServer) Accept(t testing.TB) Peer {
	t.Helper()
	select {
	case p := <-s.Conns:
		return p
	case <-time.After(Patience):
		require.FailNow(t, "no connection came to the upstream")
		return Peer{}
	}
}

package framed

import (
	"io"
	"net"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// heldServer accepts one connection, counts the bytes that it receives, and writes what the test sends on answers.
func heldServer(t *testing.T) (addr string, answers chan string, received *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	answers, received = make(chan string), &atomic.Int64{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		go func() {
			b := make([]byte, 4096)
			for {
				n, err := c.Read(b)
				if received.Add(int64(n)); err != nil {
					return
				}
			}
		}()
		for a := range answers {
			_, _ = io.WriteString(c, a)
		}
	}()
	t.Cleanup(func() { _ = l.Close(); close(answers); <-done })
	return l.Addr().String(), answers, received
}

// TestWaitsOfRedisCallers covers what a relay can say about how long callers wait.
func TestWaitsOfRedisCallers(t *testing.T) {
	const get, pop, hello = "*2\r\n$3\r\nGET\r\n$1\r\na\r\n", "*3\r\n$5\r\nBLPOP\r\n$1\r\nq\r\n$1\r\n0\r\n", "*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n"
	open := func(t *testing.T) (f *relaytest.TestLink, c net.Conn, answers chan string, received *atomic.Int64) {
		t.Helper()
		addr, answers, received := heldServer(t)
		f = relaytest.OpenLinkFor(t, "redis", addr, message.Config{})
		c, err := net.Dial("tcp", f.Addr)
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		return f, c, answers, received
	}
	ended := func(t *testing.T, f *relaytest.TestLink, n int) []message.Call {
		t.Helper()
		relaytest.WaitUntil(t, "the calls have ended", func() bool { return len(f.FinishedCalls()) == n })
		return f.FinishedCalls()
	}
	// ask sends commands, and answers when the server has them: an earlier answer would be none of theirs.
	ask := func(t *testing.T, c net.Conn, commands string, answers chan string, received *atomic.Int64, n int) {
		t.Helper()
		before := received.Load()
		_, err := io.WriteString(c, commands)
		require.NoError(t, err)
		relaytest.WaitUntil(t, "the server has the commands", func() bool { return received.Load() == before+int64(len(commands)) })
		for range n {
			answers <- "+OK\r\n"
		}
		_, err = io.ReadFull(c, make([]byte, n*len("+OK\r\n")))
		require.NoError(t, err)
	}

	t.Run("one at a time", func(t *testing.T) {
		f, c, answers, received := open(t)
		ask(t, c, get, answers, received, 1)
		ask(t, c, get, answers, received, 1)
		for _, call := range ended(t, f, 2) {
			assert.Equal(t, message.Call{Op: "GET a", Status: done}, relaytest.WithoutTimes(call))
		}
		assert.Zero(t, f.Relay.Unawaited())
	})
	t.Run("several at a time", func(t *testing.T) {
		f, c, answers, received := open(t)
		ask(t, c, get+get+get, answers, received, 3)
		ask(t, c, get, answers, received, 1)
		for i, call := range ended(t, f, 4) {
			assert.Equal(t, i < 3, call.Shared, i)
		}
	})
	t.Run("blocking and handshakes", func(t *testing.T) {
		f, c, answers, received := open(t)
		ask(t, c, hello, answers, received, 1)
		ask(t, c, pop, answers, received, 1)
		ask(t, c, get, answers, received, 1)
		calls := ended(t, f, 2)
		assert.Equal(t, []bool{true, false}, []bool{calls[0].Blocking, calls[1].Blocking})
		assert.EqualValues(t, 2, f.Relay.Unawaited())
	})
	t.Run("given up, and answered later", func(t *testing.T) {
		f, c, answers, received := open(t)
		_, err := io.WriteString(c, get)
		require.NoError(t, err)
		relaytest.WaitUntil(t, "the server has it", func() bool { return received.Load() == int64(len(get)) })
		require.NoError(t, c.Close())
		f.WaitClosed(t, message.ToServer)
		answers <- "+OK\r\n"
		assert.True(t, ended(t, f, 1)[0].GaveUp)
	})
}

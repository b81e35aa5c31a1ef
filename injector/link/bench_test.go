package link

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// comparePaths runs a benchmark directly, through a proxy that only copies, and through a link.
func comparePaths(b *testing.B, upstream string, run func(b *testing.B, addr string)) {
	b.Run("direct", func(b *testing.B) { run(b, upstream) })
	b.Run("io.Copy", func(b *testing.B) { run(b, copyProxy(b, upstream)) })
	b.Run("link", func(b *testing.B) { run(b, open(b, upstream).Addr()) })
	b.Run("link, delayed and healed", func(b *testing.B) {
		l := open(b, upstream)
		heal, err := l.Delay(Delay{On: On{ID: "f1"}, By: time.Millisecond})
		require.NoError(b, err)
		require.NoError(b, heal(b.Context()))
		run(b, l.Addr())
	})
}

func copyProxy(b *testing.B, upstream string) string {
	return serve(b, func(c *net.TCPConn) {
		up, err := net.Dial("tcp", upstream)
		if err != nil {
			return
		}
		defer up.Close()
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = io.Copy(up, c); _ = up.(*net.TCPConn).CloseWrite() })
		_, _ = io.Copy(c, up)
		_ = c.CloseWrite()
		wg.Wait()
	})
}

func BenchmarkBulk(b *testing.B) {
	const size = 1 << 20
	upstream := serve(b, func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, onlyReader{c}) })
	comparePaths(b, upstream, func(b *testing.B, addr string) {
		c, err := net.Dial("tcp", addr)
		require.NoError(b, err)
		defer c.Close()
		block := make([]byte, size)
		b.SetBytes(size)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Write(block); err != nil {
				b.Fatal(err)
			}
		}
		_ = c.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, c) // wait until everything has arrived
	})
}

// onlyReader hides the methods that would let io.Copy use splice.
type onlyReader struct{ io.Reader }

func BenchmarkPingPong(b *testing.B) {
	comparePaths(b, serve(b, echo), func(b *testing.B, addr string) {
		c, err := net.Dial("tcp", addr)
		require.NoError(b, err)
		defer c.Close()
		ball := make([]byte, 64)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Write(ball); err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadFull(c, ball); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkChurn(b *testing.B) {
	comparePaths(b, serve(b, echo), func(b *testing.B, addr string) {
		ball := make([]byte, 64)
		b.ReportAllocs()
		for b.Loop() {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := c.Write(ball); err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadFull(c, ball); err != nil {
				b.Fatal(err)
			}
			c.Close()
		}
	})
}

package link

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A client that a fault resets never sees an orderly end instead, although the server still sends: the copying
// goroutine then finds the stream ended before the sending one has reset the client.
func TestResetIsNoOrderlyEndWhileTheServerSends(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for block := make([]byte, 16<<10); ; {
					if _, err := c.Write(block); err != nil {
						return
					}
				}
			}()
		}
	}()
	l, err := Open(Config{Name: "a -> b", Upstream: ln.Addr().String()})
	require.NoError(t, err)
	defer l.Close()
	heal, err := l.Reset(Reset{On: On{ID: "f"}, AfterBytes: 100_000})
	require.NoError(t, err)
	defer func() { require.NoError(t, heal(t.Context())) }()
	var clients sync.WaitGroup
	for range 16 {
		clients.Go(func() {
			for range repeats(80) {
				c, err := net.Dial("tcp", l.Addr())
				if errors.Is(err, syscall.ECONNRESET) { // before the dial returned
					continue
				}
				if !assert.NoError(t, err) {
					return
				}
				_, err = io.Copy(io.Discard, c)
				assert.ErrorIs(t, err, syscall.ECONNRESET)
				_ = c.Close()
			}
		})
	}
	clients.Wait()
}

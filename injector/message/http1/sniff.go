package http1

import (
	"context"

	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/message/http2"
)

// serveGRPC relays a connection of gRPC, which uses HTTP/2.
func serveGRPC(ctx context.Context, r *message.Relay, client message.Client, dial message.Dial) {
	serveCalls(ctx, r, client, dial, true)
}

// sniff reports whether the client sends the HTTP/2 preface.
func (c *connection) sniff() bool {
	n := 0
	for n < len(http2.Preface) {
		p, err := c.ClientIn.Peek(n + 1)
		if err != nil || p[n] != http2.Preface[n] {
			break
		}
		n++
	}
	c.Lock()
	defer c.Unlock()
	c.sniffed = true
	switch {
	case n == len(http2.Preface) && c.mux == nil:
		c.mux = http2.New(&c.Conn, c.grpc)
	case n < len(http2.Preface) && c.mux != nil:
		c.mux.DisableRules()
	}
	return n == len(http2.Preface)
}

// muxed returns the HTTP/2 relay if the connection is HTTP/2: the client sent the preface, or the server sent
// SETTINGS first.
func (c *connection) muxed() *http2.Conn {
	for n := 1; n <= http2.HeadLen; n++ {
		p, err := c.ServerIn.Peek(n)
		c.Lock()
		if n == http2.HeadLen && err == nil && !c.sniffed && http2.BeginsSettings(p) {
			c.mux = http2.New(&c.Conn, c.grpc)
		}
		mux, sniffed := c.mux, c.sniffed
		c.Unlock()
		if sniffed || mux != nil || err != nil || !http2.BeginsSettings(p) {
			return mux
		}
	}
	return nil
}

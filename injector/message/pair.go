package message

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// pair is a client connection and its upstream connection, with the state of both. The HTTP engine and the
// engine for framed protocols build on it.
type pair struct {
	relay  *Relay
	client Client
	up     net.Conn
	ctx    context.Context
	cancel context.CancelFunc // also closes up
	wg     sync.WaitGroup
	engine engine

	cw *bufio.Writer // to the client; owned by the goroutine that set writing
	uw *bufio.Writer // to the server

	mu             sync.Mutex
	changed        *sync.Cond // signals changes of the fields below
	writing        bool       // a goroutine owns cw; others leave their answers in the queue
	seq            uint64     // of the latest message
	clientClosedAt time.Time  // when the client sent FIN or RST
	sentAfterClose bool       // a message was sent to the server after clientClosedAt
	passthrough    bool       // both directions are relayed as plain bytes from now on
	blackholed     bool       // by a rule: no more data in either direction
	endedByRule    bool       // a rule ended the client's connection
	upstreamFailed bool       // a write to the server failed
	upstreamDone   bool       // the server's output has ended
}

// engine is the protocol-specific part of a connection.
type engine interface {
	serveClient()       // reads input from the client until it ends
	readAnswers() error // reads input from the server until it ends
	// outlivesClient reports whether an answer must be read to its end even if the client has disconnected. mu
	// is held.
	outlivesClient() bool
	reportUnanswered() // reports the calls that will not be answered
}

// connect dials the server. If that fails, it resets the client's connection and returns false.
func (c *pair) connect(ctx context.Context, r *Relay, client Client, dial Dial) bool {
	up, err := dial(ctx)
	if err != nil {
		_ = client.Reset()
		return false
	}
	c.relay, c.client, c.up = r, client, up
	c.cw, c.uw = bufio.NewWriterSize(client, 16<<10), bufio.NewWriterSize(up, 16<<10)
	c.changed = sync.NewCond(&c.mu)
	return true
}

// run relays the connection until both sides have ended, or ctx is done.
func (c *pair) run(ctx context.Context, e engine) {
	c.engine = e
	defer context.AfterFunc(ctx, func() { _ = c.client.Reset() })()
	c.ctx, c.cancel = context.WithCancel(ctx)
	defer c.finish()
	defer context.AfterFunc(c.ctx, func() {
		_ = c.upstream().Close()
		c.mu.Lock()
		c.changed.Broadcast()
		c.mu.Unlock()
	})()
	c.wg.Go(c.serveUpstream)
	e.serveClient()
	c.wg.Wait()
}

// finish closes the upstream connection and reports the unanswered calls.
func (c *pair) finish() {
	c.cancel()
	_ = c.up.Close()
	c.engine.reportUnanswered()
}

// serveUpstream relays the server's output until it ends, and ends the client's connection accordingly.
func (c *pair) serveUpstream() {
	err := c.engine.readAnswers()
	c.mu.Lock()
	ended, failed := c.endedByRule || c.blackholed, c.upstreamFailed
	c.upstreamDone = true
	c.changed.Broadcast()
	c.mu.Unlock()
	if ended {
		return
	}
	c.engine.reportUnanswered()
	var sink sinkError
	if !errors.As(err, &sink) && graceful(err) && !failed {
		_ = c.client.CloseWrite()
		return
	}
	if errors.As(err, &sink) { // the client has disconnected
		c.markClientClosed()
		c.abort()
	}
	_ = c.client.Reset()
	c.cancel()
}

// markUpstreamFailed records that the server can no longer be written to. serveUpstream ends the client's
// connection once it has forwarded the remaining output.
func (c *pair) markUpstreamFailed() {
	c.mu.Lock()
	c.upstreamFailed = true
	c.changed.Broadcast()
	reset := c.upstreamDone && !c.endedByRule && !c.blackholed
	c.mu.Unlock()
	if reset {
		_ = c.client.Reset()
	}
}

// clientClosed records that the client closed its connection. It closes the upstream connection accordingly once
// no answer must be read to its end.
func (c *pair) clientClosed(err error) {
	c.markClientClosed()
	c.mu.Lock()
	for !c.endedByRule && !c.blackholed && !c.upstreamDone && c.ctx.Err() == nil && c.engine.outlivesClient() {
		c.changed.Wait()
	}
	ended, sent := c.endedByRule || c.blackholed, c.sentAfterClose
	c.mu.Unlock()
	if !ended && (graceful(err) || sent) { // a reset could discard bytes that the server has not read yet
		if half, ok := c.upstream().(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
			return
		}
	}
	if !ended {
		c.abort()
	}
	c.cancel()
}

func graceful(err error) bool {
	return err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// markClientClosed records when the client closed its connection, unless a rule ended it.
func (c *pair) markClientClosed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.clientClosedAt.IsZero() && !c.endedByRule {
		c.clientClosedAt = time.Now()
		c.changed.Broadcast()
	}
}

// upstream returns the current connection to the server, which may have been redialed.
func (c *pair) upstream() net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.up
}

// abort makes closing the upstream connection send a reset.
func (c *pair) abort() {
	if up, ok := c.upstream().(interface{ SetLinger(int) error }); ok {
		_ = up.SetLinger(0)
	}
}

// isPassthrough reports whether both directions are relayed as plain bytes.
func (c *pair) isPassthrough() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.passthrough
}

// inputDiscarded reports whether further input from the client is discarded.
func (c *pair) inputDiscarded() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.endedByRule || c.blackholed || c.upstreamFailed
}

// Outlived implements Sender.
func (c *pair) Outlived() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sentAfterClose = c.sentAfterClose || !c.clientClosedAt.IsZero()
}

func (c *pair) Context() context.Context { return c.ctx }

// write writes to the client. The caller owns cw.
func (c *pair) write(p []byte) error {
	if _, err := c.cw.Write(p); err != nil {
		return sinkError{err}
	}
	return nil
}

// writeMessage writes a message, or the beginning of one, to the client and counts it.
func (c *pair) writeMessage(p []byte) error {
	err := c.write(p)
	if err == nil {
		c.relay.Wrote(ToClient)
	}
	return err
}

// endWrite gives up ownership of cw.
func (c *pair) endWrite() {
	c.mu.Lock()
	c.writing = false
	c.changed.Broadcast()
	c.mu.Unlock()
}

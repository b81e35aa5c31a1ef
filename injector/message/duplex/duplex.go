// Package duplex relays one client connection and its connection to the server, for transports of package message.
// A transport embeds Conn, or Pipeline if its answers come in the order of the requests, and implements Handler.
package duplex

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/firedrill-dev/firedrill/injector/message"
)

// Conn is a client connection and its upstream connection, with the state of both. Its lock also guards the state
// that a transport keeps of the connection.
type Conn struct {
	Relay  *message.Relay
	Client message.Client

	ClientIn *bufio.Reader // from the client
	ServerIn *bufio.Reader // from the server

	dial    message.Dial
	ctx     context.Context
	cancel  context.CancelFunc // also closes up
	wg      sync.WaitGroup
	handler Handler
	seq     atomic.Uint64 // of the latest message

	mu      sync.Mutex
	changed *sync.Cond // signals changes of the state

	// The fields below are written while mu is held, and read with or without it.
	up             atomic.Pointer[net.Conn]
	clientClosedAt atomic.Pointer[time.Time] // when the client sent FIN or RST
	sentAfterClose atomic.Bool               // a message was sent to the server after clientClosedAt
	passthrough    atomic.Bool
	ending         atomic.Value // the message.Ending with which a rule ended the client's connection
	upstreamFailed atomic.Bool  // a write to the server failed
	upstreamDone   atomic.Bool  // the server's output has ended
}

// Handler is the protocol-specific part of a connection.
type Handler interface {
	ServeClient()       // reads input from the client until it ends
	ReadAnswers() error // reads input from the server until it ends
	// OutlivesClient reports whether an answer must be read to its end even if the client has disconnected. The
	// lock is held.
	OutlivesClient() bool
	ReportUnanswered() // reports the calls that will not be answered
}

// Connect dials the server. If that fails, it resets the client's connection and returns false.
func (c *Conn) Connect(ctx context.Context, r *message.Relay, client message.Client, dial message.Dial) bool {
	up, err := dial(ctx)
	if err != nil {
		_ = client.Reset()
		return false
	}
	c.Relay, c.Client, c.dial = r, client, dial
	c.up.Store(&up)
	c.ctx, c.cancel = context.WithCancel(ctx)
	c.ClientIn, c.ServerIn = bufio.NewReaderSize(client, 16<<10), bufio.NewReaderSize(up, 16<<10)
	c.changed = sync.NewCond(&c.mu)
	return true
}

// Run relays the connection until both sides have ended, or ctx is done. ctx is the one that Connect got.
func (c *Conn) Run(ctx context.Context, e Handler) {
	c.handler = e
	defer context.AfterFunc(ctx, func() { _ = c.Client.Reset() })()
	defer c.finish()
	defer context.AfterFunc(c.ctx, func() {
		_ = c.Upstream().Close()
		c.Lock()
		c.Broadcast()
		c.Unlock()
	})()
	c.Go(c.serveUpstream)
	e.ServeClient()
	c.wg.Wait()
}

// finish closes the upstream connection and reports the unanswered calls.
func (c *Conn) finish() {
	c.cancel()
	_ = c.Upstream().Close()
	c.handler.ReportUnanswered()
}

// serveUpstream relays the server's output until it ends, and ends the client's connection accordingly.
func (c *Conn) serveUpstream() {
	err := c.handler.ReadAnswers()
	c.Lock()
	ended, failed := c.EndedByRule(), c.upstreamFailed.Load()
	c.upstreamDone.Store(true)
	c.Relay.SenderClosed(message.ToClient)
	c.Broadcast()
	c.Unlock()
	if ended {
		return
	}
	c.handler.ReportUnanswered()
	if !IsWriteError(err) && Graceful(err) && !failed {
		_ = c.Client.CloseWrite()
		return
	}
	if IsWriteError(err) { // the client has disconnected
		c.MarkClientClosed()
		c.abort()
	}
	_ = c.Client.Reset()
	c.cancel()
}

// Lock locks the state of the connection.
func (c *Conn) Lock() { c.mu.Lock() }

// Unlock unlocks the state of the connection.
func (c *Conn) Unlock() { c.mu.Unlock() }

// Wait waits for a call of Broadcast. The lock is held.
func (c *Conn) Wait() { c.changed.Wait() }

// Broadcast wakes the goroutines that wait for a change of the state. The lock is held.
func (c *Conn) Broadcast() { c.changed.Broadcast() }

// Go starts a goroutine that the connection waits for before it ends.
func (c *Conn) Go(f func()) { c.wg.Go(f) }

// Context returns a context that ends with the connection.
func (c *Conn) Context() context.Context { return c.ctx }

// NextSeq returns the number of the next message.
func (c *Conn) NextSeq() uint64 { return c.seq.Add(1) }

// Upstream returns the current connection to the server, which may have been redialed.
func (c *Conn) Upstream() net.Conn { return *c.up.Load() }

// Redial opens a connection to the server that is to replace the current one; see SwapUpstream.
func (c *Conn) Redial() (net.Conn, error) { return c.dial(c.ctx) }

// SwapUpstream replaces the connection to the server and returns the old one, which the caller closes. The lock is
// held.
func (c *Conn) SwapUpstream(up net.Conn) (old net.Conn) {
	old = c.Upstream()
	c.up.Store(&up)
	c.Broadcast()
	return old
}

// DialCopy opens a connection to the server for a copy of a message. It may outlive c, by message.CopyTimeout.
func (c *Conn) DialCopy() (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), message.CopyTimeout)
	defer cancel()
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(message.CopyTimeout))
	return conn, nil
}

// Intercept processes a message that rules act on, and watches the client meanwhile. peek waits for further input,
// which stays in the buffer.
func (c *Conn) Intercept(peek, process func() error) error {
	c.Relay.Begin()
	processed := make(chan error, 1)
	c.Go(func() {
		defer c.Relay.End()
		processed <- process()
	})
	err := peek()
	if err != nil && !IsWriteError(err) {
		c.MarkClientClosed()
	}
	return cmp.Or(<-processed, err)
}

// MarkUpstreamFailed records that the server can no longer be written to. serveUpstream ends the client's
// connection once it has forwarded the remaining output.
func (c *Conn) MarkUpstreamFailed() {
	c.Lock()
	c.upstreamFailed.Store(true)
	c.Broadcast()
	reset := c.upstreamDone.Load() && !c.EndedByRule()
	c.Unlock()
	if reset {
		_ = c.Client.Reset()
	}
}

// ClientClosed records that the client closed its connection. It closes the upstream connection accordingly once
// no answer must be read to its end.
func (c *Conn) ClientClosed(err error) {
	c.MarkClientClosed()
	c.Lock()
	for !c.EndedByRule() && !c.upstreamDone.Load() && c.ctx.Err() == nil && c.handler.OutlivesClient() {
		c.Wait()
	}
	ended, sent := c.EndedByRule(), c.SentAfterClose()
	c.Unlock()
	if !ended && (Graceful(err) || sent) { // a reset could discard bytes that the server has not read yet
		if half, ok := c.Upstream().(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
			return
		}
	}
	if !ended {
		c.abort()
	}
	c.cancel()
}

// Graceful reports whether a side ended with FIN and not with a reset.
func Graceful(err error) bool {
	return err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// MarkClientClosed records when the client closed its connection, unless a rule ended it.
func (c *Conn) MarkClientClosed() {
	c.Lock()
	defer c.Unlock()
	if ending := c.ending.Load(); c.ClientClosedAt().IsZero() && (ending == nil || ending == message.EndSilence) {
		now := time.Now()
		c.clientClosedAt.Store(&now)
		c.Relay.SenderClosed(message.ToServer)
		c.Broadcast()
	}
}

// ClientClosedAt returns when the client closed its connection, or the zero time.
func (c *Conn) ClientClosedAt() time.Time {
	if at := c.clientClosedAt.Load(); at != nil {
		return *at
	}
	return time.Time{}
}

// EndClient ends the client's connection as a rule asks. After silence, both sockets stay open until the client
// closes. After a FIN, the client's socket stays open until the client closes, because closing a socket with unread
// input would send a reset.
func (c *Conn) EndClient(ending message.Ending) {
	c.Lock()
	c.markEnded(ending)
	c.Unlock()
	c.closeClient(ending)
}

// markEnded records how a rule ends the client's connection. The lock is held.
func (c *Conn) markEnded(ending message.Ending) {
	c.ending.Store(ending)
	c.Broadcast()
}

// closeClient closes the client's connection after markEnded.
func (c *Conn) closeClient(ending message.Ending) {
	switch ending {
	case message.EndSilence:
		return
	case message.EndClosed:
		_ = c.Client.CloseWrite()
	default:
		_ = c.Client.ResetAfterWrites()
	}
	c.cancel()
}

// DiscardInput reads and discards the client's input until it ends.
func (c *Conn) DiscardInput() {
	_, err := io.Copy(io.Discard, c.ClientIn)
	c.ClientClosed(err)
}

// abort makes closing the upstream connection send a reset.
func (c *Conn) abort() {
	if up, ok := c.Upstream().(interface{ SetLinger(int) error }); ok {
		_ = up.SetLinger(0)
	}
}

// EnterPassthrough makes both directions be relayed as plain bytes from now on. It reports whether they were
// parsed until now.
func (c *Conn) EnterPassthrough() (first bool) {
	c.Lock()
	defer c.Unlock()
	c.Broadcast()
	return !c.passthrough.Swap(true)
}

// IsPassthrough reports whether both directions are relayed as plain bytes.
func (c *Conn) IsPassthrough() bool { return c.passthrough.Load() }

// EndedByRule reports whether a rule ended the client's connection, so that no more data is sent to it.
func (c *Conn) EndedByRule() bool { return c.ending.Load() != nil }

// InputDiscarded reports whether further input from the client is discarded.
func (c *Conn) InputDiscarded() bool { return c.EndedByRule() || c.upstreamFailed.Load() }

// UpstreamDone reports whether the server's output has ended.
func (c *Conn) UpstreamDone() bool { return c.upstreamDone.Load() }

// Outlived implements message.Sender.
func (c *Conn) Outlived() {
	c.Lock()
	defer c.Unlock()
	if !c.ClientClosedAt().IsZero() {
		c.sentAfterClose.Store(true)
	}
}

// SentAfterClose reports whether a message was sent to the server after the client had closed its connection.
func (c *Conn) SentAfterClose() bool { return c.sentAfterClose.Load() }

// Package duplex relays one client connection and its connection to the server, for transports of package message.
// A transport embeds Conn and implements Handler.
package duplex

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/firedrill-dev/firedrill/injector/message"
)

// Conn is a client connection and its upstream connection, with the state of both. The HTTP engine and the
// engine for framed protocols build on it.
type Conn struct {
	Relay   *message.Relay
	Client  message.Client
	Dial    message.Dial
	Up      net.Conn
	Ctx     context.Context
	Cancel  context.CancelFunc // also closes up
	WG      sync.WaitGroup
	handler Handler

	ClientIn  *bufio.Reader // from the client
	ServerIn  *bufio.Reader // from the server
	ClientOut *bufio.Writer // to the client; owned by the goroutine that set writing
	ServerOut *bufio.Writer // to the server

	Mu             sync.Mutex
	Changed        *sync.Cond // signals changes of the fields below
	Writing        bool       // a goroutine owns ClientOut; others leave their answers in the queue
	Seq            uint64     // of the latest message
	ClientClosedAt time.Time  // when the client sent FIN or RST
	SentAfterClose bool       // a message was sent to the server after ClientClosedAt
	Passthrough    bool       // both directions are relayed as plain bytes from now on
	Blackholed     bool       // by a rule: no more data in either direction
	EndedByRule    bool       // a rule ended the client's connection
	UpstreamFailed bool       // a write to the server failed
	upstreamDone   bool       // the server's output has ended
}

// Handler is the protocol-specific part of a connection.
type Handler interface {
	ServeClient()       // reads input from the client until it ends
	ReadAnswers() error // reads input from the server until it ends
	// OutlivesClient reports whether an answer must be read to its end even if the client has disconnected. mu
	// is held.
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
	c.Relay, c.Client, c.Dial, c.Up = r, client, dial, up
	c.ClientIn, c.ServerIn = bufio.NewReaderSize(client, 16<<10), bufio.NewReaderSize(up, 16<<10)
	c.ClientOut, c.ServerOut = bufio.NewWriterSize(client, 16<<10), bufio.NewWriterSize(up, 16<<10)
	c.Changed = sync.NewCond(&c.Mu)
	return true
}

// Run relays the connection until both sides have ended, or ctx is done.
func (c *Conn) Run(ctx context.Context, e Handler) {
	c.handler = e
	defer context.AfterFunc(ctx, func() { _ = c.Client.Reset() })()
	c.Ctx, c.Cancel = context.WithCancel(ctx)
	defer c.finish()
	defer context.AfterFunc(c.Ctx, func() {
		_ = c.Upstream().Close()
		c.Mu.Lock()
		c.Changed.Broadcast()
		c.Mu.Unlock()
	})()
	c.WG.Go(c.serveUpstream)
	e.ServeClient()
	c.WG.Wait()
}

// finish closes the upstream connection and reports the unanswered calls.
func (c *Conn) finish() {
	c.Cancel()
	_ = c.Up.Close()
	c.handler.ReportUnanswered()
}

// serveUpstream relays the server's output until it ends, and ends the client's connection accordingly.
func (c *Conn) serveUpstream() {
	err := c.handler.ReadAnswers()
	c.Mu.Lock()
	ended, failed := c.EndedByRule || c.Blackholed, c.UpstreamFailed
	c.upstreamDone = true
	c.Changed.Broadcast()
	c.Mu.Unlock()
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
	c.Cancel()
}

// MarkUpstreamFailed records that the server can no longer be written to. serveUpstream ends the client's
// connection once it has forwarded the remaining output.
func (c *Conn) MarkUpstreamFailed() {
	c.Mu.Lock()
	c.UpstreamFailed = true
	c.Changed.Broadcast()
	reset := c.upstreamDone && !c.EndedByRule && !c.Blackholed
	c.Mu.Unlock()
	if reset {
		_ = c.Client.Reset()
	}
}

// ClientClosed records that the client closed its connection. It closes the upstream connection accordingly once
// no answer must be read to its end.
func (c *Conn) ClientClosed(err error) {
	c.MarkClientClosed()
	c.Mu.Lock()
	for !c.EndedByRule && !c.Blackholed && !c.upstreamDone && c.Ctx.Err() == nil && c.handler.OutlivesClient() {
		c.Changed.Wait()
	}
	ended, sent := c.EndedByRule || c.Blackholed, c.SentAfterClose
	c.Mu.Unlock()
	if !ended && (Graceful(err) || sent) { // a reset could discard bytes that the server has not read yet
		if half, ok := c.Upstream().(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
			return
		}
	}
	if !ended {
		c.abort()
	}
	c.Cancel()
}

func Graceful(err error) bool {
	return err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// MarkClientClosed records when the client closed its connection, unless a rule ended it.
func (c *Conn) MarkClientClosed() {
	c.Mu.Lock()
	defer c.Mu.Unlock()
	if c.ClientClosedAt.IsZero() && !c.EndedByRule {
		c.ClientClosedAt = time.Now()
		c.Changed.Broadcast()
	}
}

// end ends the client's connection as a rule asks. After silence, both sockets stay open until the client
// closes. After a FIN, the client's socket stays open until the client closes, because closing a socket with
// unread input would send a reset.
func (c *Conn) EndClient(ending message.Ending) {
	c.Mu.Lock()
	c.EndedByRule = ending != message.EndSilence
	c.Blackholed = ending == message.EndSilence
	c.Changed.Broadcast()
	c.Mu.Unlock()
	switch ending {
	case message.EndSilence:
		return
	case message.EndClosed:
		_ = c.Client.CloseWrite()
	default:
		_ = c.Client.Reset()
	}
	c.Cancel()
}

// DiscardInput reads and discards the client's input until it ends.
func (c *Conn) DiscardInput() {
	_, err := io.Copy(io.Discard, c.ClientIn)
	c.ClientClosed(err)
}

// Upstream returns the current connection to the server, which may have been redialed.
func (c *Conn) Upstream() net.Conn {
	c.Mu.Lock()
	defer c.Mu.Unlock()
	return c.Up
}

// abort makes closing the upstream connection send a reset.
func (c *Conn) abort() {
	if up, ok := c.Upstream().(interface{ SetLinger(int) error }); ok {
		_ = up.SetLinger(0)
	}
}

// IsPassthrough reports whether both directions are relayed as plain bytes.
func (c *Conn) IsPassthrough() bool {
	c.Mu.Lock()
	defer c.Mu.Unlock()
	return c.Passthrough
}

// InputDiscarded reports whether further input from the client is discarded.
func (c *Conn) InputDiscarded() bool {
	c.Mu.Lock()
	defer c.Mu.Unlock()
	return c.EndedByRule || c.Blackholed || c.UpstreamFailed
}

// Outlived implements Sender.
func (c *Conn) Outlived() {
	c.Mu.Lock()
	defer c.Mu.Unlock()
	c.SentAfterClose = c.SentAfterClose || !c.ClientClosedAt.IsZero()
}

func (c *Conn) Context() context.Context { return c.Ctx }

// WriteToClient writes to the client. The caller owns ClientOut.
func (c *Conn) WriteToClient(p []byte) error {
	if _, err := c.ClientOut.Write(p); err != nil {
		return WriteFailed(err)
	}
	return nil
}

// WriteMessage writes a message, or the beginning of one, to the client and counts it.
func (c *Conn) WriteMessage(p []byte) error {
	err := c.WriteToClient(p)
	if err == nil {
		c.Relay.Wrote(message.ToClient)
	}
	return err
}

// EndWrite gives up ownership of ClientOut.
func (c *Conn) EndWrite() {
	c.Mu.Lock()
	c.Writing = false
	c.Changed.Broadcast()
	c.Mu.Unlock()
}

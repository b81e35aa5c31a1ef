// Package http2 relays HTTP/2 and gRPC for package message. What HTTP/1.1 and HTTP/2 have in common is here, too, such as
// Guidance, which finds the addresses that servers tell their clients.
package http2

import (
	"bufio"
	"errors"
	"io"
	"time"

	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/message/duplex"
)

// Conn is a connection of HTTP/2. One goroutine for each direction relays it frame by frame; DATA frames are
// streamed. Headers are decoded, but forwarded as they were received.
//
// If a rule holds back or drops a message, the receiver's header table gets out of sync with the sender's. From
// then on, the headers of that direction are encoded anew without the table. Stream IDs must increase, so
// streams that others have overtaken get new IDs on the server's side.
//
// A held stream does not block the others, neither at the server nor in flow control (see way).
type Conn struct {
	*duplex.Conn
	grpc               bool // only gRPC is expected
	toServer, toClient way

	streams       map[uint32]*stream // by the client's stream ID
	byServerID    map[uint32]*stream // by the server's stream ID, where it differs
	lastClientID  uint32             // the latest stream ID of the client
	nextServerID  uint32             // the lowest stream ID that the server accepts
	renumbered    bool               // a stream has a different ID at the server
	modified      bool               // a rule has changed the forwarded frames
	rulesDisabled bool               // a direction could not be parsed: no rule acts any more
	alone         bool               // the server closed while rules held streams, which get connections of their own
	intercepts    int                // number of running interceptions, at most one per stream and direction
	begun         []*stream          // whose answers of gRPC may be streams; see beginStreams
}

// stream is one exchange.
type stream struct {
	message.Exchange
	id, serverID uint32 // at the client and, once it was opened there, at the server
	up, down     lane
	intercepts   int  // number of running interceptions of the stream
	isCall       bool // not pushed by the server
	grpc         bool
	isHead       bool
	hasLength    bool        // its request has a content-length
	expects      bool        // 100-continue
	blackholed   bool        // the client gets no more data on it
	eventStream  bool        // its answer may not end
	messages     *grpcEvents // finds the first message of an answer of gRPC; nil once it was sent to the client
	secondAnswer bool        // its answer comes from another connection
	answer       answerState
	reported     bool // the call has been reported
	status       int
	code         string    // grpc-status
	copy         []frame   // the request, for a second delivery
	guidance     *Guidance // nil unless its answer tells the client where other servers are
}

// answerState is how far the final answer is.
type answerState uint8

const (
	answerAwaited answerState = iota
	answerBegun
	answerDelivered // the client has all of it
)

// QuietTime is how long a sender may pause before its message is taken for a stream that does not end.
var QuietTime = 20 * time.Millisecond

// maxBuffered is message.MaxBuffered. Tests lower it.
var maxBuffered = message.MaxBuffered

// New takes over a connection that has not been read from. The lock of c is held.
func New(c *duplex.Conn, grpc bool) *Conn {
	m := &Conn{Conn: c, grpc: grpc, streams: map[uint32]*stream{}, byServerID: map[uint32]*stream{}, nextServerID: 1}
	for _, w := range []*way{&m.toServer, &m.toClient} {
		w.c, w.window, w.initial = m, 65535, 65535 // RFC 9113, section 6.9.2
	}
	m.toServer.toServer = true
	m.toServer.out, m.toServer.reverse, m.toServer.reader = c.Upstream(), &m.toClient, newReader(c.ClientIn, m.toServer.beforeRead)
	m.toClient.out, m.toClient.reverse, m.toClient.reader = c.Client, &m.toServer, newReader(c.ServerIn, m.toClient.beforeRead)
	m.toClient.midFrame = true // the server's SETTINGS come first
	return m
}

// ServeClient relays input from the client.
func (c *Conn) ServeClient() {
	_, _ = c.ClientIn.Discard(len(Preface))
	c.Lock()
	c.toServer.add([]byte(Preface))
	c.Unlock()
	err := c.toServer.pump(c.ClientIn)
	if errors.Is(err, errInputDiscarded) {
		c.DiscardInput()
		return
	}
	c.inputEnded(err)
	if errors.Is(err, ErrNotHTTP2) {
		_ = c.Client.Reset()
	}
	if duplex.IsWriteError(err) {
		c.MarkUpstreamFailed()
		c.DiscardInput()
		return
	}
	c.ClientClosed(err)
}

// ReadAnswers relays input from the server until it ends and all interceptions of answers have finished.
func (c *Conn) ReadAnswers() error {
	err := c.toClient.pump(c.ServerIn)
	if duplex.IsWriteError(err) {
		return err
	}
	c.Lock()
	c.hideServerClose()
	closeHidden := c.toServer.outputClosed
	c.markSenderEnded(&c.toClient)
	for (c.answersIntercepted() || c.alonePending() || len(c.toClient.blocked) > 0) && !c.EndedByRule() && c.Context().Err() == nil && c.toClient.err == nil {
		c.Wait()
	}
	c.Unlock()
	if ferr := c.toClient.flush(); ferr != nil {
		return ferr
	}
	if closeHidden { // everything that the client waits for has been delivered
		return io.EOF
	}
	return err
}

// answersIntercepted reports whether a rule is processing an answer.
func (c *Conn) answersIntercepted() bool {
	for _, s := range c.streams {
		if s.intercepts > 0 && s.serverID != 0 {
			return true
		}
	}
	return false
}

// errInputDiscarded means that input from the client is discarded.
var errInputDiscarded = errors.New("the connection was ended by a rule")

// beforeRead is called before a read that may block.
func (w *way) beforeRead() error {
	err := w.flush()
	w.idle.Store(true)
	if !w.toServer {
		w.c.beginStreams()
	}
	return err
}

// pump relays frames until the sender ends.
func (w *way) pump(r *bufio.Reader) error {
	err := w.frames(r)
	if errors.Is(err, errInputDiscarded) {
		return err
	}
	if ferr := w.flush(); ferr != nil {
		return ferr
	}
	return err
}

func (w *way) frames(r *bufio.Reader) error {
	for first := true; ; first = false {
		f, length, err := w.reader.head()
		w.idle.Store(false)
		if w.toServer && w.c.InputDiscarded() {
			return errInputDiscarded
		}
		if err == nil && f.kind == frameData && !first {
			err = w.data(r, &f, length)
		} else if f, err = w.reader.read(); err == nil {
			if first && (f.kind != frameSettings || f.stream != 0 || f.flags&flagEnd != 0) {
				err = ErrNotHTTP2
			} else {
				err = w.handle(&f, first)
			}
		}
		switch {
		case errors.Is(err, ErrNotHTTP2):
			return w.passThrough(f.raw, r)
		case err != nil:
			w.passPartial(f.raw, r)
			return err
		}
		if err = w.flushIfLarge(); err != nil {
			return err
		}
	}
}

// flushIfLarge flushes the buffer if it is large.
func (w *way) flushIfLarge() error {
	w.c.Lock()
	n := len(w.buf)
	w.c.Unlock()
	if n < 2*maxFrame {
		return nil
	}
	return w.flush()
}

// passPartial forwards an incomplete frame.
func (w *way) passPartial(raw []byte, r *bufio.Reader) {
	part, _ := r.Peek(r.Buffered())
	w.c.Lock()
	defer w.c.Unlock()
	if !w.c.modified {
		w.buf = append(append(w.buf, raw...), part...)
	}
}

// passThrough forwards first and all further input unchanged, after input that cannot be parsed. If a rule has
// acted, the two ends would disagree about the state of the connection, so it is ended instead.
func (w *way) passThrough(first []byte, r *bufio.Reader) error {
	w.c.Relay.Unparsed(ErrNotHTTP2.Error())
	w.c.Lock()
	w.c.rulesDisabled = true
	acted := w.c.modified
	if !acted {
		w.buf = append(w.buf, first...)
	}
	w.c.Unlock()
	if acted {
		return ErrNotHTTP2
	}
	if err := w.flush(); err != nil {
		return err
	}
	to := bufio.NewWriterSize(w.out, maxFrame)
	if _, err := duplex.CopyAll(to, r); err != nil {
		return err
	}
	return io.EOF
}

package message

import (
	"bufio"
	"context"
	"errors"
	"io"
	"time"
)

// h2Conn is a connection of HTTP/2. One goroutine for each direction relays it frame by frame; DATA frames are
// streamed. Headers are decoded, but forwarded as they were received.
//
// If a rule holds back or drops a message, the receiver's header table gets out of sync with the sender's. From
// then on, the headers of that direction are encoded anew without the table. Stream IDs must increase, so
// streams that others have overtaken get new IDs on the server's side.
//
// A held stream does not block the others, neither at the server nor in flow control (see h2Way).
type h2Conn struct {
	*httpConn
	toServer, toClient h2Way

	streams       map[uint32]*h2Stream // by the client's stream ID
	byServerID    map[uint32]*h2Stream // by the server's stream ID, where it differs
	lastClientID  uint32               // the latest stream ID of the client
	nextServerID  uint32               // the lowest stream ID that the server accepts
	renumbered    bool                 // a stream has a different ID at the server
	modified      bool                 // a rule has changed the forwarded frames
	rulesDisabled bool                 // a direction could not be parsed: no rule acts any more
	alone         bool                 // the server closed while rules held streams, which get connections of their own
	intercepts    int                  // number of running interceptions, at most one per stream and direction
}

// h2Stream is one exchange.
type h2Stream struct {
	Exchange
	id, serverID uint32 // at the client and, once it was opened there, at the server
	up, down     h2Lane
	intercepts   int  // number of running interceptions of the stream
	isCall       bool // not pushed by the server
	grpc         bool
	isHead       bool
	hasLength    bool // its request has a content-length
	expects      bool // 100-continue
	blackholed   bool // the client gets no more data on it
	answerBegun  bool // a final answer has started
	eventStream  bool // its answer may not end
	secondAnswer bool // its answer comes from another connection
	delivered    bool // the client has the complete answer
	reported     bool // the call has been reported
	status       int
	code         string    // grpc-status
	copy         []h2Frame // the request, for a second delivery
}

// quietTime is how long a sender may pause before its message is taken for a stream that does not end.
var quietTime = 20 * time.Millisecond

func newH2(c *httpConn) *h2Conn {
	m := &h2Conn{httpConn: c, streams: map[uint32]*h2Stream{}, byServerID: map[uint32]*h2Stream{}, nextServerID: 1}
	for _, w := range []*h2Way{&m.toServer, &m.toClient} {
		w.c, w.window, w.initial = m, 65535, 65535 // RFC 9113, section 6.9.2
	}
	m.toServer.toServer = true
	m.toServer.out, m.toServer.reverse, m.toServer.reader = c.up, &m.toClient, newH2Reader(c.cr, m.toServer.beforeRead)
	m.toClient.out, m.toClient.reverse, m.toClient.reader = c.client, &m.toServer, newH2Reader(c.ur, m.toClient.beforeRead)
	m.toClient.midFrame = true // the server's SETTINGS come first
	return m
}

// serveGRPC relays a connection of gRPC, which uses HTTP/2.
func serveGRPC(r *Relay, ctx context.Context, client Client, dial Dial) { //nolint:revive // the relay is the receiver in all but name
	serveCalls(r, ctx, client, dial, true)
}

// sniff reports whether the client sends the HTTP/2 preface.
func (c *httpConn) sniff() bool {
	n := 0
	for n < len(preface) {
		p, err := c.cr.Peek(n + 1)
		if err != nil || p[n] != preface[n] {
			break
		}
		n++
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sniffed = true
	switch {
	case n == len(preface) && c.mux == nil:
		c.mux = newH2(c)
	case n < len(preface) && c.mux != nil:
		c.mux.rulesDisabled = true
	}
	return n == len(preface)
}

// muxed returns the HTTP/2 relay if the connection is HTTP/2: the client sent the preface, or the server sent
// SETTINGS first.
func (c *httpConn) muxed() *h2Conn {
	for n := 1; n <= h2HeadLen; n++ {
		p, err := c.ur.Peek(n)
		c.mu.Lock()
		if n == h2HeadLen && err == nil && !c.sniffed && beginsSettings(p) {
			c.mux = newH2(c)
		}
		mux, sniffed := c.mux, c.sniffed
		c.mu.Unlock()
		if sniffed || mux != nil || err != nil || !beginsSettings(p) {
			return mux
		}
	}
	return nil
}

// serveClient relays input from the client.
func (c *h2Conn) serveClient() {
	_, _ = c.cr.Discard(len(preface))
	c.mu.Lock()
	c.toServer.add([]byte(preface))
	c.mu.Unlock()
	err := c.toServer.pump(c.cr)
	if errors.Is(err, errInputDiscarded) {
		c.discardInput()
		return
	}
	c.inputEnded(err)
	if errors.Is(err, errNotH2) {
		_ = c.client.Reset()
	}
	c.stop(err)
}

// relayAnswers relays input from the server until it ends and all interceptions of answers have finished.
func (c *h2Conn) relayAnswers() error {
	err := c.toClient.pump(c.ur)
	if isSinkError(err) {
		return err
	}
	c.mu.Lock()
	c.hideServerClose()
	closeHidden := c.toServer.outputClosed
	c.markSenderEnded(&c.toClient)
	for (c.answersIntercepted() || c.alonePending() || len(c.toClient.blocked) > 0) && !c.endedByRule && c.ctx.Err() == nil && c.toClient.err == nil {
		c.changed.Wait()
	}
	c.mu.Unlock()
	if ferr := c.toClient.flush(); ferr != nil {
		return ferr
	}
	if closeHidden { // everything that the client waits for has been delivered
		return io.EOF
	}
	return err
}

// answersIntercepted reports whether a rule is processing an answer.
func (c *h2Conn) answersIntercepted() bool {
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
func (w *h2Way) beforeRead() error {
	err := w.flush()
	w.idle.Store(true)
	return err
}

// pump relays frames until the sender ends.
func (w *h2Way) pump(r *bufio.Reader) error {
	err := w.frames(r)
	if errors.Is(err, errInputDiscarded) {
		return err
	}
	if ferr := w.flush(); ferr != nil {
		return ferr
	}
	return err
}

func (w *h2Way) frames(r *bufio.Reader) error {
	for first := true; ; first = false {
		f, length, err := w.reader.head()
		w.idle.Store(false)
		if w.toServer && w.c.inputDiscarded() {
			return errInputDiscarded
		}
		if err == nil && f.kind == h2Data && !first {
			err = w.data(r, &f, length)
		} else if f, err = w.reader.read(); err == nil {
			if first && (f.kind != h2Settings || f.stream != 0 || f.flags&flagEnd != 0) {
				err = errNotH2
			} else {
				err = w.handle(&f, first)
			}
		}
		switch {
		case errors.Is(err, errNotH2):
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
func (w *h2Way) flushIfLarge() error {
	w.c.mu.Lock()
	n := len(w.buf)
	w.c.mu.Unlock()
	if n < 2*h2MaxFrame {
		return nil
	}
	return w.flush()
}

// passPartial forwards an incomplete frame.
func (w *h2Way) passPartial(raw []byte, r *bufio.Reader) {
	part, _ := r.Peek(r.Buffered())
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	if !w.c.modified {
		w.buf = append(append(w.buf, raw...), part...)
	}
}

// passThrough forwards first and all further input unchanged, after input that cannot be parsed. If a rule has
// acted, the two ends would disagree about the state of the connection, so it is ended instead.
func (w *h2Way) passThrough(first []byte, r *bufio.Reader) error {
	w.c.relay.cfg.Calls(Call{Start: time.Now(), End: time.Now(), Skipped: errNotH2.Error()})
	w.c.mu.Lock()
	w.c.rulesDisabled = true
	acted := w.c.modified
	if !acted {
		w.buf = append(w.buf, first...)
	}
	w.c.mu.Unlock()
	if acted {
		return errNotH2
	}
	if err := w.flush(); err != nil {
		return err
	}
	to := bufio.NewWriterSize(w.out, h2MaxFrame)
	if _, err := copyAll(to, r); err != nil {
		return err
	}
	return io.EOF
}

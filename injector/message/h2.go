package message

import (
	"bufio"
	"context"
	"errors"
	"io"
	"time"
)

// h2Conn is a connection that turned out to be HTTP/2. It is relayed frame by frame, one goroutine a direction, as httpConn is message by message:
// DATA passes as it comes, everything else frame by frame. Headers are decoded to know what is asked, and go on as they came.
//
// A rule that keeps a request back, or drops it, gets the receiver's table of headers out of step with the sender's; from then on that direction's
// headers are encoded anew, without the table. Streams reach the server under rising numbers, so that those that were overtaken get new ones there.
//
// A stream waits alone: the others go on, at the server and in their windows (see h2Way).
type h2Conn struct {
	*httpConn
	toServer, toClient h2Way

	streams map[uint32]*h2Stream // by the client's number
	moved   map[uint32]*h2Stream // by the server's, where that is another
	newest  uint32               // the client's latest
	next    uint32               // the lowest that the server takes
	shifted bool                 // a stream has another number at the server
	acted   bool                 // a rule has changed what passes
	plain   bool                 // a direction could not be followed: no rule acts any more
	hands   int                  // streams that are in a rule's hands, once for each direction
}

// h2Stream is one exchange.
type h2Stream struct {
	exchange
	id, sid  uint32 // of the client and, once it was opened there, of the server
	up, down h2Lane
	hands    int  // rules that have it in hand: one for each direction at most
	call     bool // and not the server's push
	grpc     bool
	asksHead bool
	sized    bool // its request says how long it is
	expects  bool // the server's consent
	silent   bool // the client hears nothing more of it
	answered bool // a final answer has begun
	second   bool // and is that of the copy
	given    bool // the client has all of its answer
	told     bool // as a call
	status   int
	code     string    // grpc-status
	copy     []h2Frame // the request, for a second delivery
}

// gather is how long a sender may say nothing before its message is taken for a stream that does not end.
var gather = 20 * time.Millisecond

func newH2(c *httpConn) *h2Conn {
	m := &h2Conn{httpConn: c, streams: map[uint32]*h2Stream{}, moved: map[uint32]*h2Stream{}, next: 1}
	for _, w := range []*h2Way{&m.toServer, &m.toClient} {
		w.c, w.window, w.initial = m, 65535, 65535 // RFC 9113, section 6.9.2
	}
	m.toServer.toServer = true
	m.toServer.to, m.toServer.back, m.toServer.reader = c.up, &m.toClient, newH2Reader(c.cr, m.toServer.pause)
	m.toClient.to, m.toClient.back, m.toClient.reader = c.client, &m.toServer, newH2Reader(c.ur, m.toClient.pause)
	m.toClient.passing = true // the server's SETTINGS come first
	return m
}

// serveGRPC carries a connection of gRPC, which is HTTP/2.
func serveGRPC(r *Relay, ctx context.Context, client Client, dial Dial) { //nolint:revive // the relay is the receiver in all but name
	serveCalls(r, ctx, client, dial, true)
}

// sniff tells whether the client says the preface of HTTP/2.
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
		c.mux.plain = true
	}
	return n == len(preface)
}

// muxed is the relay of HTTP/2 where the connection is that: since the client says so, or since the server spoke first and says its SETTINGS.
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

// requests carries what the client says.
func (c *h2Conn) requests() {
	_, _ = c.cr.Discard(len(preface))
	c.mu.Lock()
	c.toServer.add([]byte(preface))
	c.mu.Unlock()
	err := c.toServer.pump(c.cr)
	if errors.Is(err, errDeaf) {
		c.drain()
		return
	}
	c.left(err)
	if errors.Is(err, errNotH2) {
		_ = c.client.Reset()
	}
	c.stop(err)
}

// answers carries what the server says, to its end and that of what a rule still has in hand.
func (c *h2Conn) answers() error {
	err := c.toClient.pump(c.ur)
	if sunk(err) {
		return err
	}
	c.mu.Lock()
	c.cutOff(&c.toClient)
	for (c.answering() || len(c.toClient.waiting) > 0) && !c.ended && c.ctx.Err() == nil && c.toClient.err == nil {
		c.changed.Wait()
	}
	c.mu.Unlock()
	if ferr := c.toClient.flush(); ferr != nil {
		return ferr
	}
	return err
}

// answering tells whether a rule has an answer in hand.
func (c *h2Conn) answering() bool {
	for _, s := range c.streams {
		if s.hands > 0 && s.sid != 0 {
			return true
		}
	}
	return false
}

// errDeaf tells that nothing the client says goes anywhere.
var errDeaf = errors.New("the connection was ended by a rule")

// pause is called before a read that may block.
func (w *h2Way) pause() error {
	err := w.flush()
	w.idle.Store(true)
	return err
}

// pump carries frames until the sender ends.
func (w *h2Way) pump(r *bufio.Reader) error {
	err := w.frames(r)
	if errors.Is(err, errDeaf) {
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
		if w.toServer && w.c.deaf() {
			return errDeaf
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
			return w.unfollowed(f.raw, r)
		case err != nil:
			w.rest(f.raw, r)
			return err
		}
		if err = w.full(); err != nil {
			return err
		}
	}
}

// full flushes what is too much to be kept back.
func (w *h2Way) full() error {
	w.c.mu.Lock()
	n := len(w.buf)
	w.c.mu.Unlock()
	if n < 2*h2Piece {
		return nil
	}
	return w.flush()
}

// rest says what came of a frame that its sender did not end.
func (w *h2Way) rest(raw []byte, r *bufio.Reader) {
	part, _ := r.Peek(r.Buffered())
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	if !w.c.acted {
		w.buf = append(append(w.buf, raw...), part...)
	}
}

// unfollowed passes on what could not be followed, and all that comes after it; unless a rule has acted: then the connection cannot be what the two ends
// take it for, and is over.
func (w *h2Way) unfollowed(first []byte, r *bufio.Reader) error {
	w.c.relay.cfg.Calls(Call{Start: time.Now(), End: time.Now(), Skipped: errNotH2.Error()})
	w.c.mu.Lock()
	w.c.plain = true
	acted := w.c.acted
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
	to := bufio.NewWriterSize(w.to, h2Piece)
	if _, err := copyAll(to, r); err != nil {
		return err
	}
	return io.EOF
}

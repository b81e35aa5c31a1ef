package message

import (
	"bytes"
	"io"
	"sync/atomic"

	"golang.org/x/net/http2/hpack"
)

// h2Way is one direction of a connection of HTTP/2: what is to be written, and what its receiver takes. Everything but reader and idle belongs to
// the connection's lock.
//
// Its windows are the receiver's own. As long as frames pass, the sender's are the same. What a rule keeps back is credited to the sender at once, so
// that nothing else has to wait; when it goes on, the receiver's credit for it is a debt that is not passed on to the sender a second time. Only where
// there is such a debt can the sender say more than the receiver takes, and then the excess waits here.
type h2Way struct {
	c        *h2Conn
	toServer bool
	to       io.Writer
	back     *h2Way
	reader   *h2Reader
	idle     atomic.Bool // its sender has said nothing that was not looked at

	buf, spare []byte         // to be written, being written
	later      []byte         // behind the frame that is passing, or the sender's first
	closed     bool           // nothing more is to be said
	passing    bool           // later is in use
	over       bool           // its sender has ended
	writing    bool           // somebody writes
	called     bool           // somebody is about to
	err        error          // of the writing
	encode     *hpack.Encoder // once the receiver's table of headers is not the sender's any more
	block      bytes.Buffer   // of encode

	window, debt int64 // of the connection
	initial      int64 // window of a new stream
	waiting      []*h2Stream
	kept         int // the weight of what lanes keep
}

func (w *h2Way) lane(s *h2Stream) *h2Lane {
	if w.toServer {
		return &s.up
	}
	return &s.down
}

// id is a stream's number for this direction's receiver.
func (w *h2Way) id(s *h2Stream) uint32 {
	if w.toServer {
		return s.sid
	}
	return s.id
}

// add says something of our own: behind the frame that is passing now.
func (w *h2Way) add(p []byte) {
	switch {
	case w.closed:
	case w.passing:
		w.later = append(w.later, p...)
	default:
		w.buf = append(w.buf, p...)
	}
}

// flush writes what there is; while another does, it waits. The lock is not held.
func (w *h2Way) flush() error {
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	w.called = false
	for w.writing {
		w.c.changed.Wait()
	}
	w.writing = true
	for len(w.buf) > 0 && w.err == nil {
		w.buf, w.spare = w.spare[:0], w.buf
		w.c.mu.Unlock()
		_, err := w.to.Write(w.spare)
		w.c.mu.Lock()
		switch {
		case err == nil:
		case !w.toServer && w.c.busy(): // that is to be done whoever has left
			w.c.forsake(true)
		default:
			w.err = sinkError{err}
		}
		if cap(w.spare) > 4*h2Piece { // after something large
			w.spare = nil
		}
	}
	w.writing = false
	w.c.changed.Broadcast()
	return w.err
}

// call has somebody write what there is, and does not wait for him: the other direction must go on meanwhile.
func (w *h2Way) call() {
	if len(w.buf) == 0 || w.writing || w.called {
		return
	}
	w.called = true
	w.c.wg.Go(func() { _ = w.flush() })
}

// unwritten tells whether there is something that is still to be written. The lock is held.
func (w *h2Way) unwritten() bool { return w.err == nil && (len(w.buf) > 0 || w.writing || w.called) }

// fits tells whether the receiver takes so much now. Without debts that is the sender's to know; of what a rule says it is ours.
func (w *h2Way) fits(l *h2Lane, n int, ours bool) bool {
	return n == 0 || (!ours && w.debt == 0 && l.debt == 0) || int64(n) <= min(w.window, l.window)
}

// clear tells whether a frame of the lane may pass as it comes.
func (w *h2Way) clear(l *h2Lane, n int, ours bool) bool {
	return !l.shut && !l.drop && len(l.queue) == 0 && w.fits(l, n, ours)
}

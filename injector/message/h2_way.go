package message

import (
	"bytes"
	"encoding/binary"
	"io"
	"slices"
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
	kept         int // bytes in lanes
}

// h2Lane is one direction of a stream.
type h2Lane struct {
	shut, drop   bool // what comes is kept, or dropped
	ended        bool // its sender is done,
	reset        bool // has cancelled the stream,
	broken       bool // or has done so before its end
	queue        []h2Frame
	size         int // of the DATA that came
	window, debt int64
	news         chan struct{} // told of each frame; nil when nobody listens
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

// passed lets the others speak again.
func (w *h2Way) passed() {
	w.passing = false
	w.buf = append(w.buf, w.later...)
	w.later = w.later[:0]
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
		if err != nil {
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

// fits tells whether the receiver takes so much now. Without debts that is the sender's to know.
func (w *h2Way) fits(l *h2Lane, n int) bool {
	return n == 0 || (w.debt == 0 && l.debt == 0) || int64(n) <= min(w.window, l.window)
}

// clear tells whether a frame of the lane may pass as it comes.
func (w *h2Way) clear(l *h2Lane, n int) bool {
	return !l.shut && !l.drop && len(l.queue) == 0 && w.fits(l, n)
}

// take sends a frame on, keeps it or drops it.
func (w *h2Way) take(s *h2Stream, f *h2Frame) {
	l := w.lane(s)
	l.size += f.cost
	if f.kind == h2Reset {
		l.reset, l.broken = true, l.broken || !l.ended
		for _, way := range []*h2Way{w, w.back} {
			if !way.lane(s).shut {
				way.forgo(s) // what waits for a window is not wanted any more
			}
		}
	}
	l.ended = l.ended || f.ends()
	switch {
	case l.drop:
		w.divert(f)
		w.refund(s, f)
	case w.clear(l, f.cost):
		w.emit(s, f)
	default:
		w.keep(s, f)
	}
	l.tell()
	w.c.settle(s)
}

// divert notes that headers do not go on in their turn: from here on they are encoded anew, and without a table.
func (w *h2Way) divert(f *h2Frame) {
	if f.kind == h2Headers && w.encode == nil {
		w.encode = hpack.NewEncoder(&w.block)
		w.encode.SetMaxDynamicTableSizeLimit(0)
	}
}

// keep puts a frame into the queue.
func (w *h2Way) keep(s *h2Stream, f *h2Frame) {
	w.divert(f)
	l := w.lane(s)
	kept := *f
	kept.raw, kept.payload = nil, slices.Clone(f.payload)
	if w.back.over && !l.shut && f.kind == h2Data { // who gives no more credit gets no more
		w.refund(s, f)
		return
	}
	if l.shut && l.size <= int(w.c.relay.cfg.Whole) && w.kept <= keptBytes {
		kept.credited = kept.credited || w.refund(s, f)
	}
	w.kept += kept.cost
	l.queue = append(l.queue, kept)
	if !l.shut && !slices.Contains(w.waiting, s) {
		w.waiting = append(w.waiting, s)
	}
}

// refund gives a sender credit for what does not reach the receiver now.
func (w *h2Way) refund(s *h2Stream, f *h2Frame) bool {
	if f.cost == 0 || f.credited {
		return f.credited
	}
	credit := func(stream uint32) {
		w.back.add(binary.BigEndian.AppendUint32(appendH2Head(nil, 4, h2Window, 0, stream), uint32(f.cost))) //nolint:gosec // at most a frame
	}
	credit(0)
	if s != nil && !w.lane(s).ended {
		credit(w.back.id(s))
	}
	w.back.call()
	return true
}

// release opens the lane.
func (w *h2Way) release(s *h2Stream) {
	w.lane(s).shut = false
	w.empty(s)
	w.call()
	w.c.settle(s)
}

// forgo drops what a lane keeps.
func (w *h2Way) forgo(s *h2Stream) {
	l := w.lane(s)
	for i := range l.queue {
		w.kept -= l.queue[i].cost
		w.refund(s, &l.queue[i])
	}
	l.queue = nil
	w.waiting = slices.DeleteFunc(w.waiting, func(o *h2Stream) bool { return o == s })
}

// drain sends on what waits for windows, as far as they let it.
func (w *h2Way) drain() {
	if len(w.waiting) == 0 {
		return
	}
	waiting := w.waiting
	w.waiting = nil
	for _, s := range waiting {
		w.empty(s)
		w.c.settle(s)
	}
	w.call()
	w.c.changed.Broadcast()
}

// empty sends on what a lane keeps, as far as the windows let it.
func (w *h2Way) empty(s *h2Stream) {
	l := w.lane(s)
	for len(l.queue) > 0 {
		f := &l.queue[0]
		part := *f
		if f.kind == h2Data {
			n := min(int64(len(f.payload)), h2Piece, max(0, w.window), max(0, l.window))
			if n < int64(len(f.payload)) {
				if n == 0 && w.back.over {
					w.forgo(s)
					return
				}
				if n == 0 {
					w.waiting = append(w.waiting, s)
					return
				}
				part.flags = 0
			}
			part.payload, f.payload = f.payload[:n], f.payload[n:]
			part.cost, f.cost = int(n), f.cost-int(n)
			w.kept -= part.cost
		}
		w.emit(s, &part)
		if f.kind != h2Data || len(f.payload) == 0 {
			l.queue = l.queue[1:]
		}
	}
	l.queue = nil
}

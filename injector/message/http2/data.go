package http2

import (
	"bufio"
	"slices"
)

// data relays a DATA frame whose head f is still unread. It streams the frame, or processes it piece by piece if
// a rule intercepts it.
func (w *way) data(r *bufio.Reader, f *frame, length int) error {
	head, _ := r.Peek(HeadLen)
	head = slices.Clone(head)
	_, _ = r.Discard(HeadLen)
	w.c.Lock()
	s := w.find(f.stream)
	var none lane
	l := &none
	if s != nil {
		l = w.lane(s)
	}
	if (s == nil && w.idsDiverged()) || l.events != nil || !w.canPass(l, length, false) {
		w.c.Unlock()
		return w.pieces(r, s, f, length)
	}
	if s != nil {
		head = renumber(head, w.id(s))
	}
	l.size += length
	w.consumeWindow(l, length, false)
	w.add(head)
	w.midFrame = true
	w.c.Unlock()
	return w.through(r, s, f, length)
}

// through streams the payload of a frame. It records the end of the stream before it adds the last byte to the
// output, so that the receiver cannot react earlier.
func (w *way) through(r *bufio.Reader, s *stream, f *frame, left int) error {
	for {
		if left > 0 {
			if err := w.reader.await(1); err != nil {
				return err
			}
		}
		w.idle.Store(false)
		part, _ := r.Peek(min(r.Buffered(), left))
		w.c.Lock()
		w.guide(s, part, f.endsStream() && left == len(part))
		w.noteMessage(s, part)
		w.buf = append(w.buf, part...)
		left -= len(part)
		if left == 0 {
			w.midFrame = false
			deferred := w.deferred
			w.deferred = w.deferred[:0]
			w.add(deferred)
			if s != nil && f.endsStream() {
				w.lane(s).end(laneEnded)
				w.noteOvertaken(s)
				w.c.completeIfDone(s)
			}
		}
		w.c.Unlock()
		_, _ = r.Discard(len(part))
		if left == 0 {
			return nil
		}
		if err := w.flushIfLarge(); err != nil {
			return err
		}
	}
}

// pieces passes the payload of a frame to its lane and credits the padding to the sender.
func (w *way) pieces(r *bufio.Reader, s *stream, f *frame, left int) error {
	padding := 0
	if f.flags&flagPadded != 0 {
		if err := w.reader.await(1); err != nil {
			return err
		}
		b, _ := r.ReadByte()
		padding = int(b)
		if left -= padding + 1; left < 0 {
			return ErrNotHTTP2
		}
		w.c.Lock()
		w.refund(s, &frame{kind: frameData, cost: padding + 1})
		w.c.Unlock()
	}
	for {
		if left > 0 {
			if err := w.reader.await(1); err != nil {
				return err
			}
		}
		w.idle.Store(false)
		part, _ := r.Peek(min(r.Buffered(), left, maxFrame))
		left -= len(part)
		piece := frame{kind: frameData, stream: f.stream, payload: part, cost: len(part)}
		if left == 0 {
			piece.flags = f.flags & flagEnd
		}
		w.c.Lock()
		w.guide(s, part, piece.endsStream())
		if s == nil {
			w.refund(nil, &piece)
		} else {
			w.acceptData(s, &piece)
		}
		w.c.Unlock()
		_, _ = r.Discard(len(part))
		if left == 0 {
			_, err := w.reader.append(padding)
			return err
		}
	}
}

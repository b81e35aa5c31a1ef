package message

import (
	"bufio"
	"slices"
)

// data carries a DATA frame whose head f is still to be read: as it comes, or piece by piece where it meets a rule.
func (w *h2Way) data(r *bufio.Reader, f *h2Frame, length int) error {
	head, _ := r.Peek(h2HeadLen)
	head = slices.Clone(head)
	_, _ = r.Discard(h2HeadLen)
	w.c.mu.Lock()
	s := w.find(f.stream)
	var none h2Lane
	l := &none
	if s != nil {
		l = w.lane(s)
	}
	if (s == nil && w.lost()) || !w.clear(l, length, false) {
		w.c.mu.Unlock()
		return w.pieces(r, s, f, length)
	}
	if s != nil {
		head = renumber(head, w.id(s))
	}
	l.size += length
	w.spend(l, length, false)
	w.add(head)
	w.passing = true
	w.c.mu.Unlock()
	return w.through(r, s, f, length)
}

// through passes a frame's payload as it comes. What stands in its buffer at its end is not told to be over before the relay knows it.
func (w *h2Way) through(r *bufio.Reader, s *h2Stream, f *h2Frame, left int) error {
	for {
		if left > 0 {
			if err := w.reader.await(1); err != nil {
				return err
			}
		}
		w.idle.Store(false)
		part, _ := r.Peek(min(r.Buffered(), left))
		w.c.mu.Lock()
		w.buf = append(w.buf, part...)
		left -= len(part)
		if left == 0 {
			w.passing = false
			later := w.later
			w.later = w.later[:0]
			w.add(later)
			if s != nil && f.ends() {
				w.lane(s).ended = true
				w.sent(s)
				w.c.settle(s)
			}
		}
		w.c.mu.Unlock()
		_, _ = r.Discard(len(part))
		if left == 0 {
			return nil
		}
		if err := w.full(); err != nil {
			return err
		}
	}
}

// pieces gives a frame's payload to its lane, and its padding back to the sender.
func (w *h2Way) pieces(r *bufio.Reader, s *h2Stream, f *h2Frame, left int) error {
	padding := 0
	if f.flags&flagPadded != 0 {
		if err := w.reader.await(1); err != nil {
			return err
		}
		b, _ := r.ReadByte()
		padding = int(b)
		if left -= padding + 1; left < 0 {
			return errNotH2
		}
		w.c.mu.Lock()
		w.refund(s, &h2Frame{kind: h2Data, cost: padding + 1})
		w.c.mu.Unlock()
	}
	for {
		if left > 0 {
			if err := w.reader.await(1); err != nil {
				return err
			}
		}
		w.idle.Store(false)
		part, _ := r.Peek(min(r.Buffered(), left, h2Piece))
		left -= len(part)
		piece := h2Frame{kind: h2Data, stream: f.stream, payload: part, cost: len(part)}
		if left == 0 {
			piece.flags = f.flags & flagEnd
		}
		w.c.mu.Lock()
		if s == nil {
			w.refund(nil, &piece)
		} else {
			w.take(s, &piece)
		}
		w.c.mu.Unlock()
		_, _ = r.Discard(len(part))
		if left == 0 {
			_, err := w.reader.append(padding)
			return err
		}
	}
}

package message

import "encoding/binary"

// find is the stream that a frame is about, nil where the relay knows none.
func (w *h2Way) find(id uint32) *h2Stream {
	if w.toServer {
		return w.c.streams[id]
	}
	if s := w.c.moved[id]; s != nil {
		return s
	}
	if s := w.c.streams[id]; s != nil && s.sid == id {
		return s
	}
	return nil
}

// handle does with a frame that is not DATA what is to be done. Its sender's first goes before all that was to be said meanwhile.
func (w *h2Way) handle(f *h2Frame, first bool) error {
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	if first {
		later := w.later
		w.passing, w.later = false, nil
		defer func() { w.add(later) }()
	}
	s := w.find(f.stream)
	switch {
	case f.kind == h2Settings:
		w.settings(f)
	case f.kind == h2Window:
		w.windowUpdate(s, f)
	case f.kind == h2GoAway && !w.toServer:
		w.c.goAway(f)
	case f.kind == h2Push:
		w.push(s, f)
	case f.kind == h2Priority, f.kind == h2PriorityUpdate:
		if !w.c.acted { // advice about streams that may have other numbers now
			w.add(f.raw)
		}
	case f.stream == 0:
		w.add(f.raw)
	default:
		w.onStream(s, f)
	}
	return nil
}

// onStream handles a frame of a stream.
func (w *h2Way) onStream(s *h2Stream, f *h2Frame) {
	c := w.c
	switch {
	case s == nil && w.toServer && f.kind == h2Headers && f.stream > c.newest && f.stream%2 == 1:
		s = c.meet(f)
	case s == nil:
		w.stray(f)
		return
	case !w.toServer && s.second: // the first answer is over, and swallowed
		return
	case f.kind == h2Headers && !w.toServer:
		c.answer(s, f)
	case f.kind == h2Reset && w.toServer:
		if c.givenUp(s); s.detached() && !s.up.shut { // the work goes on whoever has left
			s.up.reset = true
			c.settle(s)
			return
		}
	case f.kind == h2Reset && !s.down.ended:
		s.down.drop = false // what was dropped of an answer was none
	}
	w.take(s, f)
}

// stray handles a frame of a stream that is over, or was never known. Once streams have been kept from the server it may be one of those.
func (w *h2Way) stray(f *h2Frame) {
	if w.lost() {
		w.divert(f)
		w.refund(nil, f)
		return
	}
	if f.heads() {
		w.headers(f.stream, f)
		return
	}
	w.add(f.raw)
}

// lost tells whether streams that are over have no number any more for the receiver.
func (w *h2Way) lost() bool {
	if w.toServer {
		return w.c.acted
	}
	return w.c.shifted
}

// settings notes the windows that a side gives to new streams, and to those there are (RFC 9113, section 6.9.2).
func (w *h2Way) settings(f *h2Frame) {
	w.add(f.raw)
	if f.flags&flagEnd != 0 {
		return
	}
	b := w.back
	for p := f.payload; len(p) >= 6; p = p[6:] {
		if binary.BigEndian.Uint16(p) != h2InitialWindow {
			continue
		}
		initial := int64(binary.BigEndian.Uint32(p[2:]))
		for _, s := range w.c.streams {
			if !b.toServer || s.sid != 0 {
				b.lane(s).window += initial - b.initial
			}
		}
		b.initial = initial
	}
	b.drain()
}

// windowUpdate notes a receiver's credit, and passes on what the sender has not had before.
func (w *h2Way) windowUpdate(s *h2Stream, f *h2Frame) {
	b := w.back
	n := int64(binary.BigEndian.Uint32(f.payload) & h2MaxID)
	window, debt := &b.window, &b.debt
	if f.stream != 0 {
		if s == nil {
			w.stray(f)
			return
		}
		l := b.lane(s)
		window, debt = &l.window, &l.debt
	}
	*window += n
	paid := min(n, *debt)
	if paid > 0 {
		*debt -= paid
		binary.BigEndian.PutUint32(f.payload, uint32(n-paid)) //nolint:gosec // less than it was
	}
	switch {
	case paid > 0 && paid == n: // all of it was a debt
	case f.stream == 0:
		w.add(f.raw)
	case w.toServer && (s.sid == 0 || s.up.drop): // the server does not know the stream, or it has no more to do with it
		w.take(s, f)
	default:
		w.add(renumber(f.raw, w.id(s)))
	}
	b.drain()
}

// push makes a stream known that the server opens.
func (w *h2Way) push(s *h2Stream, f *h2Frame) {
	promised := binary.BigEndian.Uint32(f.payload) & h2MaxID
	if !w.toServer && promised != 0 && w.c.streams[promised] == nil {
		p := &h2Stream{id: promised, sid: promised, told: true}
		p.up.ended = true
		p.down.window = w.initial
		p.down.drop = s == nil && w.lost() // nor is it promised
		w.c.streams[promised] = p
	}
	if s == nil {
		w.stray(f)
		return
	}
	w.emit(s, f) // it is no part of the answer
}

package message

import (
	"bytes"
	"slices"

	"golang.org/x/net/http2/hpack"
)

// emit says a frame of a stream.
func (w *h2Way) emit(s *h2Stream, f *h2Frame) {
	if w.toServer {
		if f.kind == h2Reset && s.detached() {
			return
		}
		if s.sid == 0 {
			w.c.open(s)
		}
	}
	l, id := w.lane(s), w.id(s)
	switch {
	case f.heads():
		w.headers(id, f)
	case f.raw != nil:
		w.add(renumber(f.raw, id))
	default:
		w.add(append(appendH2Head(nil, len(f.payload), f.kind, f.flags, id), f.payload...))
	}
	w.spend(l, f.cost, f.credited)
	if f.ends() && w.toServer && f.kind != h2Reset {
		w.sent(s)
	}
	if f.ends() && !w.toServer {
		w.given(s)
	}
}

// given notes that the client has its whole answer: who leaves after that has not given up.
func (w *h2Way) given(s *h2Stream) {
	if s.gone.IsZero() {
		s.gone = w.c.gone
	}
	s.given = !s.up.reset
}

// sent notes which of those held a request overtakes, also those of its own connection.
func (w *h2Way) sent(s *h2Stream) {
	if s.call {
		other := s.msg
		other.conn = 0
		s.passes = w.c.relay.passing(other)
	}
}

// spend takes what the receiver gave.
func (w *h2Way) spend(l *h2Lane, n int, credited bool) {
	w.window -= int64(n)
	l.window -= int64(n)
	if credited {
		w.debt += int64(n)
		l.debt += int64(n)
	}
}

// open gives a stream its number at the server: its own, as long as those rise.
func (c *h2Conn) open(s *h2Stream) {
	s.sid = max(s.id, c.next)
	c.next = s.sid + 2
	if s.sid != s.id {
		c.moved[s.sid], c.shifted = s, true
	}
	s.up.window = c.toServer.initial
}

// headers says a block of headers: as it came while the receiver's table is the sender's, and without a table since then. What we say ourselves never
// uses it.
func (w *h2Way) headers(id uint32, f *h2Frame) {
	switch {
	case w.encode != nil:
		w.block.Reset()
		for _, h := range f.fields {
			_ = w.encode.WriteField(h) // to memory
		}
		w.add(appendH2Block(nil, id, f, w.block.Bytes()))
	case f.raw != nil:
		w.add(renumber(f.raw, id))
	default:
		w.add(appendH2Block(nil, id, f, tableless(f.fields)))
	}
}

// tableless encodes headers so that the receiver's table stays as it is.
func tableless(fields []hpack.HeaderField) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for _, h := range fields {
		h.Sensitive = true  // never indexed
		_ = e.WriteField(h) // to memory
	}
	return b.Bytes()
}

// appendH2Block appends a block of headers in as many frames as it needs.
func appendH2Block(b []byte, id uint32, f *h2Frame, block []byte) []byte {
	if f.kind == h2Push {
		block = slices.Concat(f.payload, block)
	}
	for kind, flags := f.kind, f.flags&flagEnd; ; kind, flags = h2More, 0 {
		part := block[:min(len(block), h2Piece)]
		if block = block[len(part):]; len(block) == 0 {
			flags |= flagHeaders
		}
		b = append(appendH2Head(b, len(part), kind, flags, id), part...)
		if len(block) == 0 {
			return b
		}
	}
}

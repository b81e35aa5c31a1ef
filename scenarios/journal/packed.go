package journal

import (
	"iter"
	"time"
)

// PackedRequest is a request as its row is stored. It is for passes over many requests that need few of their fields,
// since unpacking a request takes many times as long.
type PackedRequest struct {
	Common *Request // Load, Route, Window, Outcome and Reads; the other fields are not those of the request

	block *requestBlock
	row   int
}

// Packed returns an iterator over requests, with their index.
func Packed(r *RequestRows) iter.Seq2[int, PackedRequest] {
	return func(yield func(int, PackedRequest) bool) {
		for _, p := range r.parts {
			for i := range p.block.rows {
				if !yield(p.start+i, PackedRequest{&p.block.like[p.block.rows[i].like], p.block, i}) {
					return
				}
			}
		}
	}
}

// Request returns the request with all fields.
func (p PackedRequest) Request() Request { return p.block.at(p.row) }

// AppendKey appends the key.
func (p PackedRequest) AppendKey(to []byte) []byte { return p.block.appendKey(to, p.row) }

// Due returns when the request was due.
func (p PackedRequest) Due() time.Duration { return p.block.rows[p.row].due }

// MetFault is History.MetFault.
func (p PackedRequest) MetFault(h *History) bool { return h.metFault(p.Common.Window, p.Due()) }

// Span returns when the first attempt began, and when the last one ended. Both are 0 if there was none.
func (p PackedRequest) Span() (began, ended time.Duration) {
	for n := range p.Common.Attempts {
		at, took := p.block.times(p.row, n)
		if at += p.Due(); n == 0 || at < began {
			began = at
		}
		ended = at + took // attempts are in the order in which they ended
	}
	return began, ended
}

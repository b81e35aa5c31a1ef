package message

import (
	"encoding/binary"
	"slices"

	"golang.org/x/net/http2/hpack"
)

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

// cut notes that nothing more will come.
func (l *h2Lane) cut() {
	l.broken = l.broken || !l.ended
	l.tell()
}

// tell wakes who listens.
func (l *h2Lane) tell() {
	if l.news == nil {
		return
	}
	select {
	case l.news <- struct{}{}:
	default:
	}
}

// take sends a frame on, keeps it or drops it.
func (w *h2Way) take(s *h2Stream, f *h2Frame) {
	l := w.lane(s)
	l.size += f.cost
	if f.kind == h2Reset {
		l.reset, l.broken = true, l.broken || !l.ended
		for _, way := range []*h2Way{w, w.back} { // what waits for a window is not wanted any more, but for an answer that is whole
			if !way.lane(s).shut && (way != w || w.toServer || l.broken) {
				way.forgo(s)
			}
		}
	}
	l.ended = l.ended || f.ends()
	switch {
	case l.drop:
		w.divert(f)
		w.refund(s, f)
	case w.clear(l, f.cost, f.credited):
		w.emit(s, f)
	default:
		w.keep(s, f)
	}
	l.tell()
	w.c.settle(s)
}

// divert notes that headers do not go on in their turn: from here on they are encoded anew, and without a table.
func (w *h2Way) divert(f *h2Frame) {
	if f.heads() && w.encode == nil {
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
	if l.shut && l.size <= int(w.c.relay.cfg.Whole) && w.kept <= keptBytes {
		kept.credited = kept.credited || w.refund(s, f)
	}
	w.kept += kept.weight()
	l.queue = append(l.queue, kept)
	if !l.shut && !slices.Contains(w.waiting, s) {
		w.empty(s)
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
		w.kept -= l.queue[i].weight()
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
					w.forgo(s) // who gives no more credit gets no more
					l.drop, l.broken = true, true
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
			w.kept -= int(n)
		}
		w.emit(s, &part)
		if f.kind != h2Data || len(f.payload) == 0 {
			w.kept -= f.weight()
			l.queue = l.queue[1:]
		}
	}
	l.queue = nil
}

package http2

import (
	"encoding/binary"
	"slices"

	"golang.org/x/net/http2/hpack"
)

// lane is one direction of a stream.
type lane struct {
	holding, dropping bool // further frames are held, or discarded
	ended             bool // the sender has ended the stream
	reset             bool // the sender has reset the stream
	truncated         bool // the sender stopped before the end of its message
	queue             []frame
	begun             bool // the receiver was sent the beginning of the message
	size              int  // of all DATA received
	window, advanced  int64
	wake              chan struct{} // signaled for each frame; nil if nothing waits
}

// markTruncated records that no more frames will arrive.
func (l *lane) markTruncated() {
	l.truncated = l.truncated || !l.ended
	l.notify()
}

// notify wakes the waiter.
func (l *lane) notify() {
	if l.wake == nil {
		return
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// accept forwards, holds or discards a frame.
func (w *way) accept(s *stream, f *frame) {
	l := w.lane(s)
	l.size += f.cost
	if f.kind == frameReset {
		l.reset, l.truncated = true, l.truncated || !l.ended
		// Frames that wait for a window are no longer needed, except for a complete answer.
		for _, way := range []*way{w, w.reverse} {
			if !way.lane(s).holding && (way != w || w.toServer || l.truncated) {
				way.discardHeld(s)
			}
		}
	}
	l.ended = l.ended || f.endsStream()
	switch {
	case l.dropping:
		w.reencodeHeaders(f)
		w.refund(s, f)
	case w.canPass(l, f.cost, f.credited):
		w.emit(s, f)
	default:
		w.hold(s, f)
	}
	l.notify()
	w.c.completeIfDone(s)
}

// reencodeHeaders must be called if headers are not forwarded in order: from then on, headers are encoded anew,
// without a table.
func (w *way) reencodeHeaders(f *frame) {
	if f.hasHeaders() && w.encode == nil {
		w.encode = hpack.NewEncoder(&w.block)
		w.encode.SetMaxDynamicTableSizeLimit(0)
	}
}

// hold adds a frame to the queue.
func (w *way) hold(s *stream, f *frame) {
	w.reencodeHeaders(f)
	l := w.lane(s)
	held := *f
	held.raw, held.payload = nil, slices.Clone(f.payload)
	if l.holding && l.size <= maxBuffered && w.heldWeight <= maxHeldWeight {
		held.credited = held.credited || w.refund(s, f)
	}
	w.heldWeight += held.weight()
	l.queue = append(l.queue, held)
	if !l.holding && !slices.Contains(w.blocked, s) {
		w.sendHeld(s)
	}
}

// refund credits the sender for bytes that are not forwarded to the receiver now.
func (w *way) refund(s *stream, f *frame) bool {
	if f.cost == 0 || f.credited {
		return f.credited
	}
	credit := func(stream uint32) {
		w.reverse.add(binary.BigEndian.AppendUint32(appendHead(nil, 4, frameWindow, 0, stream), uint32(f.cost))) //nolint:gosec // at most a frame
	}
	credit(0)
	if s != nil && !w.lane(s).ended {
		credit(w.reverse.id(s))
	}
	w.reverse.scheduleFlush()
	return true
}

// release opens the lane.
func (w *way) release(s *stream) {
	w.lane(s).holding = false
	w.sendHeld(s)
	w.scheduleFlush()
	w.c.completeIfDone(s)
}

// discardHeld discards the held frames.
func (w *way) discardHeld(s *stream) {
	l := w.lane(s)
	for i := range l.queue {
		w.heldWeight -= l.queue[i].weight()
		w.refund(s, &l.queue[i])
	}
	l.queue = nil
	w.blocked = slices.DeleteFunc(w.blocked, func(o *stream) bool { return o == s })
}

// sendBlocked forwards held frames that waited for flow-control credit, as far as the windows permit.
func (w *way) sendBlocked() {
	if len(w.blocked) == 0 {
		return
	}
	waiting := w.blocked
	w.blocked = nil
	for _, s := range waiting {
		w.sendHeld(s)
		w.c.completeIfDone(s)
	}
	w.scheduleFlush()
	w.c.Broadcast()
}

// sendHeld forwards held frames, as far as the windows permit.
func (w *way) sendHeld(s *stream) {
	l := w.lane(s)
	for len(l.queue) > 0 {
		f := &l.queue[0]
		part := *f
		if f.kind == frameData {
			n := min(int64(len(f.payload)), maxFrame, max(0, w.window), max(0, l.window))
			if n < int64(len(f.payload)) {
				if n == 0 && w.reverse.senderEnded {
					w.discardHeld(s) // the receiver grants no more credit
					l.dropping, l.truncated = true, true
					return
				}
				if n == 0 {
					w.blocked = append(w.blocked, s)
					return
				}
				part.flags = 0
			}
			part.payload, f.payload = f.payload[:n], f.payload[n:]
			part.cost, f.cost = int(n), f.cost-int(n)
			w.heldWeight -= int(n)
		}
		w.emit(s, &part)
		if f.kind != frameData || len(f.payload) == 0 {
			w.heldWeight -= f.weight()
			l.queue = l.queue[1:]
		}
	}
	l.queue = nil
}

package http2

import (
	"encoding/binary"
	"slices"

	"golang.org/x/net/http2/hpack"
)

// lane is one direction of a stream.
type lane struct {
	handling         handling
	state            laneState
	truncated        bool // the sender stopped before the end of its message
	queue            []frame
	begun            bool // the receiver was sent the beginning of the message
	size             int  // of all DATA received
	window, advanced int64
	events           *eventCount   // of an answer that a rule will cut; nil if there is none
	wake             chan struct{} // signaled for each frame; nil if nothing waits
}

// handling is what is done with the frames that arrive on a lane.
type handling uint8

const (
	passing handling = iota
	holding
	dropping
)

// laneState is how far the sender is with its side of the stream.
type laneState uint8

const (
	laneOpen laneState = iota
	laneEnded
	laneReset
)

// ended reports whether the sender has ended or reset its side of the stream.
func (l *lane) ended() bool { return l.state != laneOpen }

// end records that the sender has ended or reset its side of the stream. A reset may follow an end.
func (l *lane) end(state laneState) {
	l.truncated = l.truncated || state == laneReset && l.state == laneOpen
	l.state = max(l.state, state)
}

// stop makes frames pass again if they were handled in this way.
func (l *lane) stop(h handling) {
	if l.handling == h {
		l.handling = passing
	}
}

// markTruncated records that no more frames will arrive.
func (l *lane) markTruncated() {
	l.truncated = l.truncated || !l.ended()
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
	switch {
	case f.kind == frameReset:
		l.end(laneReset)
		// Frames that wait for a window are no longer needed, except for a complete answer.
		for _, way := range []*way{w, w.reverse} {
			if way.lane(s).handling != holding && (way != w || w.toServer || l.truncated) {
				way.discardHeld(s)
			}
		}
	case f.endsStream():
		l.end(laneEnded)
	}
	switch {
	case l.handling == dropping:
		w.reencodeHeaders(f)
		w.refund(s, f)
	case w.canPass(l, f.cost, f.credited):
		w.emit(s, f)
	default:
		w.hold(s, f)
	}
	l.notify()
	if s.intercepts > 0 {
		w.c.Broadcast()
	}
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
	if l.handling == holding && l.size <= maxBuffered && w.heldWeight <= maxHeldWeight {
		held.credited = held.credited || w.refund(s, f)
	}
	w.heldWeight += held.weight()
	l.queue = append(l.queue, held)
	if l.handling != holding && !slices.Contains(w.blocked, s) {
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
	if s != nil && !w.lane(s).ended() {
		credit(w.reverse.id(s))
	}
	w.reverse.scheduleFlush()
	return true
}

// release opens the lane.
func (w *way) release(s *stream) {
	w.lane(s).handling = passing
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

// sendHeld forwards held frames, as far as the windows and a stop permit.
func (w *way) sendHeld(s *stream) {
	l := w.lane(s)
	for len(l.queue) > 0 {
		f := &l.queue[0]
		if f.kind == frameStop {
			w.c.Broadcast()
			return
		}
		part := *f
		if f.kind == frameData {
			n := min(int64(len(f.payload)), maxFrame, max(0, w.window), max(0, l.window))
			if n < int64(len(f.payload)) {
				if n == 0 && w.reverse.senderEnded {
					w.discardHeld(s) // the receiver grants no more credit
					l.handling, l.truncated = dropping, true
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

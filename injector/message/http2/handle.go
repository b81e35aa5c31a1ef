package http2

import "encoding/binary"

// find returns the stream with the sender's ID, or nil if it is unknown.
func (w *way) find(id uint32) *stream {
	if w.toServer {
		return w.c.streams[id]
	}
	if s := w.c.byServerID[id]; s != nil {
		return s
	}
	if s := w.c.streams[id]; s != nil && s.serverID == id {
		return s
	}
	return nil
}

// handle processes a frame other than DATA. The sender's first frame is forwarded before everything that was
// deferred.
func (w *way) handle(f *frame, first bool) error {
	w.c.Lock()
	defer w.c.Unlock()
	if first {
		deferred := w.deferred
		w.midFrame, w.deferred = false, nil
		defer func() { w.add(deferred) }()
	}
	s := w.find(f.stream)
	switch {
	case f.kind == frameSettings:
		w.settings(f)
	case f.kind == frameWindow:
		w.windowUpdate(s, f)
	case f.kind == frameGoAway && !w.toServer:
		w.c.goAway(f)
	case f.kind == framePush:
		w.push(s, f)
	case f.kind == framePriority, f.kind == framePriorityUpdate:
		if !w.c.modified { // the stream IDs in priority advice may have changed
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
func (w *way) onStream(s *stream, f *frame) {
	c := w.c
	switch {
	case s == nil && w.toServer && f.kind == frameHeaders && f.stream > c.lastClientID && f.stream%2 == 1:
		if c.refuseStream(f) {
			return
		}
		s = c.admit(f)
	case s == nil:
		w.handleUnknown(f)
		return
	case !w.toServer && s.secondAnswer: // the first answer has ended and was discarded
		return
	case f.kind == frameHeaders && !w.toServer:
		c.answer(s, f)
	case f.kind == frameReset && w.toServer:
		if c.markGivenUp(s); s.outlivesClient() && s.up.handling != holding { // the call must be completed
			s.up.end(laneReset)
			c.completeIfDone(s)
			return
		}
	case f.kind == frameReset && !s.down.ended():
		s.down.stop(dropping) // the discarded part was not a complete answer
	}
	w.accept(s, f)
}

// handleUnknown handles a frame of an unknown stream. It is forwarded, unless stream IDs of the receiver may
// differ.
func (w *way) handleUnknown(f *frame) {
	if w.idsDiverged() {
		w.reencodeHeaders(f)
		w.refund(nil, f)
		return
	}
	if f.hasHeaders() {
		w.headers(f.stream, f)
		return
	}
	w.add(f.raw)
}

// idsDiverged reports whether the IDs of finished streams may differ at the receiver.
func (w *way) idsDiverged() bool {
	if w.toServer {
		return w.c.modified
	}
	return w.c.renumbered
}

// settings applies a new initial window to the existing and future streams (RFC 9113, section 6.9.2).
func (w *way) settings(f *frame) {
	w.add(f.raw)
	if f.flags&flagEnd != 0 {
		return
	}
	b := w.reverse
	for p := f.payload; len(p) >= 6; p = p[6:] {
		if binary.BigEndian.Uint16(p) != settingInitialWindow {
			continue
		}
		initial := int64(binary.BigEndian.Uint32(p[2:]))
		for _, s := range w.c.streams {
			if !b.toServer || s.serverID != 0 {
				b.lane(s).window += initial - b.initial
			}
		}
		b.initial = initial
	}
	b.sendBlocked()
}

// windowUpdate applies the receiver's credit, and forwards the part that the sender has not already got from the
// relay.
func (w *way) windowUpdate(s *stream, f *frame) {
	b := w.reverse
	n := int64(binary.BigEndian.Uint32(f.payload) & maxStreamID)
	window, advanced := &b.window, &b.advanced
	if f.stream != 0 {
		if s == nil {
			w.handleUnknown(f)
			return
		}
		l := b.lane(s)
		window, advanced = &l.window, &l.advanced
	}
	*window += n
	covered := min(n, *advanced)
	if covered > 0 {
		*advanced -= covered
		binary.BigEndian.PutUint32(f.payload, uint32(n-covered)) //nolint:gosec // less than it was
	}
	switch {
	case covered > 0 && covered == n: // the sender already has all of it
	case f.stream == 0:
		w.add(f.raw)
	case w.toServer && (s.serverID == 0 || s.up.handling == dropping): // the stream does not exist at the server, or its request is discarded
		w.accept(s, f)
	default:
		w.add(renumber(f.raw, w.id(s)))
	}
	b.sendBlocked()
}

// push records a stream that the server opens.
func (w *way) push(s *stream, f *frame) {
	promised := binary.BigEndian.Uint32(f.payload) & maxStreamID
	if !w.toServer && promised != 0 && w.c.streams[promised] == nil {
		p := &stream{id: promised, serverID: promised, reported: true}
		p.up.end(laneEnded)
		p.down.window = w.initial
		if s == nil && w.idsDiverged() { // its PUSH_PROMISE is not forwarded either
			p.down.handling = dropping
		}
		w.c.streams[promised] = p
	}
	if s == nil {
		w.handleUnknown(f)
		return
	}
	w.emit(s, f) // it does not belong to the answer
}

package http2

import (
	"encoding/binary"
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/injector/message"
)

// NoStream is why a rule cannot count the events of an answer.
const NoStream = "it is not a stream of events"

// Events finds the ends of events in a body.
type Events interface {
	// Next reads p up to the end of the first event that ends in it, or all of p. It keeps what it needs to know of the
	// bytes before p.
	Next(p []byte) (n int, ended bool)
}

// IsEventStream reports whether a Content-Type is that of server-sent events.
func IsEventStream(contentType string) bool {
	kind, _, _ := strings.Cut(contentType, ";")
	return strings.EqualFold(strings.TrimSpace(kind), "text/event-stream")
}

// ServerEvents finds server-sent events (HTML Living Standard, section 9.2.6). An event is a block of lines, one of which
// is a "data" line, that ends with an empty line. Lines end with CR, LF or CRLF. Comments, such as those that keep a
// connection alive, are not events. An event that ends with CR ends when the next byte arrives, which may be its LF.
type ServerEvents struct {
	line  []byte // the beginning of the current line
	data  bool   // the block has data
	cr    bool   // the previous byte was CR, so that LF would belong to it
	ended bool   // an event ended with that CR
}

// Next implements Events.
func (e *ServerEvents) Next(p []byte) (n int, ended bool) {
	for n < len(p) {
		b := p[n]
		if e.ended {
			if e.ended = false; b == '\n' {
				n++
			}
			e.cr = false
			return n, true
		}
		n++
		switch {
		case b == '\n' && e.cr:
			e.cr = false
		case b == '\n' || b == '\r':
			e.cr = b == '\r'
			if e.endLine() {
				if !e.cr {
					return n, true
				}
				e.ended = true
			}
		default:
			if e.cr = false; len(e.line) < len("data:") {
				e.line = append(e.line, b)
			}
		}
	}
	return n, false
}

// endLine reports whether an event ends with the line.
func (e *ServerEvents) endLine() bool {
	line := string(e.line)
	e.line = e.line[:0]
	if line == "" {
		ended := e.data
		e.data = false
		return ended
	}
	e.data = e.data || line == "data" || line == "data:"
	return false
}

// grpcEvents finds the messages of gRPC.
type grpcEvents struct {
	prefix []byte
	left   uint32 // of the payload
}

func (e *grpcEvents) Next(p []byte) (n int, ended bool) {
	for n < len(p) {
		if len(e.prefix) < 5 {
			e.prefix = append(e.prefix, p[n])
			if n++; len(e.prefix) < 5 {
				continue
			}
			e.left = binary.BigEndian.Uint32(e.prefix[1:])
		} else {
			size := min(uint32(len(p)-n), e.left) //nolint:gosec // at most a frame
			n, e.left = n+int(size), e.left-size
		}
		if e.left == 0 {
			e.prefix = e.prefix[:0]
			return n, true
		}
	}
	return n, false
}

// beginStream reports that the client has the beginning of a stream, unless it gave up before. The lock is held.
func (c *Conn) beginStream(s *stream) {
	if !s.reported && !s.blackholed && c.ClientClosedAt().IsZero() {
		c.Relay.BeginStream(&s.Exchange, s.status)
	}
}

// isGRPC reports whether a Content-Type is that of gRPC over HTTP/2.
func isGRPC(contentType string) bool {
	rest, ok := strings.CutPrefix(contentType, "application/grpc")
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';')
}

// noteMessage processes a part of an answer that is sent to the client. With the first message of gRPC, its caller has
// what it waits for: the answer to a unary call ends with it, and other answers are streams. s may be nil. The lock is
// held.
func (w *way) noteMessage(s *stream, part []byte) {
	if w.toServer || s == nil || s.messages == nil || w.outputClosed {
		return
	}
	if _, ended := s.messages.Next(part); ended {
		s.messages = nil
		w.mayStream(s)
	}
}

// mayStream makes the answer a stream, unless it ends with the input that has already arrived.
func (w *way) mayStream(s *stream) {
	w.c.begun = append(w.c.begun, s)
	if w.idle.Load() { // the answer was held back
		w.c.beginStreamsLocked()
	}
}

// beginStreams reports the answers of gRPC that are streams: the client has their first message, all input of the server
// has been processed, and they have not ended.
func (c *Conn) beginStreams() {
	c.Lock()
	defer c.Unlock()
	c.beginStreamsLocked()
}

// beginStreamsLocked is beginStreams with the lock held.
func (c *Conn) beginStreamsLocked() {
	for _, s := range c.begun {
		if !s.down.ended() {
			c.beginStream(s)
		}
	}
	clear(c.begun)
	c.begun = c.begun[:0]
}

// eventCount counts the events that arrive on a lane, until the one after which a rule stops it.
type eventCount struct {
	Events
	left uint64
}

// acceptData accepts a piece of DATA. Behind the event that a rule waits for, it stops the lane.
func (w *way) acceptData(s *stream, f *frame) {
	l := w.lane(s)
	at := 0
	for l.events != nil && l.handling != dropping {
		n, ended := l.events.Next(f.payload[at:])
		if at += n; !ended {
			break
		}
		if l.events.left--; l.events.left > 0 {
			continue
		}
		l.events = nil
		first, rest := *f, *f
		first.payload, first.cost, first.flags = f.payload[:at], at, 0
		rest.payload, rest.cost = f.payload[at:], f.cost-at
		w.accept(s, &first)
		w.stop(s)
		if len(rest.payload) > 0 || rest.flags != 0 {
			w.accept(s, &rest)
		}
		return
	}
	w.accept(s, f)
}

// stop makes the frames that follow wait behind those that have been accepted.
func (w *way) stop(s *stream) {
	l := w.lane(s)
	mark := frame{kind: frameStop}
	l.queue = append(l.queue, mark)
	w.heldWeight += mark.weight()
	l.handling = holding
	w.c.Broadcast()
}

// stopped reports whether all frames before the stop have been written.
func (l *lane) stopped() bool { return len(l.queue) > 0 && l.queue[0].kind == frameStop }

// removeStop lets the frames after the stop pass.
func (w *way) removeStop(s *stream) {
	l := w.lane(s)
	i := slices.IndexFunc(l.queue, func(f frame) bool { return f.kind == frameStop })
	if i >= 0 {
		w.heldWeight -= l.queue[i].weight()
		l.queue = slices.Delete(l.queue, i, i+1)
	}
	w.release(s)
}

// countEvents makes the lane of an answer stop after its nth event. The lock is held.
func (s *stream) countEvents(n uint64) {
	s.down.events = &eventCount{Events: &ServerEvents{}, left: n}
	if s.grpc {
		s.down.events.Events = &grpcEvents{}
	}
}

// NoEvents implements message.EventCarrier.
func (p *replyCarrier) NoEvents() string {
	p.Lock()
	defer p.Unlock()
	if p.s.down.events == nil && !slices.ContainsFunc(p.s.down.queue, func(f frame) bool { return f.kind == frameStop }) {
		return NoStream
	}
	return ""
}

// ForwardEvents implements message.EventCarrier. The lane is held, and frames that have arrived were counted.
func (p *replyCarrier) ForwardEvents(n uint64, reached func(events uint64) bool) (message.Outcome, error) {
	s, l := p.s, &p.s.down
	p.Lock()
	if l.events != nil {
		l.handling = passing
	}
	p.toClient.sendHeld(s)
	p.toClient.scheduleFlush()
	over := func() bool {
		return s.up.state == laneReset || !p.ClientClosedAt().IsZero() || p.EndedByRule() || p.Context().Err() != nil || p.toClient.err != nil || l.handling == dropping
	}
	for !l.stopped() && !(l.events != nil && (l.ended() || l.truncated)) && !over() {
		p.Wait()
	}
	if !l.stopped() || over() {
		events := n
		if l.events != nil {
			events, l.events = n-l.events.left, nil
		}
		p.Unlock()
		reached(min(events, n-1))
		return p.proceed(), nil
	}
	p.Unlock()
	_ = p.toClient.flush()
	if reached(n) {
		return p.proceed(), nil
	}
	p.discardAnswer(s)
	return message.Collateral, nil
}

// proceed forwards the rest of an answer whose beginning was forwarded, unless the client no longer wants it.
func (p *replyCarrier) proceed() message.Outcome {
	s := p.s
	p.Lock()
	defer p.Unlock()
	if s.up.state == laneReset || s.down.handling == dropping || p.toClient.outputClosed || p.EndedByRule() || p.Context().Err() != nil {
		s.status = 0
		s.down.stop(holding)
		p.toClient.discardHeld(s)
		return message.Collateral
	}
	p.toClient.removeStop(s)
	return message.Delivered
}

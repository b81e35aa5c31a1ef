package message

import (
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http2/hpack"
)

// answer processes headers from the server: an interim answer, the head of the final answer, or its trailers.
// The lock is held.
func (c *h2Conn) answer(s *h2Stream, f *h2Frame) {
	if f.endsStream() {
		s.code = field(f.fields, "grpc-status")
	}
	status, _ := strconv.Atoi(field(f.fields, ":status"))
	if !s.isCall || s.answerBegun || status/100 == 1 {
		return
	}
	s.answerBegun, s.status = true, status
	s.eventStream = strings.HasPrefix(field(f.fields, "content-type"), "text/event-stream")
	c.relay.countPassed(s.overtaken)
	rule, delayed := s.Rule(), len(s.replyDelays) > 0
	acts := rule != nil && (rule.Action.OfReply() || (rule.Action == Twice && rule.Second))
	switch {
	case !acts && !delayed:
	case c.rulesDisabled && acts:
		c.relay.skip(&s.Exchange, errNotH2.Error())
	case c.rulesDisabled:
		s.skipped = errNotH2.Error()
	default:
		// An answer that may be forwarded later is held, any other is discarded.
		s.down.holding = !acts || s.grpc || delayed || s.does(CorruptReply, TruncateReply) || rule.ending() == EndHeld
		s.down.dropping = !s.down.holding
		c.intercept(s, &s.down, func(s *h2Stream) {
			_ = c.relay.reply(&s.Exchange, &h2Reply{h2Conn: c, h2Payload: h2Payload{c, s, &c.toClient}, s: s, otherwise: Collateral})
		})
		return
	}
	reply := c.relay.Received(ToClient)
	if s.down.dropping || c.toClient.outputClosed {
		reply.End(Collateral)
		return
	}
	reply.End(Delivered)
}

// h2Reply is an answer that a rule acts on. Its headers have been received.
type h2Reply struct {
	*h2Conn
	h2Payload
	s         *h2Stream
	text      string  // description of the answer that was read
	otherwise Outcome // the outcome if the client does not get the answer
	done      bool    // the connection has ended
}

func (p *h2Reply) Report(status int) { p.relay.report(&p.s.Exchange, status) }

func (p *h2Reply) End(ending Ending, lost func(Message)) { p.endStream(p.s, ending, lost) }

func (*h2Reply) serverIdle() {}

func (p *h2Reply) String() string { return p.text }

func (p *h2Reply) read(keep bool, skip func(why string)) bool {
	s := p.s
	why := p.awaitWhole(&p.toClient, s, !s.grpc && !s.eventStream)
	if why == wholeMessage && p.hasSeveralMessages(s) {
		why = openEnded
	}
	switch why {
	case wholeMessage:
		p.mu.Lock()
		p.text = s.describe() // a reset may still follow the end of the stream
		p.mu.Unlock()
		if !keep {
			p.discardAnswer(s)
		}
		return true
	case truncatedMessage: // the failure of the upstream, forwarded as such
		p.otherwise = HeldBack
	case connectionOver:
		p.done = true
	default:
		skip(why)
	}
	return false
}

// forward sends the client the buffered part of an answer, unless it no longer wants it.
func (p *h2Reply) forward() (Outcome, error) {
	if p.done {
		return HeldBack, nil
	}
	s := p.s
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.up.reset || s.down.dropping || p.toClient.outputClosed || p.endedByRule || p.ctx.Err() != nil {
		s.status = 0
		s.down.holding = false
		p.toClient.discardHeld(s)
		return p.otherwise, nil
	}
	outcome := p.otherwise // discarded on arrival, and truncated
	if slices.ContainsFunc(s.down.queue, func(f h2Frame) bool { return f.hasHeaders() }) {
		outcome = Delivered
	}
	p.toClient.release(s)
	return outcome, nil
}

func (p *h2Reply) deliver(written func()) (second, error) { return p.h2Conn.deliver(p.s, written) }

// hasSeveralMessages reports whether the server sent more than one gRPC message, as only streaming calls do.
func (c *h2Conn) hasSeveralMessages(s *h2Stream) bool {
	if !s.grpc {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return grpcMessages(s.down.body()) > 1
}

// discardAnswer discards the buffered answer and everything that follows it.
func (c *h2Conn) discardAnswer(s *h2Stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.down.holding, s.down.dropping = false, true
	c.toClient.discardHeld(s)
}

// describe describes the answer. The lock is held.
func (s *h2Stream) describe() string {
	text := describeReply(s.status, int64(s.down.size))
	if s.code != "" {
		text += ", grpc-status " + s.code + " " + grpcName(s.code)
	}
	return text
}

// cannedAnswer returns an answer generated without the upstream. With a gRPC code it consists of trailers only.
func (s *h2Stream) cannedAnswer() (status int, detail string, frames []h2Frame) {
	rule := s.Rule()
	if s.grpc && rule.Code != "" {
		code := grpcCode(rule.Code)
		fields := []hpack.HeaderField{
			{Name: ":status", Value: "200"}, {Name: "content-type", Value: "application/grpc"},
			{Name: "grpc-status", Value: code}, {Name: "grpc-message", Value: grpcName(code) + " injected"},
		}
		if rule.RetryAfter > 0 {
			fields = append(fields, hpack.HeaderField{Name: "grpc-retry-pushback-ms", Value: strconv.FormatInt(rule.RetryAfter.Milliseconds(), 10)})
		}
		return 200, "answered with grpc-status " + code + " " + grpcName(code), []h2Frame{{kind: h2Headers, flags: flagEnd, fields: fields}}
	}
	fields := []hpack.HeaderField{{Name: ":status", Value: strconv.Itoa(rule.Status)}}
	if rule.RetryAfter > 0 {
		fields = append(fields, hpack.HeaderField{Name: "retry-after", Value: strconv.Itoa(int((rule.RetryAfter + time.Second - 1) / time.Second))})
	}
	text := []byte(strconv.Itoa(rule.Status) + " injected\n")
	if rule.Status == 204 || rule.Status == 304 {
		text = nil
	} else {
		fields = append(fields, hpack.HeaderField{Name: "content-type", Value: "text/plain"}, hpack.HeaderField{Name: "content-length", Value: strconv.Itoa(len(text))})
	}
	frames = []h2Frame{{kind: h2Headers, fields: fields}}
	if s.isHead || text == nil {
		frames[0].flags = flagEnd
	} else {
		frames = append(frames, h2Frame{kind: h2Data, flags: flagEnd, payload: text, cost: len(text), credited: true})
	}
	return rule.Status, "answered with status " + strconv.Itoa(rule.Status), frames
}

// goAway forwards the server's GOAWAY (RFC 9113, section 6.8). It translates the last stream ID, which may
// differ at the client, and resets the client's streams that the server will not process. The lock is held.
func (c *h2Conn) goAway(f *h2Frame) {
	last := binary.BigEndian.Uint32(f.payload) & h2MaxID
	if !c.modified || last == h2MaxID {
		c.toClient.add(f.raw)
		return
	}
	var top uint32
	for _, s := range c.streams {
		if s.isCall && s.serverID != 0 && s.serverID <= last {
			top = max(top, s.id)
		}
	}
	var held []*h2Stream
	if binary.BigEndian.Uint32(f.payload[4:]) == h2NoError {
		held = c.heldStreams()
	}
	for _, s := range held {
		c.alone, top = true, max(top, s.id)
	}
	binary.BigEndian.PutUint32(f.payload, top)
	c.toClient.add(f.raw)
	for _, s := range c.streams {
		if !slices.Contains(held, s) && s.isCall && s.id <= top && !s.blackholed && (s.serverID == 0 || s.serverID > last) && !s.down.ended {
			c.toClient.accept(s, &h2Frame{kind: h2Reset, payload: []byte{0, 0, 0, refusedStream}})
			s.up.dropping = true
		}
	}
}

// endStream ends the connection of a call that a rule lost, with all its streams; for silence, it ends only this
// stream. The other calls on the connection are lost.
func (c *h2Conn) endStream(s *h2Stream, ending Ending, lost func(Message)) {
	c.mu.Lock()
	s.status = 0
	if ending == EndSilence {
		s.blackholed, s.up.dropping, s.down.dropping = true, true, true
		c.mu.Unlock()
		return
	}
	s.down.ended = true
	var others []Message
	for _, other := range c.inOrder() {
		if other != s && other.isCall && !other.reported {
			others = append(others, other.msg)
		}
	}
	c.toClient.outputClosed = true
	c.mu.Unlock()
	for _, other := range others {
		lost(other)
	}
	if ending == EndClosed {
		_ = c.toClient.flush()
	}
	c.end(ending)
}

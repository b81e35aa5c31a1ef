package message

import (
	"encoding/binary"
	"strconv"
	"time"

	"golang.org/x/net/http2/hpack"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// answer looks at headers from the server: an interim answer, the head of the final one, or its trailers. The lock is held.
func (c *h2Conn) answer(s *h2Stream, f *h2Frame) {
	if f.ends() {
		s.code = field(f.fields, "grpc-status")
	}
	status, _ := strconv.Atoi(field(f.fields, ":status"))
	if !s.call || s.answered || status/100 == 1 {
		return
	}
	s.answered, s.status = true, status
	c.relay.passed(s.passes)
	rule := s.chosen.rule
	switch {
	case rule == nil || (rule.Do != LoseReply && (rule.Do != Twice || !rule.Second)):
	case c.plain:
		s.skipped = errNotH2.Error()
		c.relay.tell(rule, s.msg, evidence.Skipped, s.skipped)
	default:
		s.down.shut = s.grpc || rule.ending() == ThenHeld // it may have to go on
		s.down.drop = !s.down.shut
		c.take(s, &s.down, c.reply)
		return
	}
	c.relay.book(false, func(b *Books) { b.In++; b.Out++ })
}

// reply waits for the whole answer, so that the work was done, and does with it what the rule says.
func (c *h2Conn) reply(s *h2Stream) {
	rule := s.chosen.rule
	why := c.hear(&c.toClient, s, !s.grpc)
	if why == heardAll && c.streamed(s) {
		why = heardOn
	}
	switch why {
	case heardAll:
	case heardHalf: // the upstream's own failure, and shown as that
		c.relay.book(false, func(b *Books) { b.In++ })
		c.handOn(s, func(b *Books) { b.Out++ }, func(b *Books) { b.Withheld++ })
		return
	case heardOver:
		c.relay.book(false, func(b *Books) { b.In++; b.Withheld++ })
		return
	default:
		c.skipped(s, why, false)
		c.relay.book(false, func(b *Books) { b.In++ })
		c.handOn(s, func(b *Books) { b.Out++ }, func(b *Books) { b.Collateral++ })
		return
	}
	switch {
	case rule.Do == Twice:
		c.secondAnswer(s)
	case rule.ending() == ThenHeld:
		c.holdAnswer(s)
	default:
		c.swallow(s)
		c.relay.book(false, func(b *Books) { b.In++; b.Withheld++ })
		s.touched = true
		c.relay.applied(rule, s.msg, c.says(s)+" lost, then "+string(rule.ending()))
		c.endStream(s, rule.ending())
	}
}

// streamed tells whether the server said several messages of gRPC, which it does on streams only, however short.
func (c *h2Conn) streamed(s *h2Stream) bool {
	if !s.grpc {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return grpcMessages(s.down.body()) > 1
}

// handOn gives the client what was kept of an answer, if he still wants it.
func (c *h2Conn) handOn(s *h2Stream, out, not func(*Books)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.up.reset || s.down.drop || c.ended || c.ctx.Err() != nil {
		c.relay.book(false, not)
		s.status = 0
		s.down.shut = false
		c.toClient.forgo(s)
		return
	}
	c.relay.book(false, out)
	c.toClient.release(s)
}

// swallow drops what was kept of an answer, and what may follow it.
func (c *h2Conn) swallow(s *h2Stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.down.shut, s.down.drop = false, true
	c.toClient.forgo(s)
}

// holdAnswer keeps the answer until the rule is healed.
func (c *h2Conn) holdAnswer(s *h2Stream) {
	rule := s.chosen.rule
	c.relay.book(false, func(b *Books) { b.In++; b.Held++ })
	c.relay.tell(rule, s.msg, evidence.Held, c.says(s)+", until healed")
	s.touched = true
	rule.Count.Touch(1)
	if !c.until(rule) {
		c.relay.book(false, func(b *Books) { b.Held--; b.Withheld++ })
		return
	}
	c.relay.tell(rule, s.msg, evidence.Released, "")
	c.handOn(s, func(b *Books) { b.Held--; b.Out++ }, func(b *Books) { b.Held--; b.Collateral++ })
}

// says is what the answer was. More may still come on its stream: a reset, after the end.
func (c *h2Conn) says(s *h2Stream) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return s.says()
}

// says is what the answer was. The lock is held.
func (s *h2Stream) says() string {
	text := told(s.status, int64(s.down.size))
	if s.code != "" {
		text += ", grpc-status " + s.code + " " + grpcName(s.code)
	}
	return text
}

// locally gives the client what a rule gives it without the upstream.
func (c *h2Conn) locally(s *h2Stream) {
	rule := s.chosen.rule
	s.touched = true
	if rule.Do == LoseRequest {
		c.relay.applied(rule, s.msg, "request lost, then "+string(rule.ending()))
		c.endStream(s, rule.ending())
		return
	}
	status, detail, frames := s.canned()
	c.relay.applied(rule, s.msg, detail)
	c.relay.book(false, func(b *Books) { b.Injected++; b.Out++ })
	c.mu.Lock()
	defer c.mu.Unlock()
	s.answered, s.status = true, status
	if s.up.reset || c.ended {
		c.relay.book(false, func(b *Books) { b.Out--; b.Collateral++ })
		s.status, s.down.ended = 0, true
		return
	}
	for i := range frames {
		c.toClient.take(s, &frames[i])
	}
	c.toClient.call()
}

// canned is an answer given without the upstream: with a code of gRPC's, trailers only.
func (s *h2Stream) canned() (status int, detail string, frames []h2Frame) {
	rule := s.chosen.rule
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
	if s.asksHead || text == nil {
		frames[0].flags = flagEnd
	} else {
		frames = append(frames, h2Frame{kind: h2Data, flags: flagEnd, payload: text, cost: len(text), credited: true})
	}
	return rule.Status, "answered with status " + strconv.Itoa(rule.Status), frames
}

// goAway tells the client which of its streams the server looks at no more (RFC 9113, section 6.8): their numbers there are not the client's, and what
// is held has none yet. The lock is held.
func (c *h2Conn) goAway(f *h2Frame) {
	last := binary.BigEndian.Uint32(f.payload) & h2MaxID
	if !c.acted || last == h2MaxID {
		c.toClient.add(f.raw)
		return
	}
	var top uint32
	for _, s := range c.streams {
		if s.call && s.sid != 0 && s.sid <= last {
			top = max(top, s.id)
		}
	}
	binary.BigEndian.PutUint32(f.payload, top)
	c.toClient.add(f.raw)
	for _, s := range c.streams {
		if s.call && s.id <= top && !s.silent && (s.sid == 0 || s.sid > last) && !s.down.ended {
			c.toClient.take(s, &h2Frame{kind: h2Reset, payload: []byte{0, 0, 0, refusedStream}})
			s.up.drop = true
		}
	}
}

// endStream ends what a rule lost: the connection, and all that is on it, or with silence this stream alone.
func (c *h2Conn) endStream(s *h2Stream, then Ending) {
	c.mu.Lock()
	s.status = 0
	if then == ThenSilence {
		s.silent, s.up.drop, s.down.drop = true, true, true
		c.mu.Unlock()
		return
	}
	s.down.ended = true
	var behind []message
	for _, other := range c.inOrder() {
		if other != s && other.call && !other.told {
			behind = append(behind, other.msg)
		}
	}
	c.toClient.closed = true
	c.mu.Unlock()
	for _, msg := range behind {
		c.relay.tell(s.chosen.rule, msg, evidence.Collateral, "its connection ended with that of "+s.msg.op)
	}
	if then == ThenClosed {
		_ = c.toClient.flush()
	}
	c.end(then)
}

package http2

import (
	"encoding/binary"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize/english"
	"golang.org/x/net/http2/hpack"

	"github.com/firedrill-dev/firedrill/injector/message"
)

// answer processes headers from the server: an interim answer, the head of the final answer, or its trailers.
// The lock is held.
func (c *Conn) answer(s *stream, f *frame) {
	if f.endsStream() {
		s.code = field(f.fields, "grpc-status")
		s.guidance.Report()
	}
	if to := message.RedirectTarget(field(f.fields, "location")); to != "" {
		c.Relay.Told([]byte(to))
	}
	status := f.status()
	if !s.isCall || s.answer >= answerBegun || status/100 == 1 {
		return
	}
	s.answer, s.status = answerBegun, status
	if coding := contentCoding(f.fields); status/100 == 2 {
		s.guidance.Begin(coding, false)
	} else {
		s.guidance = nil
	}
	contentType := field(f.fields, "content-type")
	if s.eventStream = IsEventStream(contentType); isGRPC(contentType) {
		s.messages = &grpcEvents{}
	}
	c.Relay.CountPassed(s.Overtaken)
	rule, delayed := s.Rule(), len(s.ReplyDelays) > 0
	acts := rule != nil && (rule.Action.OfReply() || (rule.Action == message.Twice && rule.Second))
	if s.Does(message.EditReply) && !c.rulesDisabled {
		c.edit(s, &c.toClient, f)
		acts = false
	}
	switch {
	case !acts && !delayed:
	case c.rulesDisabled && acts:
		c.Relay.Skip(&s.Exchange, ErrNotHTTP2.Error())
	case c.rulesDisabled:
		s.Skipped = ErrNotHTTP2.Error()
	default:
		// An answer that may be forwarded later is held, any other is discarded.
		s.down.handling = dropping
		if !acts || s.grpc || delayed || s.Does(message.CorruptReply, message.TruncateReply, message.ReplaceReply, message.CutReply) || rule.Ending() == message.EndHeld {
			s.down.handling = holding
		}
		if coding := field(f.fields, "content-encoding"); s.Does(message.CutReply) && (s.grpc || s.eventStream && (coding == "" || coding == "identity")) {
			s.countEvents(rule.Events)
		}
		c.intercept(s, &s.down, func(s *stream) {
			_ = c.Relay.Reply(&s.Exchange, &replyCarrier{Conn: c, payload: payload{c, s, &c.toClient}, s: s, otherwise: message.Collateral})
		})
		return
	}
	reply := c.Relay.Received(message.ToClient)
	if s.down.handling == dropping || c.toClient.outputClosed {
		reply.End(message.Collateral)
		return
	}
	reply.End(message.Delivered)
}

// replyCarrier is an answer that a rule acts on. Its headers have been received.
type replyCarrier struct {
	*Conn
	payload
	s         *stream
	text      string          // description of the answer that was read
	otherwise message.Outcome // the outcome if the client does not get the answer
	done      bool            // the connection has ended
}

func (p *replyCarrier) Report(status int) { p.Relay.Report(&p.s.Exchange, status) }

func (p *replyCarrier) End(ending message.Ending, lost func(message.Message)) {
	p.endStream(p.s, ending, lost)
}

func (*replyCarrier) ServerIdle() {}

func (p *replyCarrier) String() string { return p.text }

func (p *replyCarrier) Read(keep bool, skip func(why string)) bool {
	s := p.s
	why := p.awaitWhole(&p.toClient, s, !s.grpc && !s.eventStream)
	if why == wholeMessage && p.hasSeveralMessages(s) {
		why = openEnded
	}
	switch why {
	case wholeMessage:
		p.Lock()
		p.text = s.describe() // a reset may still follow the end of the stream
		p.Unlock()
		if !keep {
			p.discardAnswer(s)
		}
		return true
	case truncatedMessage: // the failure of the upstream, forwarded as such
		p.otherwise = message.HeldBack
	case connectionOver:
		p.done = true
	default:
		skip(why)
	}
	return false
}

// Forward sends the client the buffered part of an answer, unless it no longer wants it.
func (p *replyCarrier) Forward() (message.Outcome, error) {
	if p.done {
		return message.HeldBack, nil
	}
	s := p.s
	p.Lock()
	defer p.Unlock()
	if s.up.state == laneReset || s.down.handling == dropping || p.toClient.outputClosed || p.EndedByRule() || p.Context().Err() != nil {
		s.status = 0
		s.down.stop(holding)
		p.toClient.discardHeld(s)
		return p.otherwise, nil
	}
	outcome := p.otherwise // discarded on arrival, and truncated
	if slices.ContainsFunc(s.down.queue, func(f frame) bool { return f.hasHeaders() }) {
		outcome = message.Delivered
	}
	p.toClient.release(s)
	return outcome, nil
}

func (p *replyCarrier) Deliver(written func()) (message.SecondAnswer, error) {
	return p.Conn.deliver(p.s, written)
}

// hasSeveralMessages reports whether the server sent more than one gRPC message, as only streaming calls do.
func (c *Conn) hasSeveralMessages(s *stream) bool {
	if !s.grpc {
		return false
	}
	c.Lock()
	defer c.Unlock()
	return grpcMessages(s.down.body()) > 1
}

// discardAnswer discards the buffered answer and everything that follows it.
func (c *Conn) discardAnswer(s *stream) {
	c.Lock()
	defer c.Unlock()
	s.down.handling = dropping
	c.toClient.discardHeld(s)
}

// describe describes the answer. The lock is held.
func (s *stream) describe() string {
	text := DescribeReply(s.status, int64(s.down.size))
	if s.code != "" {
		text += ", grpc-status " + s.code + " " + grpcName(s.code)
	}
	return text
}

// cannedAnswer returns an answer generated without the upstream. With a gRPC code it consists of trailers only.
func (s *stream) cannedAnswer() (status int, detail string, frames []frame) {
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
		return 200, "answered with grpc-status " + code + " " + grpcName(code), []frame{{kind: frameHeaders, flags: flagEnd, fields: fields}}
	}
	fields := []hpack.HeaderField{{Name: ":status", Value: strconv.Itoa(rule.Status)}}
	headers, body := CannedAnswer(rule.Rule)
	for _, h := range headers {
		fields = append(fields, hpack.HeaderField{Name: strings.ToLower(h.Name), Value: h.Value})
	}
	frames = []frame{{kind: frameHeaders, fields: fields}}
	if s.isHead || body == "" {
		frames[0].flags = flagEnd
	} else {
		frames = append(frames, frame{kind: frameData, flags: flagEnd, payload: []byte(body), cost: len(body), credited: true})
	}
	return rule.Status, "answered with status " + strconv.Itoa(rule.Status), frames
}

// HasBody reports whether a final answer with a status has a body.
func HasBody(status int) bool {
	return status != http.StatusNoContent && status != http.StatusNotModified
}

// CannedAnswer returns the headers, except for those of the connection, and the body of an answer of HTTP that a rule
// makes.
func CannedAnswer(rule message.Rule) (headers []message.Header, body string) {
	headers = rule.AnswerHeaders()
	if !HasBody(rule.Status) {
		return headers, ""
	}
	body = rule.Body
	if body == "" {
		body = strconv.Itoa(rule.Status) + " injected\n"
	}
	if !slices.ContainsFunc(headers, func(h message.Header) bool { return strings.EqualFold(h.Name, "Content-Type") }) {
		headers = append(headers, message.Header{Name: "Content-Type", Value: "text/plain"})
	}
	return append(headers, message.Header{Name: "Content-Length", Value: strconv.Itoa(len(body))}), body
}

// goAway forwards the server's GOAWAY (RFC 9113, section 6.8). It translates the last stream ID, which may
// differ at the client, and resets the client's streams that the server will not process. The lock is held.
func (c *Conn) goAway(f *frame) {
	last := binary.BigEndian.Uint32(f.payload) & maxStreamID
	if !c.modified || last == maxStreamID {
		c.toClient.add(f.raw)
		return
	}
	var top uint32
	for _, s := range c.streams {
		if s.isCall && s.serverID != 0 && s.serverID <= last {
			top = max(top, s.id)
		}
	}
	var held []*stream
	if binary.BigEndian.Uint32(f.payload[4:]) == noError {
		held = c.heldStreams()
	}
	for _, s := range held {
		c.alone, top = true, max(top, s.id)
	}
	binary.BigEndian.PutUint32(f.payload, top)
	c.toClient.add(f.raw)
	for _, s := range c.streams {
		if !slices.Contains(held, s) && s.isCall && s.id <= top && !s.blackholed && (s.serverID == 0 || s.serverID > last) && !s.down.ended() {
			c.toClient.accept(s, &frame{kind: frameReset, payload: []byte{0, 0, 0, refusedStream}})
			s.up.handling = dropping
		}
	}
}

// endStream ends the connection of a call that a rule lost, with all its streams; for silence, it ends only this
// stream. The other calls on the connection are lost.
func (c *Conn) endStream(s *stream, ending message.Ending, lost func(message.Message)) {
	c.Lock()
	s.status = 0
	if ending == message.EndSilence {
		s.blackholed, s.up.handling, s.down.handling = true, dropping, dropping
		c.Unlock()
		return
	}
	s.down.end(laneEnded)
	var others []message.Message
	for _, other := range c.inOrder() {
		if other != s && other.isCall && !other.reported {
			others = append(others, other.Message)
		}
	}
	c.toClient.outputClosed = true
	c.Unlock()
	for _, other := range others {
		lost(other)
	}
	if ending == message.EndClosed {
		_ = c.toClient.flush()
	}
	c.EndClient(ending)
}

// DescribeReply describes an answer of HTTP with a body of n bytes, for the evidence.
func DescribeReply(status int, n int64) string {
	return "status " + strconv.Itoa(status) + ", " + english.Plural(int(n), "byte", "")
}

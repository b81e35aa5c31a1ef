package message

import (
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// admit counts a request and evaluates the rules. An interception runs in a goroutine of its own. The lock is
// held.
func (c *h2Conn) admit(f *h2Frame) *h2Stream {
	s := &h2Stream{id: f.stream, isCall: true}
	c.lastClientID = f.stream
	c.streams[s.id] = s
	s.down.window = c.toClient.initial
	fields := f.fields
	s.start = time.Now()
	path, _, _ := strings.Cut(field(fields, ":path"), "?")
	s.msg = Message{
		conn: c.client.ID(), method: field(fields, ":method"), path: path, key: field(fields, "idempotency-key"), bytes: len(f.raw),
		header: func(name string) string {
			if strings.EqualFold(name, "host") {
				name = ":authority"
			}
			return field(fields, strings.ToLower(name))
		},
	}
	s.msg.op = s.msg.method + " " + path
	s.grpc = c.grpc && strings.HasPrefix(field(fields, "content-type"), "application/grpc")
	if s.grpc {
		s.msg.op = path
	}
	s.isHead = s.msg.method == "HEAD"
	s.hasLength = !s.grpc && field(fields, "content-length") != ""
	s.expects = strings.EqualFold(field(fields, "expect"), "100-continue")
	c.seq++
	s.msg.seq = c.seq
	if !c.rulesDisabled && s.grpc == c.grpc { // on a gRPC link, other requests are not calls
		c.relay.admit(&s.Exchange)
	}
	s.msg.header = nil
	s.request = c.relay.Received(ToServer)
	// LoseReply intercepts gRPC requests as well, because it skips streaming calls.
	if !s.intercepted() && !(s.grpc && s.does(LoseReply)) {
		s.request.End(Delivered)
		s.sentAt = s.start
		return s
	}
	s.up.holding = true
	c.intercept(s, &s.up, func(s *h2Stream) {
		c.gatherRequest(s)
		_ = c.relay.carry(&s.Exchange, &h2Request{h2Conn: c, h2Payload: h2Payload{c, s, &c.toServer}, s: s})
	})
	return s
}

// intercept starts the interception of one direction of a stream. The lock is held.
func (c *h2Conn) intercept(s *h2Stream, l *h2Lane, run func(*h2Stream)) {
	c.modified = true
	c.intercepts++
	s.intercepts++
	l.wake = make(chan struct{}, 1)
	c.relay.Begin()
	c.wg.Go(func() {
		defer c.relay.End()
		run(s)
		c.mu.Lock()
		defer c.mu.Unlock()
		l.wake = nil
		c.intercepts--
		s.intercepts--
		c.completeIfDone(s)
		c.toClient.scheduleFlush()
		c.changed.Broadcast()
	})
}

// skipStream records that the chosen rule cannot act on a stream. If delays is set, it skips the delays as well.
func (c *h2Conn) skipStream(s *h2Stream, why string, delays bool) {
	if delays {
		for _, d := range s.delays {
			c.relay.record(d.rule, s.msg, evidence.Skipped, why)
		}
		s.delays = nil
	}
	c.relay.skip(&s.Exchange, why)
}

// The results of awaitWhole. All but wholeMessage and connectionOver are reasons for skipping a rule or for
// forwarding what was received.
const (
	wholeMessage     = ""
	truncatedMessage = "its sender broke off"
	connectionOver   = "the connection is over"
	tooLargeMessage  = "too large"
	tooMuchHeld      = "what rules have in hand holds too many bytes"
	openEnded        = "stream"
)

// awaitWhole waits until a message is complete or cannot be completed. A sender that pauses for quietTime
// without ending its message is taken for an endless stream, unless the message is known to be finite.
func (c *h2Conn) awaitWhole(w *h2Way, s *h2Stream, finite bool) string {
	l := w.lane(s)
	c.mu.Lock()
	wake := l.wake
	c.mu.Unlock()
	quiet := time.NewTimer(quietTime)
	defer quiet.Stop()
	for {
		c.mu.Lock()
		truncated, ended, tooLarge, full := l.truncated, l.ended, l.size > int(c.relay.cfg.Whole) && !l.dropping, w.heldWeight > maxHeldWeight && !l.dropping
		c.mu.Unlock()
		switch {
		case truncated:
			return truncatedMessage
		case tooLarge:
			return tooLargeMessage + ": more than " + plural(int(c.relay.cfg.Whole), "byte")
		case full:
			return tooMuchHeld
		case ended:
			return wholeMessage
		}
		select {
		case <-wake:
			quiet.Reset(quietTime)
		case <-quiet.C:
			if !finite && w.idle.Load() {
				return openEnded
			}
			quiet.Reset(quietTime)
		case <-c.ctx.Done():
			return connectionOver
		}
	}
}

// gatherRequest holds a request until it is complete. A finite request that will be dropped is discarded on
// arrival.
func (c *h2Conn) gatherRequest(s *h2Stream) {
	rule := s.Rule()
	if s.expects {
		if rule != nil && !s.dropped() && !rule.Action.OfReply() && rule.Action != LoseRequest && rule.Action != Reorder {
			c.skipStream(s, "a request that waits for the server's consent", false)
		}
		return
	}
	if s.dropped() && !s.grpc {
		c.mu.Lock()
		s.up.dropping = true
		c.toServer.discardHeld(s)
		c.mu.Unlock()
	}
	why := c.awaitWhole(&c.toServer, s, s.hasLength || (s.dropped() && !s.grpc))
	c.mu.Lock()
	s.msg.bytes += s.up.size
	c.mu.Unlock()
	switch why {
	case wholeMessage, connectionOver:
	case truncatedMessage: // forward what was received
		s.delays, s.replyDelays = nil, nil
		s.chosen.Store(nil)
	case openEnded:
		if s.grpc || (rule != nil && !rule.Action.OfReply()) {
			c.skipStream(s, why, s.grpc)
		}
	default:
		if rule != nil && (s.grpc || !rule.Action.OfReply()) {
			c.skipStream(s, why, false)
		}
	}
}

// h2Request is an intercepted request.
type h2Request struct {
	*h2Conn
	h2Payload
	s       *h2Stream
	status  int // of the rule's answer
	answers []h2Frame
}

func (q *h2Request) Report(status int) { q.relay.report(&q.s.Exchange, status) }

func (q *h2Request) End(ending Ending, lost func(Message)) { q.endStream(q.s, ending, lost) }

func (q *h2Request) Forward() (Outcome, error) {
	s := q.s
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.endedByRule:
		return Collateral, nil
	case s.up.dropping: // truncated, or no longer wanted by the server
		s.up.holding = false
		q.toServer.discardHeld(s)
		return Dropped, nil
	case q.alone:
		q.mu.Unlock()
		defer q.mu.Lock()
		return q.sendAlone(s), nil
	}
	s.sentAt = time.Now()
	q.toServer.release(s)
	return Delivered, nil
}

func (q *h2Request) Drop() Outcome {
	s := q.s
	q.mu.Lock()
	s.up.dropping, s.up.holding = true, false
	q.toServer.discardHeld(s)
	ended := q.h2Conn.endedByRule || q.ctx.Err() != nil
	q.mu.Unlock()
	if ended {
		return Collateral
	}
	q.relay.Instead(&s.Exchange, q)
	return Dropped
}

func (q *h2Request) Instead() (detail string, err error) {
	q.status, detail, q.answers = q.s.cannedAnswer()
	return detail, nil
}

func (q *h2Request) Answer() Outcome {
	s := q.s
	q.mu.Lock()
	defer q.mu.Unlock()
	s.answerBegun, s.status = true, q.status
	if s.up.reset || q.endedByRule {
		s.status, s.down.ended = 0, true
		return Collateral
	}
	for i := range q.answers { // flushed when the rule is done with the stream, so that its call is reported first
		q.toClient.accept(s, &q.answers[i])
	}
	return Delivered
}

// Twice implements Carrier. The copy is sent on a connection of its own.
func (q *h2Request) Twice() error {
	q.mu.Lock()
	q.s.copy = slices.Clone(q.s.up.queue)
	q.mu.Unlock()
	return q.relay.twice(&q.s.Exchange, q, q.s.weight(), func(written func()) (second, error) { return q.deliver(q.s, written) })
}

// weight returns the memory usage of a copy of the request.
func (s *h2Stream) weight() int {
	n := s.msg.bytes
	for _, f := range s.copy {
		n += len(f.payload)
	}
	return n
}

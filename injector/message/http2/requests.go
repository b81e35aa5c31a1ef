package http2

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/injector/message"
)

// admit counts a request and evaluates the rules. An interception runs in a goroutine of its own. The lock is
// held.
func (c *Conn) admit(f *frame) *stream {
	s := &stream{id: f.stream, isCall: true}
	c.lastClientID = f.stream
	c.streams[s.id] = s
	s.down.window = c.toClient.initial
	fields := f.fields
	s.Start = time.Now()
	path, _, _ := strings.Cut(field(fields, ":path"), "?")
	s.Message = message.Message{
		Conn: c.Client.ID(), Topic: message.Topic{Method: field(fields, ":method"), Path: path}, Key: field(fields, "idempotency-key"), Bytes: len(f.raw),
		Header: func(name string) string {
			if strings.EqualFold(name, "host") {
				name = ":authority"
			}
			return field(fields, strings.ToLower(name))
		},
	}
	s.Message.Op = s.Message.Method + " " + path
	s.grpc = c.grpc && strings.HasPrefix(field(fields, "content-type"), "application/grpc")
	if s.grpc {
		s.Message.Op = path
	}
	s.guidance = NewGuidance(c.Relay, path)
	s.isHead = s.Message.Method == http.MethodHead
	s.hasLength = !s.grpc && field(fields, "content-length") != ""
	s.expects = strings.EqualFold(field(fields, "expect"), "100-continue")
	s.Message.Seq = c.NextSeq()
	if !c.rulesDisabled && s.grpc == c.grpc { // on a gRPC link, other requests are not calls
		c.Relay.Admit(&s.Exchange)
	}
	s.Message.Header = nil
	if s.Does(message.EditRequest) {
		c.edit(s, &c.toServer, f)
	}
	s.Ticket = c.Relay.Received(message.ToServer)
	// LoseReply intercepts gRPC requests as well, because it skips streaming calls.
	if !s.Intercepted() && !(s.grpc && s.Does(message.LoseReply)) {
		s.Ticket.End(message.Delivered)
		s.SentAt = s.Start
		return s
	}
	s.up.handling = holding
	c.intercept(s, &s.up, func(s *stream) {
		c.gatherRequest(s)
		_ = c.Relay.Carry(&s.Exchange, &requestCarrier{Conn: c, payload: payload{c, s, &c.toServer}, s: s})
	})
	return s
}

// intercept starts the interception of one direction of a stream. The lock is held.
func (c *Conn) intercept(s *stream, l *lane, run func(*stream)) {
	c.modified = true
	c.intercepts++
	s.intercepts++
	l.wake = make(chan struct{}, 1)
	c.Relay.Begin()
	c.Go(func() {
		defer c.Relay.End()
		run(s)
		c.Lock()
		defer c.Unlock()
		l.wake = nil
		c.intercepts--
		s.intercepts--
		c.completeIfDone(s)
		c.toClient.scheduleFlush()
		c.Broadcast()
	})
}

// skipStream records that the chosen rule cannot act on a stream. If delays is set, it skips the delays as well.
func (c *Conn) skipStream(s *stream, why string, delays bool) {
	if delays {
		c.Relay.SkipDelays(&s.Exchange, 0, why)
	}
	c.Relay.Skip(&s.Exchange, why)
}

// The results of awaitWhole, besides message.TooLarge. All but wholeMessage and connectionOver are reasons for
// skipping a rule or for forwarding what was received.
const (
	wholeMessage     = ""
	truncatedMessage = "its sender stopped before the end"
	connectionOver   = "the connection is over"
	tooMuchHeld      = "rules hold too many bytes already"
	openEnded        = "stream"
)

// awaitWhole waits until a message is complete or cannot be completed. A sender that pauses for QuietTime
// without ending its message is taken for an endless stream, unless the message is known to be finite.
func (c *Conn) awaitWhole(w *way, s *stream, finite bool) string {
	l := w.lane(s)
	c.Lock()
	wake := l.wake
	c.Unlock()
	quiet := time.NewTimer(QuietTime)
	defer quiet.Stop()
	for {
		c.Lock()
		kept := l.handling != dropping
		truncated, ended, tooLarge, full := l.truncated, l.ended(), kept && l.size > maxBuffered, kept && w.heldWeight > maxHeldWeight
		c.Unlock()
		switch {
		case truncated:
			return truncatedMessage
		case tooLarge:
			return message.TooLarge(maxBuffered)
		case full:
			return tooMuchHeld
		case ended:
			return wholeMessage
		}
		select {
		case <-wake:
			quiet.Reset(QuietTime)
		case <-quiet.C:
			if !finite && w.idle.Load() {
				return openEnded
			}
			quiet.Reset(QuietTime)
		case <-c.Context().Done():
			return connectionOver
		}
	}
}

// gatherRequest holds a request until it is complete. A finite request that will be dropped is discarded on
// arrival.
func (c *Conn) gatherRequest(s *stream) {
	rule := s.Rule()
	if s.expects {
		if rule != nil && !s.Dropped() && !rule.Action.OfReply() && rule.Action != message.LoseRequest && rule.Action != message.Reorder {
			c.skipStream(s, "a request that waits for the server's consent", false)
		}
		return
	}
	if s.Dropped() && !s.grpc {
		c.Lock()
		s.up.handling = dropping
		c.toServer.discardHeld(s)
		c.Unlock()
	}
	why := c.awaitWhole(&c.toServer, s, s.hasLength || (s.Dropped() && !s.grpc))
	c.Lock()
	s.Message.Bytes += s.up.size
	c.Unlock()
	switch why {
	case wholeMessage, connectionOver:
	case truncatedMessage: // forward what was received
		s.Delays, s.ReplyDelays = nil, nil
		s.SetRule(nil)
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

// requestCarrier is an intercepted request.
type requestCarrier struct {
	*Conn
	payload
	s       *stream
	status  int // of the rule's answer
	answers []frame
}

func (q *requestCarrier) Report(status int) { q.Relay.Report(&q.s.Exchange, status) }

func (q *requestCarrier) End(ending message.Ending, lost func(message.Message)) {
	q.endStream(q.s, ending, lost)
}

func (q *requestCarrier) Forward() (message.Outcome, error) {
	s := q.s
	q.Lock()
	defer q.Unlock()
	switch {
	case q.EndedByRule():
		return message.Collateral, nil
	case s.up.handling == dropping: // truncated, or no longer wanted by the server
		q.toServer.discardHeld(s)
		return message.Dropped, nil
	case q.alone:
		q.Unlock()
		defer q.Lock()
		return q.sendAlone(s), nil
	}
	s.SentAt = time.Now()
	q.toServer.release(s)
	return message.Delivered, nil
}

func (q *requestCarrier) Drop() message.Outcome {
	s := q.s
	q.Lock()
	s.up.handling = dropping
	q.toServer.discardHeld(s)
	ended := q.Conn.EndedByRule() || q.Context().Err() != nil
	q.Unlock()
	if ended {
		return message.Collateral
	}
	q.Relay.Instead(&s.Exchange, q)
	return message.Dropped
}

func (q *requestCarrier) Instead() (detail string, err error) {
	q.status, detail, q.answers = q.s.cannedAnswer()
	return detail, nil
}

func (q *requestCarrier) Answer() message.Outcome {
	s := q.s
	q.Lock()
	defer q.Unlock()
	s.answer, s.status = max(s.answer, answerBegun), q.status
	if s.up.state == laneReset || q.EndedByRule() {
		s.status = 0
		s.down.end(laneEnded)
		return message.Collateral
	}
	for i := range q.answers { // flushed when the rule is done with the stream, so that its call is reported first
		q.toClient.accept(s, &q.answers[i])
	}
	return message.Delivered
}

// Twice implements Carrier. The copy is sent on a connection of its own.
func (q *requestCarrier) Twice() error {
	q.Lock()
	q.s.copy = slices.Clone(q.s.up.queue)
	q.Unlock()
	return q.Relay.DeliverTwice(&q.s.Exchange, q, q.s.weight(), func(written func()) (message.SecondAnswer, error) { return q.deliver(q.s, written) })
}

// weight returns the memory usage of a copy of the request.
func (s *stream) weight() int {
	n := s.Message.Bytes
	for _, f := range s.copy {
		n += len(f.payload)
	}
	return n
}

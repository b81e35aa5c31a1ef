package framed

import (
	"errors"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/message/duplex"
)

// requestCarrier is an intercepted message to the server.
type requestCarrier struct {
	*connection
	bufferedPayload
	x    *exchange
	text []byte // the answer that the rule asks for
}

func (q *requestCarrier) Report(status int) { q.connection.report(q.x, status) }

func (q *requestCarrier) End(ending message.Ending, lost func(message.Message)) {
	q.endExchange(q.x, ending, lost)
}

func (q *requestCarrier) Forward() (message.Outcome, error) {
	q.upMu.Lock()
	outcome, err := q.writeRequest(q.x, q.raw)
	q.upMu.Unlock()
	if err != nil {
		return outcome, err
	}
	return outcome, q.flushToServer()
}

// Drop implements Carrier. The rule's answer or connection end is queued and takes effect in turn; for a message
// without an answer, it takes effect at once.
func (q *requestCarrier) Drop() message.Outcome {
	x := q.x
	if x.OneWay && x.Does(message.LoseRequest) {
		if !x.Rule().LosesOnlyMessage() {
			q.BeginWrite()
			defer q.EndWrite()
		}
		q.Relay.Instead(&x.Exchange, q)
		return message.Dropped
	}
	q.AnswerInTurn(x, func() { q.Relay.Instead(&x.Exchange, q) })
	_ = q.FlushToClient()
	return message.Dropped
}

// Instead implements Carrier. An error means that the client no longer listens for the answer.
func (q *requestCarrier) Instead() (detail string, err error) {
	q.text, err = q.refusal(q.x)
	return "answered with " + q.x.Rule().Code, err
}

func (q *requestCarrier) Answer() message.Outcome {
	status, outcome := done, message.Delivered
	if q.WriteMessage(q.text) != nil || q.ClientOut.Flush() != nil {
		status, outcome = 0, message.Collateral
	}
	if _, ok := q.dialect.(ClosesAfterRefusal); ok {
		q.Relay.EndConnection(&q.x.Exchange, q.x.Rule(), q, message.EndClosed)
		return outcome
	}
	q.Report(status)
	return outcome
}

// refusal returns the error message that the rule asks for.
func (c *connection) refusal(x *exchange) ([]byte, error) {
	c.Lock()
	defer c.Unlock()
	return c.dialect.(Refuser).Refuse(x.Rule().Code, x.frame)
}

// Twice implements Carrier.
func (q *requestCarrier) Twice() error {
	x, rule := q.x, q.x.Rule()
	duplicate := &exchange{frame: x.frame, Exchange: message.Exchange{Message: x.Message, Start: x.Start, OneWay: x.OneWay}, discardAnswer: true}
	duplicate.SetRule(rule)
	if rule.Late > 0 {
		outcome, err := q.Relay.Forward(&x.Exchange, q)
		if outcome == message.Delivered && err == nil {
			q.sendLater(duplicate, rule, q.raw)
		}
		return err
	}
	x.discardAnswer, duplicate.discardAnswer = rule.Second, !rule.Second
	if q.Context().Err() != nil {
		_, err := q.Relay.Forward(&x.Exchange, q)
		return err
	}
	return q.sendTwice(duplicate, rule)
}

// sendTwice sends a message and its copy back to back.
func (q *requestCarrier) sendTwice(duplicate *exchange, rule *message.Live) error {
	x := q.x
	duplicate.Ticket = q.Relay.Copied(message.ToServer)
	x.Affected, duplicate.Affected = true, true
	q.Relay.Applied(rule, x.Message, "delivered twice")
	q.upMu.Lock()
	outcome, err := q.writeRequest(x, q.raw)
	x.Ticket.End(outcome)
	if err == nil {
		outcome, err = q.writeRequest(duplicate, q.raw)
	}
	duplicate.Ticket.End(outcome)
	q.upMu.Unlock()
	if err != nil {
		q.Relay.Record(rule, x.Message, evidence.Collateral, "the server's connection had ended")
		return err
	}
	return q.flushToServer()
}

// sendLater sends a copy after a delay or on healing, once the connection is idle between messages. If the
// connection ends first, the copy is not sent.
func (c *connection) sendLater(duplicate *exchange, rule *message.Live, raw []byte) {
	c.Relay.Begin()
	c.Go(func() {
		defer c.Relay.End()
		timer := time.NewTimer(rule.Late)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-rule.Healed():
		case <-c.Context().Done():
		}
		c.upMu.Lock()
		defer c.upMu.Unlock()
		if why := c.noCopyReason(); why != "" {
			c.Relay.Record(rule, duplicate.Message, evidence.Skipped, why)
			return
		}
		later := time.Since(duplicate.Start).Round(time.Millisecond)
		duplicate.Ticket = c.Relay.Copied(message.ToServer)
		outcome, err := c.writeRequest(duplicate, raw)
		duplicate.Ticket.End(outcome)
		if err == nil {
			err = c.ServerOut.Flush()
		}
		if err != nil {
			c.Relay.Record(rule, duplicate.Message, evidence.Skipped, copyTooLate)
			return
		}
		c.Relay.Applied(rule, duplicate.Message, "delivered again "+later.String()+" later")
	})
}

const copyTooLate = "the connection ended before the copy was sent"

// noCopyReason returns why no copy can be sent now, or "" if one can.
func (c *connection) noCopyReason() string {
	c.Lock()
	defer c.Unlock()
	switch r, ok := c.dialect.(IdleReporter); {
	case c.InputDiscarded() || c.UpstreamDone() || c.Context().Err() != nil:
		return copyTooLate
	case c.IsPassthrough() || ok && !r.Idle():
		return "the connection was not idle when the copy was due"
	}
	return ""
}

// bufferedPayload is the payload of a buffered message.
type bufferedPayload struct {
	frame Frame
	raw   []byte
	trim  func(f Frame, raw []byte, n int) []byte // nil if the payload cannot be truncated
}

// payload returns the payload of a message.
func (c *connection) payload(f Frame, raw []byte) bufferedPayload {
	p := bufferedPayload{frame: f, raw: raw}
	if t, ok := c.dialect.(Trimmer); ok && !f.Uncuttable {
		p.trim = t.Trim
	}
	return p
}

func (p *bufferedPayload) Size(bool) int { return max(0, p.frame.Payload[1]-p.frame.Payload[0]) }

func (p *bufferedPayload) Damage(at int, cut bool) error {
	if cut {
		if p.trim == nil {
			return errors.New("its payload cannot be cut")
		}
		p.raw = p.trim(p.frame, p.raw, at)
		return nil
	}
	p.raw = append([]byte(nil), p.raw...)
	b := &p.raw[p.frame.Payload[0]+at]
	if *b ^= 0x01; *b == '\n' { // a line feed ends a message in some framings
		*b = '\t'
	}
	return nil
}

// endExchange ends the connection and reports the exchange: at once or, after silence, when the client has
// disconnected. The other pending messages are lost.
func (c *connection) endExchange(x *exchange, ending message.Ending, lost func(message.Message)) {
	c.EndClientWith(x, ending, func(other *exchange) { lost(other.Message) })
	if ending != message.EndSilence {
		c.report(x, 0)
	}
}

// stop handles the error that ended the reading of the client, or a write error from the server. raw is input that
// has not been forwarded.
func (c *connection) stop(raw []byte, err error) {
	switch {
	case duplex.IsWriteError(err):
		c.MarkUpstreamFailed()
		c.DiscardInput()
	case errors.Is(err, ErrNotUnderstood):
		c.passRequestsThrough(raw, err)
	default: // the client disconnected; forward what was received of the message
		if !c.InputDiscarded() {
			c.upMu.Lock()
			_, _ = c.ServerOut.Write(raw)
			c.upMu.Unlock()
		}
		_ = c.flushToServer()
		c.ClientClosed(err)
	}
}

// DiscardInput reads and discards the client's input until it ends.
func (c *connection) DiscardInput() {
	for {
		b, err := c.in.more(c.in.idle)
		if err != nil && !duplex.IsWriteError(err) {
			c.ClientClosed(err)
			return
		}
		c.in.used = len(b)
		c.in.idle = func() error { return nil }
	}
}

// OutlivesClient reports whether the answer to a pending call must be read to its end even if the client has
// disconnected. The lock is held.
func (c *connection) OutlivesClient() bool {
	for x := range c.Pending() {
		if x.Does(message.LoseReply, message.Twice) { // both answers arrive on this connection
			return true
		}
	}
	return false
}

// ReportUnanswered reports the calls that will not be answered.
func (c *connection) ReportUnanswered() {
	unanswered := c.TakePending()
	c.Lock()
	unanswered = append(unanswered, c.ids.clear()...)
	c.Unlock()
	c.reportAll(unanswered)
}

func (c *connection) reportAll(all []*exchange) {
	for _, x := range all {
		if !x.discardAnswer {
			c.report(x, 0)
		}
	}
}

package message

import (
	"errors"
	"slices"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// framedRequest is an intercepted message to the server.
type framedRequest struct {
	*framedConn
	framedPayload
	x    *framedExchange
	text []byte // the answer that the rule asks for
}

func (q *framedRequest) Report(status int) { q.framedConn.report(q.x, status) }

func (q *framedRequest) End(ending Ending, lost func(Message)) { q.endExchange(q.x, ending, lost) }

func (q *framedRequest) Forward() (Outcome, error) {
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
func (q *framedRequest) Drop() Outcome {
	x := q.x
	if x.oneWay && x.does(LoseRequest) {
		if !x.Rule().losesOnlyMessage() {
			q.beginWrite()
			defer q.endWrite()
		}
		q.relay.Instead(&x.Exchange, q)
		return Dropped
	}
	x.localAnswer = func() { q.relay.Instead(&x.Exchange, q) }
	q.mu.Lock()
	q.pending = append(q.pending, x)
	q.mu.Unlock()
	q.answerLocally()
	_ = q.flushToClient()
	return Dropped
}

// Instead implements Carrier. An error means that the client no longer listens for the answer.
func (q *framedRequest) Instead() (detail string, err error) {
	q.text, err = q.refusal(q.x)
	return "answered with " + q.x.Rule().Code, err
}

func (q *framedRequest) Answer() Outcome {
	status, outcome := done, Delivered
	if q.writeMessage(q.text) != nil || q.cw.Flush() != nil {
		status, outcome = 0, Collateral
	}
	if _, ok := q.dialect.(closesAfterRefusal); ok {
		q.relay.end(&q.x.Exchange, q.x.Rule(), q, EndClosed)
		return outcome
	}
	q.Report(status)
	return outcome
}

// refusal returns the error message that the rule asks for.
func (c *framedConn) refusal(x *framedExchange) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dialect.(refuser).refuse(x.Rule().Code, x.frame)
}

// Twice implements Carrier.
func (q *framedRequest) Twice() error {
	x, rule := q.x, q.x.Rule()
	duplicate := &framedExchange{frame: x.frame, Exchange: Exchange{msg: x.msg, start: x.start, oneWay: x.oneWay}, discardAnswer: true}
	duplicate.chosen.Store(rule)
	if rule.Late > 0 {
		outcome, err := q.relay.Forward(&x.Exchange, q)
		if outcome == Delivered && err == nil {
			q.sendLater(duplicate, rule, q.raw)
		}
		return err
	}
	x.discardAnswer, duplicate.discardAnswer = rule.Second, !rule.Second
	if q.ctx.Err() != nil {
		_, err := q.relay.Forward(&x.Exchange, q)
		return err
	}
	return q.sendTwice(duplicate, rule)
}

// sendTwice sends a message and its copy back to back.
func (q *framedRequest) sendTwice(duplicate *framedExchange, rule *Live) error {
	x := q.x
	duplicate.request = q.relay.Copied(ToServer)
	x.affected, duplicate.affected = true, true
	q.relay.applied(rule, x.msg, "delivered twice")
	q.upMu.Lock()
	outcome, err := q.writeRequest(x, q.raw)
	x.request.End(outcome)
	if err == nil {
		outcome, err = q.writeRequest(duplicate, q.raw)
	}
	duplicate.request.End(outcome)
	q.upMu.Unlock()
	if err != nil {
		q.relay.record(rule, x.msg, evidence.Collateral, "the server's connection had ended")
		return err
	}
	return q.flushToServer()
}

// sendLater sends a copy after a delay or on healing, once the connection is idle between messages. If the
// connection ends first, the copy is not sent.
func (c *framedConn) sendLater(duplicate *framedExchange, rule *Live, raw []byte) {
	c.relay.Begin()
	c.wg.Go(func() {
		defer c.relay.End()
		timer := time.NewTimer(rule.Late)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-rule.healed:
		case <-c.ctx.Done():
			c.relay.record(rule, duplicate.msg, evidence.Skipped, "the connection ended before the copy left")
			return
		}
		c.upMu.Lock()
		defer c.upMu.Unlock()
		if !c.canDuplicate() {
			c.relay.record(rule, duplicate.msg, evidence.Skipped, "the connection was in the middle of something when the copy was to leave")
			return
		}
		duplicate.request = c.relay.Copied(ToServer)
		c.relay.applied(rule, duplicate.msg, "delivered again "+time.Since(duplicate.start).Round(time.Millisecond).String()+" later")
		outcome, err := c.writeRequest(duplicate, raw)
		duplicate.request.End(outcome)
		if err == nil {
			_ = c.uw.Flush()
		}
	})
}

// canDuplicate reports whether a copy may be sent now.
func (c *framedConn) canDuplicate() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, ok := c.dialect.(idleReporter)
	return !c.passthrough && !c.blackholed && !c.endedByRule && !c.upstreamFailed && c.ctx.Err() == nil && (!ok || r.idle())
}

// framedPayload is the payload of a buffered message.
type framedPayload struct {
	frame frame
	raw   []byte
	trim  func(f frame, raw []byte, n int) []byte // nil if the payload cannot be truncated
}

// payload returns the payload of a message.
func (c *framedConn) payload(f frame, raw []byte) framedPayload {
	p := framedPayload{frame: f, raw: raw}
	if t, ok := c.dialect.(trimmer); ok && !f.uncuttable {
		p.trim = t.trim
	}
	return p
}

func (p *framedPayload) Size(bool) int { return max(0, p.frame.payload[1]-p.frame.payload[0]) }

func (p *framedPayload) Damage(at int, cut bool) error {
	if cut {
		if p.trim == nil {
			return errors.New("its payload cannot be cut")
		}
		p.raw = p.trim(p.frame, p.raw, at)
		return nil
	}
	p.raw = append([]byte(nil), p.raw...)
	b := &p.raw[p.frame.payload[0]+at]
	if *b ^= 0x01; *b == '\n' { // a line feed ends a message in some framings
		*b = '\t'
	}
	return nil
}

// endExchange ends the connection as a rule asks and reports the exchange. The other pending messages are lost.
func (c *framedConn) endExchange(x *framedExchange, ending Ending, lost func(Message)) {
	c.mu.Lock()
	others := slices.Clone(c.pending)
	c.endedByRule = ending != EndSilence
	c.blackholed = ending == EndSilence
	if c.blackholed {
		c.pending = append([]*framedExchange{x}, c.pending...) // reported by finish, after the client has disconnected
	}
	c.changed.Broadcast()
	c.mu.Unlock()
	for _, other := range others {
		lost(other.msg)
	}
	_ = c.cw.Flush() // deliver earlier answers
	switch ending {
	case EndSilence:
		return
	case EndClosed:
		_ = c.client.CloseWrite()
	default:
		_ = c.client.Reset()
	}
	c.report(x, 0)
	c.cancel()
}

// stop handles the error that ended the reading of the client, or a sinkError from the server. raw is input that
// has not been forwarded.
func (c *framedConn) stop(raw []byte, err error) {
	switch {
	case isSinkError(err):
		c.markUpstreamFailed()
		c.discardInput()
	case errors.Is(err, errDialect):
		c.passRequestsThrough(raw, err)
	default: // the client disconnected; forward what was received of the message
		if !c.inputDiscarded() {
			c.upMu.Lock()
			_, _ = c.uw.Write(raw)
			c.upMu.Unlock()
		}
		_ = c.flushToServer()
		c.clientClosed(err)
	}
}

// discardInput reads and discards the client's input until it ends.
func (c *framedConn) discardInput() {
	for {
		b, err := c.in.more(c.in.idle)
		if err != nil && !isSinkError(err) {
			c.clientClosed(err)
			return
		}
		c.in.used = len(b)
		c.in.idle = func() error { return nil }
	}
}

// outlivesClient reports whether the answer to a pending call must be read to its end even if the client has
// disconnected. c.mu is held.
func (c *framedConn) outlivesClient() bool {
	for _, x := range c.pending {
		if x.does(LoseReply, Twice) { // both answers arrive on this connection
			return true
		}
	}
	return false
}

// reportUnanswered reports the calls that will not be answered.
func (c *framedConn) reportUnanswered() {
	c.mu.Lock()
	unanswered := append(c.pending, c.ids.clear()...)
	c.pending = nil
	c.mu.Unlock()
	c.reportAll(unanswered)
}

func (c *framedConn) reportAll(all []*framedExchange) {
	for _, x := range all {
		if !x.discardAnswer {
			c.report(x, 0)
		}
	}
}

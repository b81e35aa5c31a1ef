package http1

import (
	"io"
	"strconv"

	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/message/duplex"
)

// request processes one request. It returns the error that ended the client's input, or a write error from the
// upstream.
func (c *connection) request(x *exchange) error {
	if !x.Intercepted() {
		x.Ticket = c.Relay.Received(message.ToServer)
		return c.stream(x)
	}
	body, done, err := c.bufferBody(x)
	if done || err != nil {
		return err
	}
	c.beginHold() // first, so that whoever sees the request pending knows that it is held
	x.Ticket = c.Relay.Received(message.ToServer)
	err = c.Intercept(func() error {
		_, err := c.ClientIn.Peek(1)
		return err
	}, func() error {
		return c.Relay.Carry(&x.Exchange, &requestCarrier{connection: c, x: x, bufferedBody: bufferedBody{head: &x.head, body: body}})
	})
	if err != nil {
		return err
	}
	if x.head.expects && !x.Dropped() && c.Context().Err() == nil {
		_, err = copyBody(c.ServerOut, c.ClientIn, &x.head)
		return c.flushToServer(err)
	}
	return nil
}

// stream forwards a request while the client sends it.
func (c *connection) stream(x *exchange) error {
	outcome, err := c.send(x, nil)
	x.Ticket.End(outcome)
	if err != nil {
		return err
	}
	_, err = copyBody(c.ServerOut, c.ClientIn, &x.head)
	return c.flushToServer(err)
}

func (c *connection) flushToServer(err error) error {
	if err != nil {
		return err
	}
	if err := c.ServerOut.Flush(); err != nil {
		return duplex.WriteFailed(err)
	}
	return nil
}

// send enqueues the call and writes the head of the request, and body. It does not flush.
func (c *connection) send(x *exchange, body []byte) (message.Outcome, error) {
	x.Overtaken = c.Relay.OvertakenBy(x.Message)
	if !c.enqueue(x, false) {
		if err := c.redial(); err != nil {
			c.Relay.Report(&x.Exchange, 0)
			return message.Collateral, err
		}
		c.enqueue(x, true)
	}
	_, err := c.ServerOut.Write(x.head.raw)
	if err == nil {
		_, err = c.ServerOut.Write(body)
	}
	if err != nil {
		return message.Collateral, duplex.WriteFailed(err)
	}
	c.Relay.Wrote(message.ToServer)
	if !x.Does(message.Twice) {
		x.head.raw = nil // not needed while the call is pending, which may take long
	}
	return message.Delivered, nil
}

// bufferBody reads a request's body, so that the client can be watched while the request waits and the request
// can be sent twice. The body of a dropped request is discarded, that of a client waiting for 100 Continue is
// not read. done means that the request has been processed: its body was too large and was forwarded after the
// delays, and any other rule was skipped.
func (c *connection) bufferBody(x *exchange) (body []byte, done bool, err error) {
	switch {
	case x.head.expects:
		return nil, false, nil
	case x.Dropped():
		if _, err = copyBody(nil, c.ClientIn, &x.head); err != nil {
			x.Ticket = c.Relay.Received(message.ToServer)
			x.Ticket.End(message.Dropped)
		}
		return nil, false, err
	}
	into := &duplex.Spill{Limit: int64(maxBuffered), OnOverflow: func() (io.Writer, error) {
		done = true
		if rule := x.Rule(); rule != nil && !rule.Action.OfReply() {
			c.Relay.Skip(&x.Exchange, message.TooLarge(maxBuffered))
		}
		c.beginHold()
		if c.Relay.Sleep(c.Context(), x.Delays, x.Message) {
			x.Affected = true
			c.Outlived()
		}
		x.Ticket = c.Relay.Received(message.ToServer)
		outcome, err := c.send(x, nil)
		x.Ticket.End(outcome)
		return c.ServerOut, err
	}}
	_, err = copyBody(into, c.ClientIn, &x.head)
	switch {
	case done:
		err = c.flushToServer(err)
	case err != nil: // forward what was received
		x.Ticket = c.Relay.Received(message.ToServer)
		x.Delays, x.ReplyDelays = nil, nil
		x.SetRule(nil)
		outcome, serr := c.send(x, into.Buf)
		x.Ticket.End(outcome)
		if serr = c.flushToServer(serr); serr != nil {
			err = serr
		}
	default:
		x.Message.Bytes += len(into.Buf)
	}
	return into.Buf, done, err
}

// requestCarrier is an intercepted request. It is complete, except for the body of a client that waits for 100
// Continue.
type requestCarrier struct {
	*connection
	bufferedBody
	x *exchange
}

func (q *requestCarrier) Forward() (message.Outcome, error) {
	outcome, err := q.send(q.x, q.body)
	return outcome, q.flushToServer(err)
}

// Drop implements Carrier. The substitute for the answer is queued, so that it is sent in turn.
func (q *requestCarrier) Drop() message.Outcome {
	q.cancelHold()
	q.AnswerInTurn(q.x, func() {
		q.x.GaveUpAt = q.ClientClosedAt()
		q.Relay.Instead(&q.x.Exchange, q)
	})
	return message.Dropped
}

func (q *requestCarrier) Instead() (string, error) {
	return "answered with status " + strconv.Itoa(q.x.Rule().Status), nil
}

func (q *requestCarrier) Answer() message.Outcome {
	rule, head := q.x.Rule(), &q.x.head
	closing := head.close || head.expects || head.method == "CONNECT" // a client that waits for 100 Continue has not sent its body
	status, outcome := rule.Status, message.Delivered
	err := q.WriteMessage(cannedAnswer(rule.Rule, closing, head.method == "HEAD"))
	if q.ClientOut.Flush() != nil || err != nil {
		status, outcome = 0, message.Collateral
	}
	q.Report(status)
	if closing {
		q.EndClient(message.EndClosed)
	}
	return outcome
}

// Twice implements Carrier. The copy is sent on a connection of its own.
func (q *requestCarrier) Twice() error {
	q.x.body = q.body
	return q.Relay.DeliverTwice(&q.x.Exchange, q, len(q.x.head.raw)+len(q.body), func(written func()) (message.SecondAnswer, error) { return q.deliver(q.x, written) })
}

func (q *requestCarrier) Report(status int) { q.Relay.Report(&q.x.Exchange, status) }

func (q *requestCarrier) End(ending message.Ending, lost func(message.Message)) {
	q.endExchange(q.x, ending, lost)
}

// endExchange ends the connection and reports the call: at once or, after silence, when the caller has
// disconnected. The other pending messages are lost.
func (c *connection) endExchange(x *exchange, ending message.Ending, lost func(message.Message)) {
	c.EndClientWith(x, ending, func(other *exchange) { lost(other.Message) })
	if ending != message.EndSilence {
		c.Relay.Report(&x.Exchange, 0)
	}
}

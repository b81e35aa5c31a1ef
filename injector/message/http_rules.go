package message

import (
	"io"
	"slices"
	"strconv"
)

// request processes one request. It returns the error that ended the client's input, or a sinkError from the
// upstream.
func (c *httpConn) request(x *httpExchange) error {
	if !x.intercepted() {
		x.request = c.relay.Received(ToServer)
		return c.stream(x)
	}
	body, done, err := c.bufferBody(x)
	if done || err != nil {
		return err
	}
	x.request = c.relay.Received(ToServer)
	c.relay.Begin()
	c.beginHold()
	x.done = make(chan struct{})
	var sendErr error
	c.wg.Go(func() {
		defer c.relay.End()
		defer close(x.done)
		sendErr = c.relay.carry(&x.Exchange, &httpRequest{httpConn: c, x: x, httpBody: httpBody{head: &x.head, body: body}})
	})
	// Watch the client meanwhile. Further input stays in the buffer behind this request.
	_, err = c.cr.Peek(1)
	if err != nil {
		c.markClientClosed()
	}
	<-x.done
	if sendErr != nil || err != nil {
		return firstError(sendErr, err)
	}
	if x.head.expects && !x.dropped() && c.ctx.Err() == nil {
		_, err = copyBody(c.uw, c.cr, &x.head)
		return c.flushToServer(err)
	}
	return nil
}

// firstError returns the first error that is not nil.
func firstError(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// stream forwards a request while the client sends it.
func (c *httpConn) stream(x *httpExchange) error {
	outcome, err := c.send(x, nil)
	x.request.End(outcome)
	if err != nil {
		return err
	}
	_, err = copyBody(c.uw, c.cr, &x.head)
	return c.flushToServer(err)
}

func (c *httpConn) flushToServer(err error) error {
	if err != nil {
		return err
	}
	if err := c.uw.Flush(); err != nil {
		return sinkError{err}
	}
	return nil
}

// send enqueues the call and writes the head of the request, and body. It does not flush.
func (c *httpConn) send(x *httpExchange, body []byte) (Outcome, error) {
	x.overtaken = c.relay.overtakenBy(x.msg)
	if !c.enqueue(x, false) {
		if err := c.redial(); err != nil {
			c.relay.report(&x.Exchange, 0)
			return Collateral, err
		}
		c.enqueue(x, true)
	}
	_, err := c.uw.Write(x.head.raw)
	if err == nil {
		_, err = c.uw.Write(body)
	}
	if err != nil {
		return Collateral, sinkError{err}
	}
	c.relay.Wrote(ToServer)
	if !x.does(Twice) {
		x.head.raw = nil // not needed while the call is pending, which may take long
	}
	return Delivered, nil
}

// bufferBody reads a request's body, so that the client can be watched while the request waits and the request
// can be sent twice. The body of a dropped request is discarded, that of a client waiting for 100 Continue is
// not read. done means that the request has been processed: its body was too large and was forwarded after the
// delays, and any other rule was skipped.
func (c *httpConn) bufferBody(x *httpExchange) (body []byte, done bool, err error) {
	switch {
	case x.head.expects:
		return nil, false, nil
	case x.dropped():
		if _, err = copyBody(nil, c.cr, &x.head); err != nil {
			x.request = c.relay.Received(ToServer)
			x.request.End(Dropped)
		}
		return nil, false, err
	}
	into := &spill{limit: c.relay.cfg.Whole, onOverflow: func() (io.Writer, error) {
		done = true
		if rule := x.Rule(); rule != nil && !rule.Action.OfReply() {
			c.relay.skip(&x.Exchange, c.relay.tooLarge())
		}
		c.beginHold()
		if c.relay.sleep(c.ctx, x.delays, x.msg) {
			x.affected = true
			c.Outlived()
		}
		x.request = c.relay.Received(ToServer)
		outcome, err := c.send(x, nil)
		x.request.End(outcome)
		return c.uw, err
	}}
	_, err = copyBody(into, c.cr, &x.head)
	switch {
	case done:
		err = c.flushToServer(err)
	case err != nil: // forward what was received
		x.request = c.relay.Received(ToServer)
		x.delays, x.replyDelays = nil, nil
		x.chosen.Store(nil)
		outcome, serr := c.send(x, into.buf)
		x.request.End(outcome)
		if serr = c.flushToServer(serr); serr != nil {
			err = serr
		}
	default:
		x.msg.bytes += len(into.buf)
	}
	return into.buf, done, err
}

// tooLarge returns why a rule that needs a whole message cannot act on it.
func (r *Relay) tooLarge() string { return "too large: more than " + plural(int(r.cfg.Whole), "byte") }

// httpRequest is an intercepted request. It is complete, except for the body of a client that waits for 100
// Continue.
type httpRequest struct {
	*httpConn
	httpBody
	x *httpExchange
}

func (q *httpRequest) Forward() (Outcome, error) {
	outcome, err := q.send(q.x, q.body)
	return outcome, q.flushToServer(err)
}

// Drop implements Carrier. The substitute for the answer is queued, so that it is sent in turn.
func (q *httpRequest) Drop() Outcome {
	q.cancelHold()
	q.x.localAnswer = func() { q.relay.Instead(&q.x.Exchange, q) }
	q.mu.Lock()
	q.pending = append(q.pending, q.x)
	q.mu.Unlock()
	q.answerLocally()
	return Dropped
}

func (q *httpRequest) Instead() (string, error) {
	return "answered with status " + strconv.Itoa(q.x.Rule().Status), nil
}

func (q *httpRequest) Answer() Outcome {
	rule, head := q.x.Rule(), &q.x.head
	closing := head.close || head.expects || head.method == "CONNECT" // a client that waits for 100 Continue has not sent its body
	status, outcome := rule.Status, Delivered
	err := q.writeMessage(cannedAnswer(rule.Status, rule.RetryAfter, closing, head.method == "HEAD"))
	if q.cw.Flush() != nil || err != nil {
		status, outcome = 0, Collateral
	}
	q.Report(status)
	if closing {
		q.httpConn.end(EndClosed)
	}
	return outcome
}

// Twice implements Carrier. The copy is sent on a connection of its own.
func (q *httpRequest) Twice() error {
	q.x.body = q.body
	return q.relay.twice(&q.x.Exchange, q, len(q.x.head.raw)+len(q.body), func(written func()) (second, error) { return q.deliver(q.x, written) })
}

func (q *httpRequest) Report(status int) { q.relay.report(&q.x.Exchange, status) }

func (q *httpRequest) End(ending Ending, lost func(Message)) { q.endExchange(q.x, ending, lost) }

// endExchange ends the connection and reports the call: at once or, after silence, when the caller has
// disconnected. The other pending messages are lost.
func (c *httpConn) endExchange(x *httpExchange, ending Ending, lost func(Message)) {
	c.mu.Lock()
	others := slices.Clone(c.pending)
	if ending == EndSilence {
		c.pending = slices.Insert(c.pending, 0, x) // reported by finish
	}
	c.mu.Unlock()
	for _, other := range others {
		lost(other.msg)
	}
	c.end(ending)
	if ending != EndSilence {
		c.relay.report(&x.Exchange, 0)
	}
}

func (r Rule) ending() Ending {
	if r.EndWith == "" {
		return EndReset
	}
	return r.EndWith
}

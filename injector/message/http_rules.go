package message

import (
	"io"
	"slices"
	"strconv"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// request carries one request to its fate. Its error is the end of the client's bytes, or a sinkError where the upstream's is.
func (c *httpConn) request(x *exchange) error {
	rule := x.chosen.rule
	if len(x.chosen.delays) == 0 && (rule == nil || rule.Do == LoseReply) {
		c.relay.book(true, func(b *Books) { b.In++ })
		return c.stream(x)
	}
	body, done, err := c.keep(x)
	if done || err != nil {
		return err
	}
	c.relay.book(true, func(b *Books) { b.In++; b.Held++ })
	c.relay.begin()
	x.sent = make(chan struct{})
	var sendErr error
	c.wg.Go(func() {
		defer c.relay.end()
		defer close(x.sent)
		sendErr = c.fate(x, body)
	})
	// The client is watched meanwhile. What it says next stays behind this request.
	_, err = c.cr.Peek(1)
	if err != nil {
		c.leave()
	}
	<-x.sent
	if sendErr != nil || err != nil {
		return max2(sendErr, err)
	}
	if x.head.expects && !x.dropped() && c.ctx.Err() == nil {
		_, err = copyBody(c.uw, c.cr, &x.head)
		return c.flushUp(err)
	}
	return nil
}

// max2 prefers the first error.
func max2(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// dropped tells whether the request is not to reach the upstream.
func (x *exchange) dropped() bool {
	r := x.chosen.rule
	return r != nil && (r.Do == Answer || (r.Do == LoseRequest && r.ending() != ThenHeld))
}

// stream passes a request on as the client sends it.
func (c *httpConn) stream(x *exchange) error {
	if err := c.send(x, nil); err != nil {
		return err
	}
	_, err := copyBody(c.uw, c.cr, &x.head)
	return c.flushUp(err)
}

func (c *httpConn) flushUp(err error) error {
	if err != nil {
		return err
	}
	if err := c.uw.Flush(); err != nil {
		return sinkError{err}
	}
	return nil
}

// send enters the exchange into what the client is owed and writes its head, and its body where that is at hand. It does not flush.
func (c *httpConn) send(x *exchange, body []byte) error {
	c.relay.book(true, func(b *Books) { b.Out++ })
	x.passes = c.relay.passing(x.msg)
	c.mu.Lock()
	c.owed = append(c.owed, x)
	c.mu.Unlock()
	_, err := c.uw.Write(x.head.raw)
	if err == nil {
		_, err = c.uw.Write(body)
	}
	if err != nil {
		c.relay.book(true, func(b *Books) { b.Out--; b.Collateral++ })
		return sinkError{err}
	}
	if r := x.chosen.rule; r == nil || r.Do != Twice {
		x.head.raw = nil // it may be owed for long
	}
	return nil
}

// keep reads a request's body, so that the client can be watched while the request waits, and that it can be sent twice. One that is not to arrive is
// read away. Done means that there is nothing left to do: a larger body passed after its delays, and any other rule is told as skipped. The body of a client that
// waits for 100 Continue is not read.
func (c *httpConn) keep(x *exchange) (body []byte, done bool, err error) {
	switch {
	case x.head.expects:
		return nil, false, nil
	case x.dropped():
		if _, err = copyBody(nil, c.cr, &x.head); err != nil {
			c.relay.book(true, func(b *Books) { b.In++; b.Dropped++ })
		}
		return nil, false, err
	}
	into := &spill{limit: c.relay.cfg.Whole, large: func() (io.Writer, error) {
		done = true
		if r := x.chosen.rule; r != nil && r.Do != LoseReply {
			c.skip(x, "too large: more than "+plural(int(c.relay.cfg.Whole), "byte"))
		}
		x.touched = c.sleep(x.chosen.delays, x.msg) || x.touched
		c.relay.book(true, func(b *Books) { b.In++ })
		return c.uw, c.send(x, nil)
	}}
	_, err = copyBody(into, c.cr, &x.head)
	switch {
	case done:
		err = c.flushUp(err)
	case err != nil: // what came of it goes on, as it would have
		c.relay.book(true, func(b *Books) { b.In++ })
		x.chosen = chosen{}
		if serr := c.flushUp(c.send(x, into.buf)); serr != nil {
			err = serr
		}
	default:
		x.msg.bytes += len(into.buf)
	}
	return into.buf, done, err
}

// fate lets a request wait as its rules say, and then meet what was chosen for it.
func (c *httpConn) fate(x *exchange, body []byte) error {
	x.touched = c.sleep(x.chosen.delays, x.msg) || x.touched
	rule := x.chosen.rule
	switch {
	case x.dropped():
		c.relay.book(true, func(b *Books) { b.Held--; b.Dropped++ })
		c.locally(x)
		return nil
	case rule == nil:
	case rule.Do == LoseRequest: // held
		x.touched = true
		c.hold(rule, x.msg)
	case rule.Do == Reorder:
		x.skipped, x.touched = c.reorder(rule, x.msg)
	case rule.Do == Corrupt || rule.Do == Truncate:
		body = c.spoil(x, body)
	case rule.Do == Twice:
		x.body = body
		x.touched = rule.Second || c.reserve(x, x.weight(body))
		if x.touched && !rule.Second {
			return c.sendTwice(x, body)
		}
	}
	return c.sendHeld(x, body)
}

// sendTwice sends a request, and its copy beside it or later.
func (c *httpConn) sendTwice(x *exchange, body []byte) error {
	err := c.sendHeld(x, body)
	if err != nil || c.ctx.Err() != nil {
		c.release(x.weight(body))
		return err
	}
	c.copyLater(x, body)
	return nil
}

// sendHeld sends a request that waited, unless its connection is over.
func (c *httpConn) sendHeld(x *exchange, body []byte) error {
	if c.ctx.Err() != nil {
		c.relay.book(true, func(b *Books) { b.Held--; b.Collateral++ })
		return nil
	}
	c.relay.book(true, func(b *Books) { b.Held-- })
	return c.flushUp(c.send(x, body))
}

// locally owes the client what a rule gives it without the upstream, in its turn.
func (c *httpConn) locally(x *exchange) {
	rule := x.chosen.rule
	x.local = func() {
		x.touched = true
		if rule.Do == LoseRequest {
			c.relay.applied(rule, x.msg, "request lost, then "+string(rule.ending()))
			c.endWith(x, rule.ending())
			return
		}
		c.relay.applied(rule, x.msg, "answered with status "+strconv.Itoa(rule.Status))
		c.relay.book(false, func(b *Books) { b.Injected++; b.Out++ })
		closing := x.head.close || x.head.expects || x.head.method == "CONNECT" // a client that waits for 100 has not sent its body, and may never
		_, _ = c.cw.Write(canned(rule.Status, rule.RetryAfter, closing, x.head.method == "HEAD"))
		status := rule.Status
		if c.cw.Flush() != nil {
			status = 0
			c.relay.book(false, func(b *Books) { b.Out--; b.Collateral++ })
		}
		c.report(x, status)
		if closing {
			c.end(ThenClosed)
		}
	}
	c.mu.Lock()
	c.owed = append(c.owed, x)
	c.mu.Unlock()
	c.settle()
}

// endWith ends the connection and tells of the exchange: at once, or with silence when the caller has gone.
func (c *httpConn) endWith(x *exchange, then Ending) {
	c.mu.Lock()
	behind := slices.Clone(c.owed)
	c.mu.Unlock()
	for _, other := range behind {
		c.relay.tell(x.chosen.rule, other.msg, evidence.Collateral, "its connection ended with that of "+x.msg.op)
	}
	if then == ThenSilence {
		c.mu.Lock()
		c.owed = append([]*exchange{x}, c.owed...) // told by finish
		c.mu.Unlock()
	}
	c.end(then)
	if then != ThenSilence {
		c.report(x, 0)
	}
}

func (r Rule) ending() Ending {
	if r.Then == "" {
		return ThenReset
	}
	return r.Then
}

package message

import (
	"errors"
	"io"
	"strconv"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// settle gives the answers at the front of the queue that need no upstream, unless somebody else is writing: he settles when he is done.
func (c *httpConn) settle() {
	for {
		c.mu.Lock()
		if c.writing || len(c.owed) == 0 || c.owed[0].local == nil || c.silent || c.ended {
			c.mu.Unlock()
			return
		}
		x := c.owed[0]
		c.owed = c.owed[1:]
		x.gone = c.gone
		c.writing = true
		c.mu.Unlock()
		x.local()
		c.written()
	}
}

// front waits until nobody writes to the client, claims the writing, and returns what the upstream is to answer now; nil when it is asked for nothing.
// Muted tells that nothing which it says goes to the client any more.
func (c *httpConn) front() (x *exchange, muted bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.writing {
		c.changed.Wait()
	}
	c.writing = true
	muted = c.silent || c.ended
	if len(c.owed) == 0 || c.owed[0].local != nil {
		return nil, muted
	}
	return c.owed[0], muted
}

func (c *httpConn) readAnswers() error {
	for first := true; ; first = false {
		if _, err := c.ur.Peek(1); err != nil {
			return err
		}
		if first {
			if mux := c.muxed(); mux != nil {
				return mux.answers()
			}
		}
		x, muted := c.front()
		if muted { // whatever the upstream still says
			_, err := copyAll(io.Discard, c.ur)
			return err
		}
		var err error
		if x == nil {
			c.mu.Lock()
			c.spoke = true
			c.mu.Unlock()
			err = c.rest(nil)
		} else {
			err = c.answer(x)
		}
		if err != nil {
			return err
		}
		c.written()
		c.settle()
	}
}

// rest passes on what cannot be followed, and all that comes after it: an answer that nobody is owed, for one.
func (c *httpConn) rest(first []byte) error {
	c.mu.Lock()
	c.raw = true
	c.mu.Unlock()
	if err := c.write(first); err != nil {
		return err
	}
	_, err := copyAll(c.cw, c.ur)
	if err == nil {
		err = io.EOF
	}
	return err
}

// answer passes one answer on, or does with it what a rule says.
func (c *httpConn) answer(x *exchange) error {
	h := &c.said
	err := h.read(c.ur, false)
	if errors.Is(err, errNotHTTP) {
		return c.rest(h.raw)
	}
	if err != nil {
		_, _ = c.cw.Write(h.raw)
		_ = c.cw.Flush()
		return err
	}
	h.answers(x.head.method)
	if h.interim() {
		return c.flushDown(c.write(h.raw))
	}
	c.relay.passed(x.passes)
	switch rule := x.chosen.rule; {
	case rule != nil && rule.Do == LoseReply && rule.ending() == ThenHeld:
		return c.holdReply(x, h)
	case rule != nil && rule.Do == LoseReply:
		return c.loseReply(x, h)
	case rule != nil && rule.Do == Twice && rule.Second:
		return c.second(x, h)
	}
	return c.pass(x, h)
}

// flushDown sends the client what is held back; its errors, and err, are those of the client's side unless err tells better.
func (c *httpConn) flushDown(err error) error {
	if ferr := c.cw.Flush(); err == nil && ferr != nil {
		return sinkError{ferr}
	}
	return err
}

// pass gives the client the answer as it came.
func (c *httpConn) pass(x *exchange, h *head) error {
	switching := h.status == 101 || (x.head.method == "CONNECT" && h.status/100 == 2)
	if switching {
		c.mu.Lock()
		c.raw = true // before the client can know
		c.mu.Unlock()
	}
	c.relay.book(false, func(b *Books) { b.In++; b.Out++ })
	err := c.write(h.raw)
	if err == nil && !switching {
		_, err = copyBody(c.cw, c.ur, h)
	}
	return c.pay(x, h.status, err, switching)
}

// pay sends the last of an answer and tells of the call. The end of a body always is in our buffer still, so that whoever leaves on having read it all
// leaves after it was paid.
func (c *httpConn) pay(x *exchange, status int, err error, switching bool) error {
	c.paid(x)
	err = c.flushDown(err)
	if sunk(err) {
		c.relay.book(false, func(b *Books) { b.Out--; b.Collateral++ })
	}
	if err != nil {
		status = 0
	}
	c.report(x, status)
	if switching && err == nil || errors.Is(err, errNotHTTP) {
		return c.rest(nil)
	}
	return err
}

// paid takes the exchange at the front off the queue.
func (c *httpConn) paid(x *exchange) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.owed) > 0 && c.owed[0] == x {
		c.owed = c.owed[1:]
	}
	x.gone = c.gone
	c.changed.Broadcast()
}

// loseReply reads the whole answer, so that the work was done, and withholds it.
func (c *httpConn) loseReply(x *exchange, h *head) error {
	rule := x.chosen.rule
	n, err := copyBody(nil, c.ur, h)
	c.relay.book(false, func(b *Books) { b.In++; b.Withheld++ })
	if err != nil {
		return err // the upstream's own failure, and shown as that
	}
	x.touched = true
	c.relay.applied(rule, x.msg, told(h.status, n)+" lost, then "+string(rule.ending()))
	c.paid(x)
	c.endWith(x, rule.ending())
	return nil
}

// holdReply keeps the answer until the rule is healed; one that is too large goes on, and the rule is told as skipped.
func (c *httpConn) holdReply(x *exchange, h *head) error {
	rule, large := x.chosen.rule, false
	body := &spill{limit: c.relay.cfg.Whole, large: func() (io.Writer, error) {
		large = true
		c.skip(x, "too large: more than "+plural(int(c.relay.cfg.Whole), "byte"))
		c.relay.book(false, func(b *Books) { b.In++; b.Out++ })
		_, err := c.cw.Write(h.raw)
		return c.cw, err
	}}
	n, err := copyBody(body, c.ur, h)
	if large {
		return c.pay(x, h.status, err, false)
	}
	if err == nil {
		c.relay.begin()
		defer c.relay.end()
		c.relay.book(false, func(b *Books) { b.In++; b.Held++ })
		c.relay.tell(rule, x.msg, evidence.Held, told(h.status, n)+", until healed")
		x.touched = true
		rule.Count.Touch(1)
		if !c.until(rule) {
			c.relay.book(false, func(b *Books) { b.Held--; b.Withheld++ })
			return io.EOF
		}
		c.relay.tell(rule, x.msg, evidence.Released, "")
		c.relay.book(false, func(b *Books) { b.Held--; b.Out++ })
	} else {
		c.relay.book(false, func(b *Books) { b.In++; b.Out++ })
	}
	if werr := c.write(append(h.raw, body.buf...)); werr != nil {
		err = werr
	}
	return c.pay(x, h.status, err, false)
}

func told(status int, n int64) string {
	return "status " + strconv.Itoa(status) + ", " + plural(int(n), "byte")
}

package message

import (
	"errors"
	"io"
	"net"
	"strconv"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// settle gives the answers at the front of the queue that need no upstream.
func (c *httpConn) settle() {
	c.out.Lock()
	defer c.out.Unlock()
	c.settleLocked()
}

func (c *httpConn) settleLocked() {
	for {
		c.mu.Lock()
		if len(c.owed) == 0 || c.owed[0].local == nil || c.silent || c.ended {
			c.mu.Unlock()
			return
		}
		x := c.owed[0]
		c.owed = c.owed[1:]
		c.settled.Broadcast()
		c.mu.Unlock()
		_ = x.local()
	}
}

// answers reads what the upstream says, until it ends, and tells the client how it ended.
func (c *httpConn) answers() {
	err := c.readAnswers()
	if errors.Is(err, errEnded) {
		return
	}
	c.mu.Lock()
	over := c.ended || c.silent
	c.settled.Broadcast()
	c.mu.Unlock()
	if over {
		return
	}
	c.out.Lock()
	defer c.out.Unlock()
	_ = c.cw.Flush()
	var sink sinkError
	switch {
	case errors.As(err, &sink): // the client is gone
		if tcp, ok := c.up.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		c.cancel()
	case err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		_ = c.client.CloseWrite()
	default:
		_ = c.client.Reset()
		c.cancel()
	}
}

func (c *httpConn) readAnswers() error {
	for {
		if _, err := c.ur.Peek(1); err != nil {
			return err
		}
		c.out.Lock()
		err := c.nextAnswer()
		if err == nil {
			c.settleLocked()
			err = c.flushed()
		}
		c.out.Unlock()
		if err != nil {
			return err
		}
	}
}

// flushed sends on what is held back when the upstream has nothing more at hand.
func (c *httpConn) flushed() error {
	if c.ur.Buffered() > 0 {
		return nil
	}
	if err := c.cw.Flush(); err != nil {
		return sinkError{err}
	}
	return nil
}

// nextAnswer passes one answer on, or does with it what its rule says. An answer that nobody is owed makes the connection plain bytes.
func (c *httpConn) nextAnswer() error {
	c.mu.Lock()
	var x *exchange
	if len(c.owed) > 0 {
		x = c.owed[0]
	}
	c.mu.Unlock()
	if x == nil {
		_, err := copyAll(c.cw, c.ur)
		return ended(err)
	}
	h, err := readHead(c.ur, false)
	if err != nil {
		return c.unfollowed(h, err)
	}
	h.answers(x.head.method)
	if h.interim() {
		return c.write(h.raw)
	}
	c.relay.book(false, func(b *Books) { b.In++ })
	switch rule := x.chosen.rule; {
	case rule != nil && rule.Do == LoseReply:
		return c.loseReply(x, h)
	case rule != nil && rule.Do == Twice && rule.Second:
		return c.second(x, h)
	}
	return c.pass(x, h)
}

// ended makes the orderly end of plain bytes the end of the answers.
func ended(err error) error {
	if err == nil {
		return io.EOF
	}
	return err
}

func (c *httpConn) unfollowed(h *head, err error) error {
	if werr := c.write(h.raw); werr != nil {
		return werr
	}
	if !errors.Is(err, errNotHTTP) {
		return err
	}
	_, err = copyAll(c.cw, c.ur)
	return ended(err)
}

func (c *httpConn) write(p []byte) error {
	if _, err := c.cw.Write(p); err != nil {
		return sinkError{err}
	}
	return c.flushed()
}

// pass gives the client the answer as it came.
func (c *httpConn) pass(x *exchange, h *head) error {
	switching := h.status == 101 || (x.head.method == "CONNECT" && h.status/100 == 2)
	err := c.write(h.raw)
	if err == nil && !switching {
		_, err = copyBody(c.cw, c.ur, h)
	}
	if err == nil {
		err = c.flushed()
	}
	var sink sinkError
	if errors.As(err, &sink) {
		c.relay.book(false, func(b *Books) { b.Collateral++ })
	} else {
		c.relay.book(false, func(b *Books) { b.Out++ })
	}
	c.mu.Lock()
	c.raw = c.raw || switching
	c.mu.Unlock()
	c.paid(x)
	status := h.status
	if err != nil {
		status = 0
	}
	c.report(x, status)
	if err == nil && (switching || h.body == untilClose) {
		_, err = copyAll(c.cw, c.ur)
		return ended(err)
	}
	if errors.Is(err, errNotHTTP) {
		_, err = copyAll(c.cw, c.ur)
		return ended(err)
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
	c.settled.Broadcast()
}

// loseReply reads the whole answer, so that the work was done, and withholds it.
func (c *httpConn) loseReply(x *exchange, h *head) error {
	rule := x.chosen.rule
	if rule.ending() == ThenHeld {
		return c.holdReply(x, h)
	}
	n, err := copyBody(nil, c.ur, h)
	c.relay.book(false, func(b *Books) { b.Withheld++ })
	if err != nil {
		c.paid(x)
		c.report(x, 0)
		return err
	}
	x.touched = true
	c.relay.applied(rule, x.msg, told(h.status, n)+" lost, then "+string(rule.ending()))
	c.paid(x)
	if err := c.cw.Flush(); err != nil {
		return sinkError{err}
	}
	return c.endWith(x, rule.ending())
}

// holdReply keeps the answer until the rule is healed; one that is too large goes on, and the rule is told as skipped.
func (c *httpConn) holdReply(x *exchange, h *head) error {
	rule := x.chosen.rule
	large := false
	body := &spill{limit: c.relay.cfg.Whole, large: func() (io.Writer, error) {
		large = true
		c.skip(x, "larger than "+plural(int(c.relay.cfg.Whole), "byte"))
		return c.cw, c.write(h.raw)
	}}
	n, err := copyBody(body, c.ur, h)
	if !large && err == nil {
		c.relay.tell(rule, x.msg, evidence.Held, told(h.status, n)+" held until healed")
		x.touched = true
		c.relay.applied(rule, x.msg, "reply held")
		c.relay.begin()
		healed := c.until(rule)
		c.relay.end()
		if !healed {
			c.relay.book(false, func(b *Books) { b.Withheld++ })
			c.paid(x)
			c.report(x, 0)
			return errEnded
		}
		c.relay.tell(rule, x.msg, evidence.Released, "")
		if err = c.write(h.raw); err == nil {
			err = c.write(body.buf)
		}
	}
	c.relay.book(false, func(b *Books) { b.Out++ })
	c.paid(x)
	c.report(x, h.status)
	return err
}

// second reads the first answer away and gives the client the copy's.
func (c *httpConn) second(x *exchange, first *head) error {
	n, err := copyBody(nil, c.ur, first)
	c.relay.book(false, func(b *Books) { b.Swallowed++ })
	if err != nil {
		c.paid(x)
		c.report(x, 0)
		return err
	}
	c.relay.tell(x.chosen.rule, x.msg, evidence.Swallowed, told(first.status, n))
	<-x.copy.done
	if x.copy.conn != nil {
		defer x.copy.conn.Close()
	}
	c.paid(x)
	if x.copy.err != nil { // no second answer: what the client sees is a lost connection
		c.relay.tell(x.chosen.rule, x.msg, evidence.Collateral, "the copy had no answer: "+x.copy.err.Error())
		c.report(x, 0)
		return c.end(ThenReset)
	}
	if err = c.write(x.copy.head.raw); err == nil {
		_, err = copyBody(c.cw, x.copy.r, x.copy.head)
	}
	c.relay.book(false, func(b *Books) { b.Out++ })
	c.report(x, x.copy.head.status)
	if err == nil && x.copy.head.body == untilClose {
		return c.end(ThenClosed)
	}
	return err
}

func told(status int, n int64) string {
	return "status " + strconv.Itoa(status) + ", " + plural(int(n), "byte")
}

package message

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

func reason(status int) string { return http.StatusText(status) }

// request carries one request to its fate; false when the connection is over.
func (c *httpConn) request(x *exchange) bool {
	rule := x.chosen.rule
	if rule == nil && x.chosen.delay == 0 {
		return c.forward(x, c.stream(x))
	}
	if rule != nil {
		switch rule.Do {
		case Answer:
			return c.delayed(x) && c.answer(x)
		case LoseRequest:
			if rule.Then != ThenHeld {
				return c.delayed(x) && c.lose(x)
			}
		case LoseReply:
			if x.chosen.delay == 0 {
				return c.forward(x, c.stream(x))
			}
		}
	}
	return c.collected(x)
}

// collected reads the request whole, so that it can wait while the client is still watched, or be sent twice. A larger one is passed on at once,
// and the rule told as skipped; a delay alone is kept even then.
func (c *httpConn) collected(x *exchange) bool {
	large := false
	body := &spill{limit: c.relay.cfg.Whole, large: func() (io.Writer, error) {
		large = true
		if x.chosen.rule != nil && x.chosen.rule.Do != LoseReply {
			c.skip(x, "larger than "+plural(int(c.relay.cfg.Whole), "byte"))
		}
		c.sleep(x)
		c.owe(x)
		_, err := c.uw.Write(x.head.raw)
		return c.uw, err
	}}
	_, err := copyBody(body, c.cr, x.head)
	if large {
		return c.streamed(x, err)
	}
	if err != nil { // the client broke off: what came of the request goes on, as it would have
		return c.forward(x, func(w io.Writer) error { _, _ = w.Write(body.buf); return err })
	}
	x.msg.bytes += len(body.buf)
	c.relay.begin()
	c.wg.Go(func() {
		defer c.relay.end()
		c.waited(x, body.buf)
	})
	// The next request is looked at, so that the client's end is noticed, and stays behind this one.
	_, err = c.cr.Peek(1)
	if err != nil {
		c.noteGone()
	}
	<-x.sent
	return c.ctx.Err() == nil || err != nil
}

// streamed ends a request that turned out too large to hold.
func (c *httpConn) streamed(x *exchange, err error) bool {
	defer close(x.sent)
	if err == nil {
		err = c.uw.Flush()
	}
	var sink sinkError
	if err != nil {
		c.relay.book(true, func(b *Books) { b.Collateral++ })
		if errors.As(err, &sink) {
			c.drain()
		} else {
			c.clientGone(err)
		}
		return false
	}
	c.relay.book(true, func(b *Books) { b.Out++ })
	c.relay.passed()
	return true
}

func (c *httpConn) noteGone() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone.IsZero() {
		c.gone = time.Now()
	}
}

// waited lets the request wait as its rules say, and sends it on.
func (c *httpConn) waited(x *exchange, body []byte) {
	c.sleep(x)
	rule := x.chosen.rule
	switch {
	case rule == nil:
	case rule.Do == LoseRequest: // held
		c.relay.tell(rule, x.msg, evidence.Held, "until healed")
		x.touched = true
		c.relay.applied(rule, x.msg, "request held")
		if !c.until(rule) {
			c.relay.book(true, func(b *Books) { b.Dropped++ })
			close(x.sent)
			return
		}
		c.relay.tell(rule, x.msg, evidence.Released, "")
	case rule.Do == Reorder:
		c.reorder(x)
	case rule.Do == Twice:
		c.twice(x, body)
	}
	c.forward(x, func(w io.Writer) error {
		if _, err := w.Write(body); err != nil {
			return sinkError{err}
		}
		return nil
	})
}

// sleep waits for the delays, counts them, and is cut short when their rules heal.
func (c *httpConn) sleep(x *exchange) {
	if x.chosen.delay == 0 {
		return
	}
	timer := time.NewTimer(x.chosen.delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-x.chosen.delays[0].healed:
	case <-c.ctx.Done():
		return
	}
	x.touched = true
	for _, l := range x.chosen.delays {
		c.relay.applied(l, x.msg, "delayed by "+time.Since(x.start).Round(time.Millisecond).String())
	}
}

// delayed sleeps in place; false when the connection ended meanwhile.
func (c *httpConn) delayed(x *exchange) bool {
	c.sleep(x)
	return c.ctx.Err() == nil
}

// until waits for a rule to be healed; false when the connection ended first.
func (c *httpConn) until(l *live) bool {
	select {
	case <-l.healed:
		return true
	case <-c.ctx.Done():
		return false
	}
}

// answer reads the request away and owes the client the rule's answer.
func (c *httpConn) answer(x *exchange) bool {
	rule := x.chosen.rule
	closing := x.head.close || x.head.expects // a client that waits for 100 has not sent its body, and may never
	if !x.head.expects {
		if _, err := copyBody(nil, c.cr, x.head); err != nil {
			c.relay.book(true, func(b *Books) { b.Dropped++ })
			c.clientGone(err)
			return false
		}
	}
	c.relay.book(true, func(b *Books) { b.Dropped++ })
	x.local = func() error {
		text := canned(rule.Status, rule.RetryAfter, closing)
		if x.head.method == "HEAD" {
			i := strings.Index(string(text), "\r\n\r\n")
			text = text[:i+4]
		}
		x.touched = true
		c.relay.applied(rule, x.msg, "answered with status "+strconv.Itoa(rule.Status))
		c.relay.book(false, func(b *Books) { b.Injected++; b.Out++ })
		_, err := c.cw.Write(text)
		if err == nil {
			err = c.cw.Flush()
		}
		c.report(x, rule.Status)
		if closing {
			_ = c.end(ThenClosed)
		}
		return err
	}
	close(x.sent)
	c.owe(x)
	c.settle()
	return !closing && c.ctx.Err() == nil
}

// lose reads the request away; its connection ends when the answers before it are given.
func (c *httpConn) lose(x *exchange) bool {
	rule := x.chosen.rule
	if !x.head.expects {
		if _, err := copyBody(nil, c.cr, x.head); err != nil {
			c.relay.book(true, func(b *Books) { b.Dropped++ })
			c.clientGone(err)
			return false
		}
	}
	c.relay.book(true, func(b *Books) { b.Dropped++ })
	x.local = func() error {
		x.touched = true
		c.relay.applied(rule, x.msg, "request lost, then "+string(rule.ending()))
		return c.endWith(x, rule.ending())
	}
	close(x.sent)
	c.owe(x)
	c.settle()
	if c.ctx.Err() == nil {
		c.drain()
	}
	return false
}

// endWith ends the connection and reports the exchange: at once, or with silence when the caller has gone.
func (c *httpConn) endWith(x *exchange, then Ending) error {
	err := c.end(then)
	if then == ThenSilence {
		c.mu.Lock()
		c.owed = append(c.owed, x) // reported by finish
		c.mu.Unlock()
	} else {
		c.report(x, 0)
	}
	return err
}

func (r Rule) ending() Ending {
	if r.Then == "" {
		return ThenReset
	}
	return r.Then
}

// reorder keeps the request until others passed it.
func (c *httpConn) reorder(x *exchange) {
	rule := x.chosen.rule
	h, ok := c.relay.holdFor(rule)
	if !ok {
		x.skipped = "another is held already: it counts as one that passed"
		c.relay.tell(rule, x.msg, evidence.Skipped, x.skipped)
		return
	}
	c.relay.tell(rule, x.msg, evidence.Held, "")
	if c.relay.wait(c.ctx, h) {
		x.touched = true
		c.relay.tell(rule, x.msg, evidence.Released, "")
		c.relay.applied(rule, x.msg, plural(max(1, rule.Others), "other")+" passed it")
	} else {
		c.relay.tell(rule, x.msg, evidence.Expired, "became a mere delay")
	}
}

// copied is the second delivery of a request on a connection of its own.
type copied struct {
	conn net.Conn
	r    *bufio.Reader
	head *head
	err  error
	done chan struct{} // closed when head or err is there
}

// twice starts the second delivery, beside the first or late.
func (c *httpConn) twice(x *exchange, body []byte) {
	rule := x.chosen.rule
	x.copy = &copied{done: make(chan struct{})}
	x.touched = true
	c.relay.begin()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), 30*time.Second)
	go func() {
		defer c.relay.end()
		defer cancel()
		if rule.Late > 0 {
			timer := time.NewTimer(rule.Late)
			select {
			case <-timer.C:
			case <-rule.healed:
			}
			timer.Stop()
		}
		c.deliver(ctx, x, body)
		if !rule.Second {
			c.swallow(x)
		}
	}()
}

// deliver sends the copy and reads the head of its answer.
func (c *httpConn) deliver(ctx context.Context, x *exchange, body []byte) {
	defer close(x.copy.done)
	conn, err := c.dial(ctx)
	if err != nil {
		x.copy.err = err
		return
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	x.copy.conn, x.copy.r = conn, bufio.NewReader(conn)
	c.relay.applied(x.chosen.rule, x.msg, "delivered twice")
	c.relay.book(true, func(b *Books) { b.Copies++; b.Out++ })
	if _, err = conn.Write(append(append([]byte(nil), x.head.raw...), body...)); err != nil {
		x.copy.err = err
		return
	}
	for {
		h, err := readHead(x.copy.r, false)
		if err != nil {
			x.copy.err = err
			return
		}
		if h.answers(x.head.method); !h.interim() {
			x.copy.head = h
			c.relay.book(false, func(b *Books) { b.In++ })
			return
		}
	}
}

// swallow reads the copy's answer to its end and tells what it was.
func (c *httpConn) swallow(x *exchange) {
	if x.copy.conn != nil {
		defer x.copy.conn.Close()
	}
	if x.copy.err != nil {
		c.relay.tell(x.chosen.rule, x.msg, evidence.Swallowed, "the copy had no answer: "+x.copy.err.Error())
		return
	}
	n, _ := copyBody(nil, x.copy.r, x.copy.head)
	c.relay.book(false, func(b *Books) { b.Swallowed++ })
	c.relay.tell(x.chosen.rule, x.msg, evidence.Swallowed, told(x.copy.head.status, n))
}

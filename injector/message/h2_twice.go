package message

import (
	"bufio"
	"context"
	"errors"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// copyLater sends the second delivery beside the first, or late, whatever becomes of the connection, and swallows its answer.
func (c *h2Conn) copyLater(s *h2Stream) {
	rule, size := s.chosen.rule, s.weight()
	go func() {
		defer c.release(size)
		rule.late()
		d, err := c.deliver(s, rule)
		if err != nil {
			c.relay.tell(rule, s.msg, evidence.Swallowed, "the copy had no answer: "+err.Error())
			return
		}
		defer d.conn.Close()
		for f := (h2Frame{}); err == nil && !f.ends(); {
			f, err = d.next()
		}
		c.relay.book(false, func(b *Books) { b.Swallowed++ })
		c.relay.tell(rule, s.msg, evidence.Swallowed, d.answer.says())
	}()
}

// deliver sends the copy and waits for the head of its answer. With an error nothing is left open.
func (c *h2Conn) deliver(s *h2Stream, rule *live) (*h2Copy, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), copyTime)
	defer cancel()
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(copyTime))
	d := &h2Copy{conn: conn, reader: newH2Reader(bufio.NewReader(conn), nil), window: 65535, stream: 65535, initial: 65535}
	if err = d.send(s.copy); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	c.relay.book(true, func(b *Books) { b.Copies++; b.Out++ })
	c.relay.applied(rule, s.msg, "delivered twice")
	head, err := d.next()
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	d.early = append([]h2Frame{head}, d.early...)
	c.relay.book(false, func(b *Books) { b.In++ })
	return d, nil
}

// secondAnswer drops the first answer and gives the client the copy's, which leaves only now: it is the retry of a caller who never saw the first.
func (c *h2Conn) secondAnswer(s *h2Stream) {
	rule, first := s.chosen.rule, c.says(s)
	c.swallow(s)
	c.relay.book(false, func(b *Books) { b.In++; b.Swallowed++ })
	d, err := c.deliver(s, rule)
	c.relay.tell(rule, s.msg, evidence.Swallowed, first)
	if err != nil { // no second answer: what the client sees is a lost connection
		c.relay.tell(rule, s.msg, evidence.Collateral, "the copy had no answer: "+err.Error())
		c.endStream(s, ThenReset)
		return
	}
	defer d.conn.Close()
	c.relay.book(false, func(b *Books) { b.Out++ })
	c.mu.Lock()
	s.second, s.status = true, d.answer.status
	s.down = h2Lane{window: s.down.window, debt: s.down.debt, news: s.down.news}
	c.mu.Unlock()
	for {
		f, err := d.next()
		if err == nil && c.hand(s, &f) {
			if f.ends() {
				return
			}
			continue
		}
		c.relay.book(false, func(b *Books) { b.Out--; b.Collateral++ })
		if err != nil {
			c.endStream(s, ThenReset)
		}
		return
	}
}

// hand gives the client a part of the second answer, when he takes it; false when he wants no more.
func (c *h2Conn) hand(s *h2Stream, f *h2Frame) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(s.down.queue) > 0 && !s.up.reset && !c.ended && c.ctx.Err() == nil && c.toClient.err == nil {
		c.changed.Wait()
	}
	if s.up.reset || s.down.drop || c.ended || c.ctx.Err() != nil || c.toClient.err != nil {
		s.down.ended = true
		return false
	}
	c.toClient.take(s, f)
	c.toClient.call()
	return true
}

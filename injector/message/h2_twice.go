package message

import (
	"bufio"
	"context"
	"errors"
	"time"
)

// h2Second is the answer to a copy of a request.
type h2Second struct {
	*h2Conn
	s *h2Stream
	d *h2Copy
}

// deliver sends a copy and waits for the head of its answer. After an error, no connection is left open.
func (c *h2Conn) deliver(s *h2Stream, written func()) (second, error) {
	d, err := c.sendCopy(s.copy)
	if err != nil {
		return nil, err
	}
	written()
	if err := d.begin(); err != nil {
		return nil, errors.Join(err, d.conn.Close())
	}
	return &h2Second{c, s, d}, nil
}

func (a *h2Second) close() { _ = a.d.conn.Close() }

func (a *h2Second) discard() string {
	var err error
	for f := (h2Frame{}); err == nil && !f.endsStream(); {
		f, err = a.d.next()
	}
	return a.d.answer.describe()
}

func (a *h2Second) forward() (Outcome, error) {
	outcome, err := a.forwardAll(a.s, a.d)
	if err != nil {
		a.relay.end(&a.s.Exchange, a.s.Rule(), &h2Request{h2Conn: a.h2Conn, s: a.s}, EndReset)
	}
	return outcome, nil
}

// forwardAll forwards an answer from a connection of its own to the client. The error is of that connection.
func (c *h2Conn) forwardAll(s *h2Stream, d *h2Copy) (Outcome, error) {
	c.mu.Lock()
	s.secondAnswer, s.answerBegun, s.status = true, true, d.answer.status
	s.down = h2Lane{window: s.down.window, advanced: s.down.advanced, wake: s.down.wake}
	c.mu.Unlock()
	for {
		f, err := d.next()
		if err != nil {
			return Collateral, err
		}
		if !c.forwardFrame(s, &f) {
			return Collateral, nil
		}
		if f.endsStream() {
			return Delivered, nil
		}
	}
}

// sendCopy sends a request on a connection of its own.
func (c *h2Conn) sendCopy(request []h2Frame) (*h2Copy, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), copyTime)
	defer cancel()
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(copyTime))
	d := &h2Copy{conn: conn, reader: newH2Reader(bufio.NewReader(conn), nil), window: 65535, stream: 65535, initial: 65535}
	if err = d.send(request); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	c.relay.Wrote(ToServer)
	return d, nil
}

// forwardFrame forwards a frame of the second answer once the client can receive it. It returns false if the
// client no longer wants the answer.
func (c *h2Conn) forwardFrame(s *h2Stream, f *h2Frame) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(s.down.queue) > 0 && !s.up.reset && !c.endedByRule && c.ctx.Err() == nil && c.toClient.err == nil {
		c.changed.Wait()
	}
	if s.up.reset || s.down.dropping || c.endedByRule || c.ctx.Err() != nil || c.toClient.err != nil {
		s.down.ended = true
		return false
	}
	c.toClient.accept(s, f)
	c.toClient.scheduleFlush()
	return true
}

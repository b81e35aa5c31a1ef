package http2

import (
	"bufio"
	"errors"

	"github.com/firedrill-dev/firedrill/injector/message"
)

// secondAnswer is the answer to a copy of a request.
type secondAnswer struct {
	*Conn
	s *stream
	d *duplicate
}

// deliver sends a copy and waits for the head of its answer. After an error, no connection is left open.
func (c *Conn) deliver(s *stream, written func()) (message.SecondAnswer, error) {
	d, err := c.sendCopy(s.copy)
	if err != nil {
		return nil, err
	}
	written()
	if err := d.begin(); err != nil {
		return nil, errors.Join(err, d.conn.Close())
	}
	return &secondAnswer{c, s, d}, nil
}

func (a *secondAnswer) Close() { _ = a.d.conn.Close() }

func (a *secondAnswer) Discard() string {
	var err error
	for f := (frame{}); err == nil && !f.endsStream(); {
		f, err = a.d.next()
	}
	return a.d.answer.describe()
}

func (a *secondAnswer) Forward() (message.Outcome, error) {
	outcome, err := a.forwardAll(a.s, a.d)
	if err != nil {
		a.Relay.EndConnection(&a.s.Exchange, a.s.Rule(), &requestCarrier{Conn: a.Conn, s: a.s}, message.EndReset)
	}
	return outcome, nil
}

// forwardAll forwards an answer from a connection of its own to the client. The error is of that connection.
func (c *Conn) forwardAll(s *stream, d *duplicate) (message.Outcome, error) {
	c.Lock()
	s.secondAnswer, s.answer, s.status = true, max(s.answer, answerBegun), d.answer.status
	s.down = lane{window: s.down.window, advanced: s.down.advanced, wake: s.down.wake}
	c.Unlock()
	for {
		f, err := d.next()
		if err != nil {
			return message.Collateral, err
		}
		if !c.forwardFrame(s, &f) {
			return message.Collateral, nil
		}
		if f.endsStream() {
			return message.Delivered, nil
		}
	}
}

// sendCopy sends a request on a connection of its own.
func (c *Conn) sendCopy(request []frame) (*duplicate, error) {
	conn, err := c.DialCopy()
	if err != nil {
		return nil, err
	}
	d := &duplicate{conn: conn, reader: newReader(bufio.NewReader(conn), nil), window: 65535, stream: 65535, initial: 65535}
	if err = d.send(request); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	c.Relay.Wrote(message.ToServer)
	return d, nil
}

// forwardFrame forwards a frame of the second answer once the client can receive it. It returns false if the
// client no longer wants the answer.
func (c *Conn) forwardFrame(s *stream, f *frame) bool {
	c.Lock()
	defer c.Unlock()
	for len(s.down.queue) > 0 && s.up.state != laneReset && !c.EndedByRule() && c.Context().Err() == nil && c.toClient.err == nil {
		c.Wait()
	}
	if s.up.state == laneReset || s.down.handling == dropping || c.EndedByRule() || c.Context().Err() != nil || c.toClient.err != nil {
		s.down.end(laneEnded)
		return false
	}
	c.toClient.accept(s, f)
	c.toClient.scheduleFlush()
	return true
}

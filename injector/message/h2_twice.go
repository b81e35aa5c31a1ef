package message

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// h2Copy is the second delivery of a request, on a connection of its own: a client of HTTP/2 that asks once.
type h2Copy struct {
	conn                    net.Conn
	reader                  *h2Reader
	window, stream, initial int64 // what the server takes
	early                   []h2Frame
	answer                  h2Stream // what was read of it so far
}

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

// send says the preface and the request, as its windows let it.
func (d *h2Copy) send(request []h2Frame) error {
	b := appendH2Head([]byte(preface), 6, h2Settings, 0, 0)
	b = append(b, 0, 2, 0, 0, 0, 0) // SETTINGS_ENABLE_PUSH
	for _, f := range request {
		switch f.kind {
		case h2Headers:
			b = appendH2Block(b, 1, &f, tableless(f.fields))
		case h2Data:
			for {
				n := min(int64(len(f.payload)), h2Piece, max(0, d.window), max(0, d.stream))
				if n == 0 && len(f.payload) > 0 {
					if err := d.write(&b); err != nil {
						return err
					}
					if over, err := d.credit(); over || err != nil {
						return err
					}
					continue
				}
				part := f.payload[:n]
				f.payload = f.payload[n:]
				d.window, d.stream = d.window-n, d.stream-n
				flags := byte(0)
				if len(f.payload) == 0 {
					flags = f.flags & flagEnd
				}
				b = append(appendH2Head(b, len(part), h2Data, flags, 1), part...)
				if len(f.payload) == 0 {
					break
				}
			}
		}
	}
	return d.write(&b)
}

func (d *h2Copy) write(b *[]byte) error {
	_, err := d.conn.Write(*b)
	*b = (*b)[:0]
	return err
}

// credit waits for windows; over means that the server has answered already, and wants no more.
func (d *h2Copy) credit() (over bool, err error) {
	f, err := d.read()
	if err == nil && f.kind != h2Window {
		f.payload = append([]byte(nil), f.payload...)
		d.early = append(d.early, f)
	}
	return f.ends(), err
}

// next is the next frame of the answer: the final one's headers, DATA, or trailers.
func (d *h2Copy) next() (h2Frame, error) {
	for {
		var f h2Frame
		var err error
		if len(d.early) > 0 {
			f, d.early = d.early[0], d.early[1:]
		} else if f, err = d.read(); err != nil {
			return f, err
		}
		switch f.kind {
		case h2Data:
			d.answer.down.size += f.cost
			return f, nil
		case h2Headers:
			if d.heads(&f) {
				return f, nil
			}
		}
	}
}

// heads notes what headers say; false for those of an interim answer.
func (d *h2Copy) heads(f *h2Frame) bool {
	if status, err := strconv.Atoi(field(f.fields, ":status")); err == nil {
		if status/100 == 1 {
			return false
		}
		d.answer.status = status
	}
	if f.ends() {
		d.answer.code = field(f.fields, "grpc-status")
	}
	return true
}

// read reads a frame that concerns the request, or credit for it; whatever else the server wants it is given here.
func (d *h2Copy) read() (h2Frame, error) {
	for {
		f, err := d.reader.read()
		if err != nil {
			return f, err
		}
		f.raw = nil
		ours := f.stream == 1
		switch {
		case f.kind == h2Settings && f.flags&flagEnd == 0:
			for p := f.payload; len(p) >= 6; p = p[6:] {
				if binary.BigEndian.Uint16(p) == h2InitialWindow {
					initial := int64(binary.BigEndian.Uint32(p[2:]))
					d.stream, d.initial = d.stream+initial-d.initial, initial
				}
			}
			err = d.say(appendH2Head(nil, 0, h2Settings, flagEnd, 0))
			f.kind = h2Window // it may be credit
			return f, err
		case f.kind == h2Ping && f.flags&flagEnd == 0:
			err = d.say(append(appendH2Head(nil, len(f.payload), h2Ping, flagEnd, 0), f.payload...))
		case f.kind == h2Window:
			n := int64(binary.BigEndian.Uint32(f.payload) & h2MaxID)
			if ours {
				d.stream += n
			} else {
				d.window += n
			}
			return f, nil
		case f.kind == h2GoAway && binary.BigEndian.Uint32(f.payload)&h2MaxID < 1:
			return f, errors.New("the server goes away")
		case f.kind == h2Reset && ours:
			return f, fmt.Errorf("the server cancels it: error code %d", binary.BigEndian.Uint32(f.payload))
		case f.kind == h2Headers && ours:
			return f, nil
		case f.kind == h2Data && ours:
			return f, d.data(&f)
		}
		if err != nil {
			return f, err
		}
	}
}

// data takes the padding off, and gives the credit back.
func (d *h2Copy) data(f *h2Frame) error {
	n := len(f.payload)
	if f.flags&flagPadded != 0 {
		if n == 0 || int(f.payload[0]) > n-1 {
			return errNotH2
		}
		f.payload = f.payload[1 : n-int(f.payload[0])]
	}
	f.flags &= flagEnd
	f.cost, f.credited = len(f.payload), true
	if n == 0 {
		return nil
	}
	credit := func(b []byte, stream uint32) []byte {
		return binary.BigEndian.AppendUint32(appendH2Head(b, 4, h2Window, 0, stream), uint32(n)) //nolint:gosec // 24 bits
	}
	b := credit(nil, 0)
	if !f.ends() {
		b = credit(b, 1)
	}
	return d.say(b)
}

func (d *h2Copy) say(b []byte) error {
	_, err := d.conn.Write(b)
	return err
}

// secondAnswer drops the first answer and gives the client the copy's, which leaves only now: it is the retry of a caller who never saw the first.
func (c *h2Conn) secondAnswer(s *h2Stream) {
	rule, first := s.chosen.rule, s.says()
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
	if s.up.reset || c.ended || c.ctx.Err() != nil || c.toClient.err != nil {
		s.down.ended = true
		return false
	}
	c.toClient.take(s, f)
	c.toClient.call()
	return true
}

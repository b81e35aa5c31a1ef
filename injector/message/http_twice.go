package message

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

const (
	copyTime  = 30 * time.Second // a second delivery takes at most so long
	copyBytes = 64 << 20         // and all those under way hold at most so much
)

// copied is the second delivery of a request, on a connection of its own.
type copied struct {
	conn net.Conn
	r    *bufio.Reader
	head *head
}

// reserve takes the budget for a copy of a request that is beside the first or late; false when it is spent.
func (c *httpConn) reserve(x *exchange, size int) bool {
	if c.relay.copying.Add(int64(size)) > copyBytes {
		c.relay.copying.Add(-int64(size))
		c.skip(x, "the copies under way hold too many bytes")
		return false
	}
	c.relay.begin()
	return true
}

// weight is what a copy of the request takes in memory.
func (x *exchange) weight(body []byte) int { return len(x.head.raw) + len(body) }

// release gives the budget back.
func (c *httpConn) release(size int) {
	c.relay.copying.Add(-int64(size))
	c.relay.end()
}

// late waits until a copy is to leave.
func (l *live) late() {
	if l.Late == 0 {
		return
	}
	timer := time.NewTimer(l.Late)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.healed:
	}
}

// copyLater sends the second delivery beside the first, or late, whatever becomes of the connection, and swallows its answer.
func (c *httpConn) copyLater(x *exchange, body []byte) {
	rule := x.chosen.rule
	go func() {
		defer c.release(x.weight(body))
		rule.late()
		second, err := c.deliver(x, rule, body)
		if err != nil {
			c.relay.tell(rule, x.msg, evidence.Swallowed, "the copy had no answer: "+err.Error())
			return
		}
		defer second.conn.Close()
		n, _ := copyBody(nil, second.r, second.head)
		c.relay.book(false, func(b *Books) { b.Swallowed++ })
		c.relay.tell(rule, x.msg, evidence.Swallowed, told(second.head.status, n))
	}()
}

// deliver sends the copy and reads the head of its answer. With an error nothing is left open.
func (c *httpConn) deliver(x *exchange, rule *live, body []byte) (*copied, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), copyTime)
	defer cancel()
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(copyTime))
	if _, err = conn.Write(append(bytes.Clone(x.head.raw), body...)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	c.relay.book(true, func(b *Books) { b.Copies++; b.Out++ })
	c.relay.applied(rule, x.msg, "delivered twice")
	second := &copied{conn: conn, r: bufio.NewReader(conn)}
	for {
		h, err := readHead(second.r, false)
		if err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		if h.answers(x.head.method); !h.interim() {
			second.head = h
			c.relay.book(false, func(b *Books) { b.In++ })
			return second, nil
		}
	}
}

// second reads the first answer away and gives the client the copy's, which leaves only now: it is the retry of a caller who never saw the first.
func (c *httpConn) second(x *exchange, first *head) error {
	c.relay.begin()
	defer c.relay.end()
	rule := x.chosen.rule
	n, err := copyBody(nil, c.ur, first)
	c.relay.book(false, func(b *Books) { b.In++; b.Swallowed++ })
	if err != nil {
		return err
	}
	second, err := c.deliver(x, rule, x.body)
	c.relay.tell(rule, x.msg, evidence.Swallowed, told(first.status, n))
	if err != nil { // no second answer: what the client sees is a lost connection
		c.relay.tell(rule, x.msg, evidence.Collateral, "the copy had no answer: "+err.Error())
		c.paid(x)
		c.endWith(x, ThenReset)
		return nil
	}
	defer second.conn.Close()
	c.relay.book(false, func(b *Books) { b.Out++ })
	if err = c.write(second.head.raw); err == nil {
		_, err = copyBody(c.cw, second.r, second.head)
	}
	c.paid(x)
	if err = c.flushDown(err); err != nil {
		c.relay.book(false, func(b *Books) { b.Out--; b.Collateral++ })
		c.report(x, 0)
		return err
	}
	c.report(x, second.head.status)
	if second.head.body == untilClose {
		c.end(ThenClosed)
	}
	return nil
}

// canned is an answer given without the upstream.
func canned(status int, retry time.Duration, closing, head bool) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	if retry > 0 {
		fmt.Fprintf(&b, "Retry-After: %d\r\n", int((retry+time.Second-1)/time.Second))
	}
	if closing {
		b.WriteString("Connection: close\r\n")
	}
	if status == http.StatusNoContent || status == http.StatusNotModified {
		b.WriteString("\r\n")
		return b.Bytes()
	}
	text := fmt.Sprintf("%d injected\n", status)
	fmt.Fprintf(&b, "Content-Type: text/plain\r\nContent-Length: %d\r\n\r\n", len(text))
	if !head {
		b.WriteString(text)
	}
	return b.Bytes()
}

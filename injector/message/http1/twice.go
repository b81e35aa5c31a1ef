package http1

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/message/http2"
)

// secondAnswer is the second delivery of a request, on a connection of its own.
type secondAnswer struct {
	*connection
	x    *exchange
	conn net.Conn
	r    *bufio.Reader
	head *head
}

// deliver sends a copy and reads the head of its answer. After an error, no connection is left open.
func (c *connection) deliver(x *exchange, written func()) (message.SecondAnswer, error) {
	conn, err := c.DialCopy()
	if err != nil {
		return nil, err
	}
	if _, err = conn.Write(append(bytes.Clone(x.head.raw), x.body...)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	c.Relay.Wrote(message.ToServer)
	written()
	d := &secondAnswer{connection: c, x: x, conn: conn, r: bufio.NewReader(conn)}
	for {
		h, err := readHead(d.r, false)
		if err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		if h.adaptTo(x.head.method); !h.interim() {
			d.head = h
			return d, nil
		}
	}
}

func (d *secondAnswer) Close() { _ = d.conn.Close() }

func (d *secondAnswer) Discard() string {
	n, _ := copyBody(nil, d.r, d.head)
	return http2.DescribeReply(d.head.status, n)
}

func (d *secondAnswer) Forward() (message.Outcome, error) {
	err := d.WriteMessage(d.head.raw)
	if err == nil {
		_, err = copyBody(d.ClientOut, d.r, d.head)
	}
	d.dequeue(d.x)
	if err = d.flushToClient(err); err != nil {
		d.Relay.Report(&d.x.Exchange, 0)
		return message.Collateral, err
	}
	d.Relay.Report(&d.x.Exchange, d.head.status)
	if d.head.body == untilClose {
		d.EndClient(message.EndClosed)
	}
	return message.Delivered, nil
}

// cannedAnswer returns an answer that a rule makes without the upstream.
func cannedAnswer(rule message.Rule, closing, head bool) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", rule.Status, http.StatusText(rule.Status))
	if closing {
		b.WriteString("Connection: close\r\n")
	}
	headers, body := http2.CannedAnswer(rule)
	for _, h := range headers {
		fmt.Fprintf(&b, "%s: %s\r\n", h.Name, h.Value)
	}
	b.WriteString("\r\n")
	if !head {
		b.WriteString(body)
	}
	return b.Bytes()
}

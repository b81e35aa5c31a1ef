package http1

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

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

// cannedAnswer returns an answer generated without the upstream.
func cannedAnswer(status int, retry time.Duration, closing, head bool) []byte {
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

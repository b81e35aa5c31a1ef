package link

import (
	"errors"
	"io"
	"os"
	"sync/atomic"
	"syscall"

	"github.com/firedrill-dev/firedrill/injector/link/internal/socket"
)

// upstream is a connection to the upstream. What it reads is recorded as activity of the client's
// connection.
type upstream struct {
	*socket.Conn
	client     *conn
	endCounted atomic.Bool // the end of this connection was counted
}

// Read reads from the socket. It returns io.EOF only for the upstream's FIN.
func (u *upstream) Read(p []byte) (int, error) {
	n, err := u.Conn.Read(p)
	u.noteRead(n, err)
	return n, err
}

// Take is Take of the socket.
func (u *upstream) Take() (buf *[]byte, n int, err error) {
	buf, n, err = u.Conn.Take()
	u.noteRead(n, err)
	return buf, n, err
}

// noteRead records activity and the end of the upstream.
func (u *upstream) noteRead(n int, err error) {
	if n > 0 {
		u.client.activity.noteAnswer()
	}
	if err != nil {
		u.countEnd(err)
	}
}

// countEnd counts the end of the connection if neither the client nor the link has caused it.
func (u *upstream) countEnd(err error) {
	c := u.client
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) || u.endCounted.Swap(true) {
		return
	}
	if c.activity.clientClosed.Load() && errors.Is(err, io.EOF) {
		c.activity.pendingSince.Store(0) // the upstream answered the client's FIN with its own
	}
	if u.FINSent() || c.closed.Load() || c.activity.clientClosed.Load() || (!errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET)) {
		return
	}
	c.activity.upstreamClosed.Store(true)
	if c.inUse() {
		c.link.ended.Add(1)
	} else {
		c.link.endedIdle.Add(1)
	}
}

package link

import (
	"sync/atomic"
	"time"
)

// recentUse is how recently a connection must have carried bytes to be in use.
const recentUse = time.Second

// epoch is the origin of nanotime.
var epoch = time.Now()

// nanotime returns the nanoseconds since epoch. It is never 0.
func nanotime() int64 { return max(1, int64(time.Since(epoch))) }

// activity records the latest activity of a connection. Times are values of nanotime; 0 means never.
type activity struct {
	lastByte atomic.Int64 // when bytes were last read from either side
	// pendingSince is when the client sent the first bytes since the last ones from the server; 0 if no request is
	// unanswered.
	pendingSince atomic.Int64
	// dialingSince is since when the connection has waited for an upstream connection, at first since it was
	// accepted; 0 if it does not wait.
	dialingSince   atomic.Int64
	clientClosed   atomic.Bool // the client has sent FIN or RST
	upstreamClosed atomic.Bool // the upstream has ended the connection
}

func (u *activity) noteSent() {
	now := nanotime()
	u.lastByte.Store(now)
	u.pendingSince.CompareAndSwap(0, now)
}

func (u *activity) noteAnswer() {
	u.lastByte.Store(nanotime())
	u.pendingSince.Store(0)
}

// unanswered returns how long the client has waited for an answer or for the upstream connection; 0 if
// it does not wait.
func (u *activity) unanswered() time.Duration {
	from := u.pendingSince.Load()
	if w := u.dialingSince.Load(); from == 0 || (w != 0 && w < from) {
		from = w
	}
	if from == 0 {
		return 0
	}
	return time.Duration(max(1, nanotime()-from))
}

// inUse reports whether the connection is in use: it carried bytes within the last second, or its
// client waits for an answer.
func (c *conn) inUse() bool {
	last := c.activity.lastByte.Load()
	return c.activity.unanswered() > 0 || (last > 0 && nanotime()-last <= int64(recentUse))
}

// countMoved counts n bytes that bulk is about to write.
func (c *conn) countMoved(d Dir, n int64) {
	if d == ToServer {
		c.link.toServer.Add(n)
		c.activity.noteSent()
		return
	}
	c.link.toClient.Add(n)
	c.activity.noteAnswer()
}

// countUnwritten corrects the count of bytes after a write failed with n bytes left.
func (c *conn) countUnwritten(d Dir, n int64) {
	if d == ToServer {
		c.link.toServer.Add(-n)
	} else {
		c.link.toClient.Add(-n)
	}
}

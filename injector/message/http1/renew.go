package http1

import (
	"net"
	"time"

	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/message/duplex"
)

// While a rule holds a request or an answer back, the server's connection is idle, and servers close idle
// connections. The caller must not notice a close that the relay caused. While a rule holds a message, and after
// it held an answer, the relay hides the close of the server's idle connection from the client and redials
// before the next request. It never resends a request once a byte of it has been written: a request that races
// with the server's close is lost, and counted as broken. A connection that is still open is used however long
// it was idle. Redialing for each of many calls that are released together would cause a burst of connections
// that the dependency would not see without the relay.

// renewal is the state of an HTTP connection for redialing. It is guarded by the lock of duplex.Conn.
type renewal struct {
	requestHeld bool     // a rule holds a request back
	replyHeld   bool     // a rule held an answer back, or dropped a held request, since the last request
	closing     bool     // the server has announced that it will close the connection
	idleClosed  bool     // the server has closed the idle connection
	newUp       net.Conn // the new connection, for the goroutine that reads answers
}

// hidesClose reports whether a close by the server is hidden from the client, since the relay may have caused
// it. The lock is held.
func (c *connection) hidesClose() bool {
	ended := c.IsPassthrough() || c.InputDiscarded() || c.closing || c.mux != nil || c.Context().Err() != nil
	return (c.requestHeld || (c.replyHeld && c.ClientClosedAt().IsZero())) && !ended && c.NextOfServer() == nil
}

// beginHold records that a rule is about to hold a request back.
func (c *connection) beginHold() {
	c.Lock()
	c.requestHeld = true
	c.Unlock()
}

// markReplyHeld records that the server has answered and a rule is about to hold the answer back.
func (c *connection) markReplyHeld() {
	c.Lock()
	c.replyHeld = true
	c.Unlock()
}

// enqueue adds a call to the queue before its request is written. It returns false if the server must be
// redialed first.
func (c *connection) enqueue(x *exchange, redialed bool) bool {
	c.Lock()
	defer c.Unlock()
	if !redialed && c.hidesClose() && c.idleClosed {
		return false
	}
	x.held, x.SentAt = c.requestHeld, time.Now()
	c.requestHeld, c.replyHeld = false, false
	c.Expect(x)
	return true
}

// redial replaces the idle upstream connection.
func (c *connection) redial() error {
	up, err := c.Redial()
	if err != nil {
		return duplex.WriteFailed(err)
	}
	c.Lock()
	old := c.SwapUpstream(up)
	c.newUp = up
	c.Unlock()
	_ = old.Close() // ends reads from it
	c.ServerOut.Reset(up)
	if c.Context().Err() != nil { // the context's cleanup may have closed only the old connection
		_ = up.Close()
	}
	return nil
}

// awaitRedial waits for a new connection if the server closed the old one while a rule holds a message back. It
// returns false if the close is the server's own, or if no further connection is needed.
func (c *connection) awaitRedial() bool {
	c.Lock()
	defer c.Unlock()
	for {
		if c.newUp != nil {
			c.ServerIn.Reset(c.newUp)
			c.newUp, c.idleClosed = nil, false
			return true
		}
		if !c.hidesClose() {
			return false
		}
		if !c.idleClosed {
			c.idleClosed = true
			c.Relay.SenderClosed(message.ToClient)
		}
		c.Wait()
	}
}

// unexpected reports whether output of the server is a reaction to a held request, such as a 408.
func (c *connection) unexpected() bool {
	c.Lock()
	defer c.Unlock()
	return c.newUp != nil || c.hidesClose()
}

// cancelHold records that a held request is not forwarded.
func (c *connection) cancelHold() {
	c.Lock()
	c.replyHeld = c.replyHeld || c.requestHeld
	c.requestHeld = false
	c.Unlock()
}

// countCrossed counts the front request as broken if it was held and raced with the server's close: no byte of
// its answer has arrived.
func (c *connection) countCrossed() {
	c.Lock()
	x := c.Front()
	crossed := x != nil && x.held && time.Since(x.SentAt) < message.CrossingTime
	if crossed {
		x.held = false
	}
	c.Unlock()
	if crossed {
		c.Relay.CountBroken(&x.Exchange, x.Delays)
	}
}

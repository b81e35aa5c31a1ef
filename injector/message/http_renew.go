package message

import (
	"net"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// While a rule holds a request or an answer back, the server's connection is idle, and servers close idle
// connections. The caller must not notice a close that the relay caused. While a rule holds a message, and after
// it held an answer, the relay hides the close of the server's idle connection from the client and redials
// before the next request. It never resends a request once a byte of it has been written: a request that races
// with the server's close is lost, and counted as broken. A connection that is still open is used however long
// it was idle. Redialing for each of many calls that are released together would cause a burst of connections
// that the dependency would not see without the relay.

// crossingTime is how soon after a held message was forwarded the server's close must arrive to be attributed to
// a race with that message.
const crossingTime = 50 * time.Millisecond

// renewal is the state of an HTTP connection for redialing. It is guarded by the lock of pair.
type renewal struct {
	requestHeld bool     // a rule holds a request back
	replyHeld   bool     // a rule held an answer back, or dropped a held request, since the last request
	closing     bool     // the server has announced that it will close the connection
	idleClosed  bool     // the server has closed the idle connection
	newUp       net.Conn // the new connection, for the goroutine that reads answers
}

// hidesClose reports whether a close by the server is hidden from the client, since the relay may have caused
// it. c.mu is held.
func (c *httpConn) hidesClose() bool {
	ended := c.passthrough || c.blackholed || c.endedByRule || c.upstreamFailed || c.closing || c.mux != nil || c.ctx.Err() != nil
	return (c.requestHeld || (c.replyHeld && c.clientClosedAt.IsZero())) && !ended && !c.awaitsAnswer()
}

// awaitsAnswer reports whether the server has a request to answer. c.mu is held.
func (c *httpConn) awaitsAnswer() bool {
	for _, x := range c.pending {
		if x.localAnswer == nil {
			return true
		}
	}
	return false
}

// beginHold records that a rule is about to hold a request back.
func (c *httpConn) beginHold() {
	c.mu.Lock()
	c.requestHeld = true
	c.mu.Unlock()
}

// markReplyHeld records that the server has answered and a rule is about to hold the answer back.
func (c *httpConn) markReplyHeld() {
	c.mu.Lock()
	c.replyHeld = true
	c.mu.Unlock()
}

// enqueue adds a call to the queue before its request is written. It returns false if the server must be
// redialed first.
func (c *httpConn) enqueue(x *httpExchange, redialed bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !redialed && c.hidesClose() && c.idleClosed {
		return false
	}
	x.held, x.sentAt = c.requestHeld, time.Now()
	c.requestHeld, c.replyHeld = false, false
	c.pending = append(c.pending, x)
	return true
}

// redial replaces the idle upstream connection.
func (c *httpConn) redial() error {
	up, err := c.dial(c.ctx)
	if err != nil {
		return sinkError{err}
	}
	c.mu.Lock()
	old := c.up
	c.up, c.newUp = up, up
	c.changed.Broadcast()
	c.mu.Unlock()
	_ = old.Close() // ends reads from it
	c.uw.Reset(up)
	if c.ctx.Err() != nil { // the context's cleanup may have closed only the old connection
		_ = up.Close()
	}
	return nil
}

// awaitRedial waits for a new connection if the server closed the old one while a rule holds a message back. It
// returns false if the close is the server's own, or if no further connection is needed.
func (c *httpConn) awaitRedial() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if c.newUp != nil {
			c.ur.Reset(c.newUp)
			c.newUp, c.idleClosed = nil, false
			return true
		}
		if !c.hidesClose() {
			return false
		}
		c.idleClosed = true
		c.changed.Wait()
	}
}

// unexpected reports whether output of the server is a reaction to a held request, such as a 408.
func (c *httpConn) unexpected() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.newUp != nil || c.hidesClose()
}

// cancelHold records that a held request is not forwarded.
func (c *httpConn) cancelHold() {
	c.mu.Lock()
	c.replyHeld = c.replyHeld || c.requestHeld
	c.requestHeld = false
	c.mu.Unlock()
}

// countCrossed counts the front request as broken if it was held and raced with the server's close: no byte of
// its answer has arrived.
func (c *httpConn) countCrossed() {
	c.mu.Lock()
	var x *httpExchange
	if len(c.pending) > 0 && c.pending[0].localAnswer == nil && c.pending[0].held && time.Since(c.pending[0].sentAt) < crossingTime {
		x = c.pending[0]
		x.held = false
	}
	c.mu.Unlock()
	if x != nil {
		c.relay.countBroken(&x.Exchange, x.delays)
	}
}

// countBroken counts a message that failed because the server closed the connection while rules held it.
func (r *Relay) countBroken(x *Exchange, delays []Wait) {
	rules := make([]*Live, 0, len(delays)+1)
	for _, d := range delays {
		rules = append(rules, d.rule)
	}
	if rule := x.Rule(); len(rules) == 0 && rule != nil {
		rules = append(rules, rule)
	}
	for _, l := range rules {
		r.record(l, x.msg, evidence.Collateral, "the dependency closed the connection while it was held")
		l.Count.Break()
	}
}

package message

import (
	"slices"
	"time"
)

// heldMessages records the messages of a framed connection that rules hold, or held last. Sessions keep state in
// the connection (a transaction, a prepared statement), so the relay cannot redial if the server closes it
// meanwhile; it counts the messages that holding broke. The lock of pair guards the fields.
type heldMessages struct {
	heldRequest    *framedExchange // the message to the server that is held now
	lastHeldAnswer *framedExchange // the call whose answer was held last
	releasedAt     time.Time
}

// markAnswerReleased records that a held answer is being forwarded.
func (c *framedConn) markAnswerReleased(x *framedExchange) {
	c.mu.Lock()
	c.lastHeldAnswer, c.releasedAt = x, time.Now()
	c.mu.Unlock()
}

// countCrossed counts the message that holding broke, if any, when the server has closed the connection: a
// message that is held, or that raced with the close, or whose answer was held until the close.
func (c *framedConn) countCrossed() {
	c.mu.Lock()
	var x, front *framedExchange
	for _, o := range c.pending {
		if o.localAnswer == nil && front == nil {
			front = o
		}
	}
	switch {
	case c.endedByRule || c.blackholed || c.ctx.Err() != nil || !c.clientClosedAt.IsZero():
	case front != nil && front.held && front.answerBytes == 0 && time.Since(front.sentAt) < crossingTime:
		x = front
	case front != nil: // an answer is pending: the server closed on its own
	case c.heldRequest != nil:
		x = c.heldRequest
	case c.lastHeldAnswer != nil && time.Since(c.releasedAt) < crossingTime:
		x = c.lastHeldAnswer
	}
	c.mu.Unlock()
	if x == nil {
		return
	}
	c.relay.countBroken(&x.Exchange, slices.Concat(x.delays, x.replyDelays))
}

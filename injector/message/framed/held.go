package framed

import (
	"slices"
	"time"

	"github.com/firedrill-dev/firedrill/injector/message"
)

// heldMessages records the messages of a framed connection that rules hold, or held last. Sessions keep state in
// the connection (a transaction, a prepared statement), so the relay cannot redial if the server closes it
// meanwhile; it counts the messages that holding broke. The lock of duplex.Conn guards the fields.
type heldMessages struct {
	heldRequest    *exchange // the message to the server that is held now
	lastHeldAnswer *exchange // the call whose answer was held last
	releasedAt     time.Time
}

// markAnswerReleased records that a held answer is being forwarded.
func (c *connection) markAnswerReleased(x *exchange) {
	c.Lock()
	c.lastHeldAnswer, c.releasedAt = x, time.Now()
	c.Unlock()
}

// countCrossed counts the message that holding broke, if any, when the server has closed the connection: a
// message that is held, or that raced with the close, or whose answer was held until the close.
func (c *connection) countCrossed() {
	c.Lock()
	var x *exchange
	switch front := c.NextOfServer(); {
	case c.EndedByRule() || c.Context().Err() != nil || !c.ClientClosedAt().IsZero():
	case front != nil && front.held && front.answerBytes == 0 && time.Since(front.SentAt) < message.CrossingTime:
		x = front
	case front != nil: // an answer is pending: the server closed on its own
	case c.heldRequest != nil:
		x = c.heldRequest
	case c.lastHeldAnswer != nil && time.Since(c.releasedAt) < message.CrossingTime:
		x = c.lastHeldAnswer
	}
	c.Unlock()
	if x == nil {
		return
	}
	c.Relay.CountBroken(&x.Exchange, slices.Concat(x.Delays, x.ReplyDelays))
}

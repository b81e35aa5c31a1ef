package http2

import (
	"encoding/binary"
	"slices"

	"github.com/firedrill-dev/firedrill/injector/message"
)

// An HTTP/2 server may close a connection that has no open streams, and a held stream is not open at the server.
// The caller must not notice a close that the relay caused. If the server closes while streams are held, each of
// them is delivered on a connection of its own when it is released. The client gets a GOAWAY, so that it opens
// no further streams. Any other close by the server is forwarded.

const (
	noError       = 0
	internalError = 2
)

// heldStreams returns the streams whose requests are held back. The lock is held.
func (c *Conn) heldStreams() (held []*stream) {
	for _, s := range c.streams {
		if s.isCall && s.serverID == 0 && s.intercepts > 0 && !s.blackholed {
			held = append(held, s)
		}
	}
	return held
}

// hideServerClose hides the close of the server's connection from the client if rules hold all that the client
// waits for. The lock is held.
func (c *Conn) hideServerClose() {
	held := c.heldStreams()
	if len(held) == 0 || c.rulesDisabled || c.EndedByRule() || c.Context().Err() != nil {
		return
	}
	for _, s := range c.streams {
		if s.isCall && s.serverID != 0 && !s.reported && !s.down.ended() {
			return // an answer is pending
		}
	}
	c.toServer.outputClosed = true
	if !c.alone {
		c.alone = true
		b := appendHead(nil, 8, frameGoAway, 0, 0)
		c.toClient.add(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, c.lastClientID), noError))
		c.toClient.scheduleFlush()
	}
}

// alonePending reports whether streams are still held or being delivered on connections of their own. The lock
// is held.
func (c *Conn) alonePending() bool { return c.alone && c.intercepts > 0 }

// refuseStream refuses a new stream if the server no longer accepts streams. The lock is held.
func (c *Conn) refuseStream(f *frame) bool {
	if !c.toServer.outputClosed {
		return false
	}
	c.lastClientID = f.stream
	c.toServer.reencodeHeaders(f)
	c.toClient.add(append(appendHead(nil, 4, frameReset, 0, f.stream), 0, 0, 0, refusedStream))
	c.toClient.scheduleFlush()
	return true
}

// sendAlone delivers a request on a connection of its own and forwards the answer to the client.
func (c *Conn) sendAlone(s *stream) message.Outcome {
	c.Lock()
	request, whole := slices.Clone(s.up.queue), s.up.ended()
	s.up.handling = dropping
	c.toServer.discardHeld(s)
	c.Unlock()
	if !whole { // the request is incomplete, and the rest cannot be redirected
		c.Relay.CountBroken(&s.Exchange, s.Delays)
		c.cancelStream(s, refusedStream)
		return message.Collateral
	}
	d, err := c.sendCopy(request)
	if err != nil {
		c.cancelStream(s, refusedStream)
		return message.Collateral
	}
	defer d.conn.Close()
	if err := d.begin(); err != nil {
		c.cancelStream(s, internalError)
		return message.Delivered
	}
	reply := c.Relay.Received(message.ToClient)
	c.Relay.CountPassed(s.Overtaken)
	s.Affected = c.Relay.Sleep(c.Context(), s.ReplyDelays, s.Message) || s.Affected
	if rule := s.Rule(); rule != nil && rule.Action.OfReply() {
		c.Relay.Skip(&s.Exchange, "the server had closed the connection meanwhile")
	}
	outcome, err := c.forwardAll(s, d)
	reply.End(outcome)
	if err != nil {
		c.cancelStream(s, internalError)
	}
	return message.Delivered
}

// cancelStream resets one stream at the client.
func (c *Conn) cancelStream(s *stream, code byte) {
	c.Lock()
	defer c.Unlock()
	if s.down.ended() || c.EndedByRule() {
		return
	}
	s.down.stop(dropping)
	s.status, s.secondAnswer = 0, true
	c.toClient.accept(s, &frame{kind: frameReset, payload: []byte{0, 0, 0, code}})
	c.toClient.scheduleFlush()
}

package message

import (
	"encoding/binary"
	"slices"
)

// An HTTP/2 server may close a connection that has no open streams, and a held stream is not open at the server.
// The caller must not notice a close that the relay caused. If the server closes while streams are held, each of
// them is delivered on a connection of its own when it is released. The client gets a GOAWAY, so that it opens
// no further streams. Any other close by the server is forwarded.

const (
	h2NoError       = 0
	h2InternalError = 2
)

// heldStreams returns the streams whose requests are held back. The lock is held.
func (c *h2Conn) heldStreams() (held []*h2Stream) {
	for _, s := range c.streams {
		if s.isCall && s.serverID == 0 && s.intercepts > 0 && !s.blackholed {
			held = append(held, s)
		}
	}
	return held
}

// hideServerClose hides the close of the server's connection from the client if rules hold all that the client
// waits for. The lock is held.
func (c *h2Conn) hideServerClose() {
	held := c.heldStreams()
	if len(held) == 0 || c.rulesDisabled || c.endedByRule || c.ctx.Err() != nil {
		return
	}
	for _, s := range c.streams {
		if s.isCall && s.serverID != 0 && !s.reported && !s.down.ended {
			return // an answer is pending
		}
	}
	c.toServer.outputClosed = true
	if !c.alone {
		c.alone = true
		b := appendH2Head(nil, 8, h2GoAway, 0, 0)
		c.toClient.add(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, c.lastClientID), h2NoError))
		c.toClient.scheduleFlush()
	}
}

// alonePending reports whether streams are still held or being delivered on connections of their own. The lock
// is held.
func (c *h2Conn) alonePending() bool { return c.alone && c.intercepts > 0 }

// refuseStream refuses a new stream if the server no longer accepts streams. The lock is held.
func (c *h2Conn) refuseStream(f *h2Frame) bool {
	if !c.toServer.outputClosed {
		return false
	}
	c.lastClientID = f.stream
	c.toServer.reencodeHeaders(f)
	c.toClient.add(append(appendH2Head(nil, 4, h2Reset, 0, f.stream), 0, 0, 0, refusedStream))
	c.toClient.scheduleFlush()
	return true
}

// sendAlone delivers a request on a connection of its own and forwards the answer to the client.
func (c *h2Conn) sendAlone(s *h2Stream) Outcome {
	c.mu.Lock()
	request, whole := slices.Clone(s.up.queue), s.up.ended
	s.up.holding, s.up.dropping = false, true
	c.toServer.discardHeld(s)
	c.mu.Unlock()
	if !whole { // the request is incomplete, and the rest cannot be redirected
		c.relay.countBroken(&s.Exchange, s.delays)
		c.cancelStream(s, refusedStream)
		return Collateral
	}
	d, err := c.sendCopy(request)
	if err != nil {
		c.cancelStream(s, refusedStream)
		return Collateral
	}
	defer d.conn.Close()
	if err := d.begin(); err != nil {
		c.cancelStream(s, h2InternalError)
		return Delivered
	}
	reply := c.relay.Received(ToClient)
	c.relay.countPassed(s.overtaken)
	s.affected = c.relay.sleep(c.ctx, s.replyDelays, s.msg) || s.affected
	if rule := s.Rule(); rule != nil && rule.Action.OfReply() {
		c.relay.skip(&s.Exchange, "the server had closed the connection meanwhile")
	}
	outcome, err := c.forwardAll(s, d)
	reply.End(outcome)
	if err != nil {
		c.cancelStream(s, h2InternalError)
	}
	return Delivered
}

// cancelStream resets one stream at the client.
func (c *h2Conn) cancelStream(s *h2Stream, code byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.down.ended || c.endedByRule {
		return
	}
	s.status, s.down.dropping, s.secondAnswer = 0, false, true
	c.toClient.accept(s, &h2Frame{kind: h2Reset, payload: []byte{0, 0, 0, code}})
	c.toClient.scheduleFlush()
}

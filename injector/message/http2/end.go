package http2

import (
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/message/duplex"
)

// outlivesClient reports whether the call must be completed even if the client has disconnected: its request is
// complete, and its answer must be read to the end.
func (s *stream) outlivesClient() bool {
	return s.isCall && s.NeedsWholeReply() && s.up.ended() && !s.up.truncated && !s.down.ended()
}

// busy reports whether a call must be completed even if the client has disconnected. The lock is held.
func (c *Conn) busy() bool {
	if c.intercepts > 0 {
		return true
	}
	for _, s := range c.streams {
		if s.outlivesClient() {
			return true
		}
	}
	return false
}

// markSenderEnded notifies all waiters that no more frames will arrive. The lock is held.
func (c *Conn) markSenderEnded(w *way) {
	w.senderEnded = true
	c.Relay.SenderClosed(w.dir())
	for _, s := range c.streams {
		w.lane(s).markTruncated()
	}
	c.Broadcast()
}

// inputEnded handles the end of the client's input. Calls that must be completed get flow-control credit from
// the relay, since the client grants no more.
func (c *Conn) inputEnded(err error) {
	if !duplex.IsWriteError(err) {
		c.MarkClientClosed()
	}
	c.Lock()
	defer c.Unlock()
	c.markSenderEnded(&c.toServer)
	if c.busy() {
		if n := min(ownCredit, maxStreamID-c.toClient.window-c.toClient.advanced); n > 0 {
			c.toServer.add(binary.BigEndian.AppendUint32(appendHead(nil, 4, frameWindow, 0, 0), uint32(n))) //nolint:gosec // as small as ownCredit
			c.toClient.advanced += n
		}
		c.cancelStreams(!duplex.Graceful(err))
	}
	c.toClient.sendBlocked()
	c.Broadcast()
}

// cancelStreams cancels incomplete requests at the server or, if all is set, every call that need not be
// completed, just as closing the connection would. The lock is held.
func (c *Conn) cancelStreams(all bool) {
	for _, s := range c.streams {
		if s.serverID != 0 && !s.down.truncated && (s.up.truncated || (all && s.intercepts == 0 && !s.outlivesClient())) {
			c.toServer.add(append(appendHead(nil, 4, frameReset, 0, s.serverID), 0, 0, 0, cancelled))
			s.down.markTruncated()
		}
	}
	c.toServer.scheduleFlush()
}

// markGivenUp records that the client no longer wants the answer.
func (c *Conn) markGivenUp(s *stream) {
	if s.GaveUpAt.IsZero() && s.answer != answerDelivered && !s.reported {
		s.GaveUpAt = time.Now()
	}
}

// completeIfDone reports a stream that has ended, and removes it once neither side can send on it. The lock is
// held.
func (c *Conn) completeIfDone(s *stream) {
	if s.intercepts > 0 || len(s.up.queue)+len(s.down.queue) > 0 || c.streams[s.id] != s {
		return
	}
	answered := s.down.ended() && !s.blackholed
	if !answered && (s.up.state != laneReset || s.outlivesClient()) {
		return
	}
	if !s.reported {
		s.reported = true
		if s.GaveUpAt.IsZero() && s.answer != answerDelivered {
			s.GaveUpAt = c.ClientClosedAt()
		}
		status := s.status
		if !answered || s.down.truncated || (s.up.state == laneReset && s.answer != answerDelivered) {
			status = 0
		}
		c.Relay.Report(&s.Exchange, status)
	}
	if (s.up.ended() && s.down.ended()) || s.up.state == laneReset || s.down.state == laneReset {
		delete(c.streams, s.id)
		delete(c.byServerID, s.serverID)
		c.Broadcast()
	}
}

// inOrder returns the streams in the order of the client's IDs. The lock is held.
func (c *Conn) inOrder() []*stream {
	list := make([]*stream, 0, len(c.streams))
	for _, id := range slices.Sorted(maps.Keys(c.streams)) {
		list = append(list, c.streams[id])
	}
	return list
}

// OutlivesClient reports whether the connection to the server is needed even if the client has disconnected. The
// lock is held.
func (c *Conn) OutlivesClient() bool {
	return c.busy() || (c.SentAfterClose() && c.toServer.hasUnwritten())
}

// DisableRules makes all later messages pass unchanged. The lock is held.
func (c *Conn) DisableRules() { c.rulesDisabled = true }

// ReportUnanswered reports the calls that will not be answered, except for those being intercepted.
func (c *Conn) ReportUnanswered() {
	c.Lock()
	var list []*message.Exchange
	for _, s := range c.inOrder() {
		if s.reported || s.intercepts > 0 {
			continue
		}
		s.reported = true
		if s.GaveUpAt.IsZero() {
			s.GaveUpAt = c.ClientClosedAt()
		}
		list = append(list, &s.Exchange)
	}
	c.Unlock()
	for _, x := range list {
		c.Relay.Report(x, 0)
	}
}

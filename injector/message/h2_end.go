package message

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"time"
)

// outlivesClient reports whether the call must be completed even if the client has disconnected: its request is
// complete, and its answer must be read to the end.
func (s *h2Stream) outlivesClient() bool {
	return s.isCall && s.needsWholeReply() && s.up.ended && !s.up.truncated && !s.down.ended
}

// busy reports whether a call must be completed even if the client has disconnected. The lock is held.
func (c *h2Conn) busy() bool {
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
func (c *h2Conn) markSenderEnded(w *h2Way) {
	w.senderEnded = true
	for _, s := range c.streams {
		w.lane(s).markTruncated()
	}
	c.changed.Broadcast()
}

// inputEnded handles the end of the client's input. Calls that must be completed get flow-control credit from
// the relay, since the client grants no more.
func (c *h2Conn) inputEnded(err error) {
	var sink sinkError
	if !errors.As(err, &sink) {
		c.markClientClosed()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.markSenderEnded(&c.toServer)
	if c.busy() {
		if n := min(ownCredit, h2MaxID-c.toClient.window-c.toClient.advanced); n > 0 {
			c.toServer.add(binary.BigEndian.AppendUint32(appendH2Head(nil, 4, h2Window, 0, 0), uint32(n))) //nolint:gosec // as small as ownCredit
			c.toClient.advanced += n
		}
		c.cancelStreams(!graceful(err))
	}
	c.toClient.sendBlocked()
	c.changed.Broadcast()
}

// cancelStreams cancels incomplete requests at the server or, if all is set, every call that need not be
// completed, just as closing the connection would. The lock is held.
func (c *h2Conn) cancelStreams(all bool) {
	for _, s := range c.streams {
		if s.serverID != 0 && !s.down.truncated && (s.up.truncated || (all && s.intercepts == 0 && !s.outlivesClient())) {
			c.toServer.add(append(appendH2Head(nil, 4, h2Reset, 0, s.serverID), 0, 0, 0, cancelled))
			s.down.markTruncated()
		}
	}
	c.toServer.scheduleFlush()
}

// markGivenUp records that the client no longer wants the answer.
func (c *h2Conn) markGivenUp(s *h2Stream) {
	if s.gaveUpAt.IsZero() && !s.delivered && !s.reported {
		s.gaveUpAt = time.Now()
	}
}

// completeIfDone reports a stream that has ended, and removes it once neither side can send on it. The lock is
// held.
func (c *h2Conn) completeIfDone(s *h2Stream) {
	if s.intercepts > 0 || len(s.up.queue)+len(s.down.queue) > 0 || c.streams[s.id] != s {
		return
	}
	answered := s.down.ended && !s.blackholed
	if !answered && (!s.up.reset || s.outlivesClient()) {
		return
	}
	if !s.reported {
		s.reported = true
		if s.gaveUpAt.IsZero() && !s.delivered {
			s.gaveUpAt = c.clientClosedAt
		}
		status := s.status
		if !answered || s.down.truncated || (s.up.reset && !s.delivered) {
			status = 0
		}
		c.relay.report(&s.Exchange, status)
	}
	if (s.up.ended && s.down.ended) || s.up.reset || s.down.reset {
		delete(c.streams, s.id)
		delete(c.byServerID, s.serverID)
		c.changed.Broadcast()
	}
}

// inOrder returns the streams in the order of the client's IDs. The lock is held.
func (c *h2Conn) inOrder() []*h2Stream {
	list := make([]*h2Stream, 0, len(c.streams))
	for _, id := range slices.Sorted(maps.Keys(c.streams)) {
		list = append(list, c.streams[id])
	}
	return list
}

// unansweredStreams returns the streams that will not be answered, except for those being intercepted, and marks
// them as reported. The lock is held.
func (c *h2Conn) unansweredStreams() []*Exchange {
	var list []*Exchange
	for _, s := range c.inOrder() {
		if s.reported || s.intercepts > 0 {
			continue
		}
		s.reported = true
		if s.gaveUpAt.IsZero() {
			s.gaveUpAt = c.clientClosedAt
		}
		list = append(list, &s.Exchange)
	}
	return list
}

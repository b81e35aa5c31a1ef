package message

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"time"
)

// detached tells whether the work goes on whether or not the client is there: the request is whole, and its answer is to be read to the end.
func (s *h2Stream) detached() bool {
	rule := s.chosen.rule
	return rule != nil && s.call && (rule.Do == LoseReply || (rule.Do == Twice && rule.Second)) && s.up.ended && !s.up.broken && !s.down.ended
}

// busy tells whether something is to be done still when the client is gone. The lock is held.
func (c *h2Conn) busy() bool {
	if c.hands > 0 {
		return true
	}
	for _, s := range c.streams {
		if s.detached() {
			return true
		}
	}
	return false
}

// cutOff lets those who wait for the rest of a message know that it will not come. The lock is held.
func (c *h2Conn) cutOff(w *h2Way) {
	w.over = true
	for _, s := range c.streams {
		w.lane(s).cut()
	}
	c.changed.Broadcast()
}

// left ends what the client says no more of, and lets the server finish what is to be done without him, who gives no more credit.
func (c *h2Conn) left(err error) {
	var sink sinkError
	if !errors.As(err, &sink) {
		c.leave()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cutOff(&c.toServer)
	if c.busy() {
		if n := min(ownCredit, h2MaxID-c.toClient.window-c.toClient.debt); n > 0 {
			c.toServer.add(binary.BigEndian.AppendUint32(appendH2Head(nil, 4, h2Window, 0, 0), uint32(n))) //nolint:gosec // as small as ownCredit
			c.toClient.debt += n
		}
		c.forsake(!orderly(err))
	}
	c.toClient.drain()
	c.changed.Broadcast()
}

// forsake cancels what was not said to its end, or all that nobody awaits the answer of, as the end of the connection would. The lock is held.
func (c *h2Conn) forsake(all bool) {
	for _, s := range c.streams {
		if s.sid != 0 && !s.down.broken && (s.up.broken || (all && s.hands == 0 && !s.detached())) {
			c.toServer.add(append(appendH2Head(nil, 4, h2Reset, 0, s.sid), 0, 0, 0, cancelled))
			s.down.cut()
		}
	}
	c.toServer.call()
}

// givenUp notes that the client wants no answer any more.
func (c *h2Conn) givenUp(s *h2Stream) {
	if s.gone.IsZero() && !s.given && !s.told {
		s.gone = time.Now()
	}
}

// settle tells of a stream that is over, and forgets it when neither side has anything more to say. The lock is held.
func (c *h2Conn) settle(s *h2Stream) {
	if s.hands > 0 || len(s.up.queue)+len(s.down.queue) > 0 || c.streams[s.id] != s {
		return
	}
	answered := s.down.ended && !s.silent
	if !answered && (!s.up.reset || s.detached()) {
		return
	}
	if !s.told {
		s.told = true
		if s.gone.IsZero() && !s.given {
			s.gone = c.gone
		}
		status := s.status
		if !answered || s.down.broken || (s.up.reset && !s.given) {
			status = 0
		}
		c.report(&s.exchange, status)
	}
	if (s.up.ended && s.down.ended) || s.up.reset || s.down.reset {
		delete(c.streams, s.id)
		delete(c.moved, s.sid)
		c.changed.Broadcast()
	}
}

// inOrder lists the streams in the order of the client's numbers. The lock is held.
func (c *h2Conn) inOrder() []*h2Stream {
	list := make([]*h2Stream, 0, len(c.streams))
	for _, id := range slices.Sorted(maps.Keys(c.streams)) {
		list = append(list, c.streams[id])
	}
	return list
}

// unpaidStreams are those whose client will get no answer, but for what a rule still has in hand. The lock is held.
func (c *h2Conn) unpaidStreams() []*exchange {
	var list []*exchange
	for _, s := range c.inOrder() {
		if s.told || s.hands > 0 {
			continue
		}
		s.told = true
		if s.gone.IsZero() {
			s.gone = c.gone
		}
		list = append(list, &s.exchange)
	}
	return list
}

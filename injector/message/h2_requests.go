package message

import (
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// meet makes a request known and lets the rules choose. What they chose waits in a goroutine of its own; the lock is held.
func (c *h2Conn) meet(f *h2Frame) *h2Stream {
	s := &h2Stream{id: f.stream, call: true}
	c.newest = f.stream
	c.streams[s.id] = s
	s.down.window = c.toClient.initial
	fields := f.fields
	s.start = time.Now()
	path, _, _ := strings.Cut(field(fields, ":path"), "?")
	s.msg = message{
		conn: c.client.ID(), method: field(fields, ":method"), path: path, key: field(fields, "idempotency-key"), bytes: len(f.raw),
		header: func(name string) string {
			if strings.EqualFold(name, "host") {
				name = ":authority"
			}
			return field(fields, strings.ToLower(name))
		},
	}
	s.msg.op = s.msg.method + " " + path
	s.grpc = c.grpc && strings.HasPrefix(field(fields, "content-type"), "application/grpc")
	if s.grpc {
		s.msg.op = path
	}
	s.asksHead = s.msg.method == "HEAD"
	s.sized = !s.grpc && field(fields, "content-length") != ""
	s.expects = strings.EqualFold(field(fields, "expect"), "100-continue")
	c.seq++
	s.msg.seq = c.seq
	if !c.plain && s.grpc == c.grpc { // on a link of gRPC, nothing else is a call
		s.chosen = c.relay.decide(s.msg)
	}
	s.msg.header = nil
	rule := s.chosen.rule
	if len(s.chosen.delays) == 0 && (rule == nil || (rule.Do == LoseReply && !s.grpc)) {
		c.relay.book(true, func(b *Books) { b.In++; b.Out++ })
		return s
	}
	c.relay.book(true, func(b *Books) { b.In++; b.Held++ })
	s.up.shut = true
	c.take(s, &s.up, c.fate)
	return s
}

// take gives a stream into a rule's hands. The lock is held.
func (c *h2Conn) take(s *h2Stream, l *h2Lane, do func(*h2Stream)) {
	c.acted = true
	c.hands++
	s.hands++
	l.news = make(chan struct{}, 1)
	c.relay.begin()
	c.wg.Go(func() {
		defer c.relay.end()
		do(s)
		c.mu.Lock()
		defer c.mu.Unlock()
		l.news = nil
		c.hands--
		s.hands--
		c.settle(s)
		c.changed.Broadcast()
	})
}

// skipped records that a rule could not act on a stream, and its delays neither where the stream is no call of gRPC's.
func (c *h2Conn) skipped(s *h2Stream, why string, delays bool) {
	c.mu.Lock()
	rule := s.chosen.rule
	s.chosen.rule, s.skipped = nil, why
	var rules []*live
	if delays {
		for _, d := range s.chosen.delays {
			rules = append(rules, d.rule)
		}
		s.chosen.delays = nil
	}
	c.mu.Unlock()
	if rule != nil {
		rules = append(rules, rule)
	}
	for _, l := range rules {
		c.relay.tell(l, s.msg, evidence.Skipped, why)
	}
}

// What became of one side's part of a stream.
const (
	heardAll   = ""
	heardHalf  = "its sender broke off"
	heardOver  = "the connection is over"
	heardLarge = "too large"
	heardFull  = "what rules have in hand holds too many bytes"
	heardOn    = "stream"
)

// hear waits until all of a message has come, or will not. A sender that is quiet for a while without having ended is one of a stream, unless its
// message is known to have an end.
func (c *h2Conn) hear(w *h2Way, s *h2Stream, finite bool) string {
	l := w.lane(s)
	c.mu.Lock()
	news := l.news
	c.mu.Unlock()
	quiet := time.NewTimer(gather)
	defer quiet.Stop()
	for {
		c.mu.Lock()
		broken, ended, large, full := l.broken, l.ended, l.size > int(c.relay.cfg.Whole) && !l.drop, w.kept > keptBytes && !l.drop
		c.mu.Unlock()
		switch {
		case broken:
			return heardHalf
		case large:
			return heardLarge + ": more than " + plural(int(c.relay.cfg.Whole), "byte")
		case full:
			return heardFull
		case ended:
			return heardAll
		}
		select {
		case <-news:
			quiet.Reset(gather)
		case <-quiet.C:
			if !finite && w.idle.Load() {
				return heardOn
			}
			quiet.Reset(gather)
		case <-c.ctx.Done():
			return heardOver
		}
	}
}

// fate waits for the request as far as its rule needs it, lets it wait as its rules say, and then meet what was chosen for it.
func (c *h2Conn) fate(s *h2Stream) {
	c.gather(s)
	s.touched = c.sleep(s.chosen.delays, s.msg) || s.touched
	rule := s.chosen.rule
	switch {
	case s.dropped():
		c.mu.Lock()
		s.up.drop, s.up.shut = true, false
		c.toServer.forgo(s)
		over := c.ended || c.ctx.Err() != nil
		c.mu.Unlock()
		if over {
			c.relay.book(true, func(b *Books) { b.Held--; b.Collateral++ })
			return
		}
		c.relay.book(true, func(b *Books) { b.Held--; b.Dropped++ })
		c.locally(s)
		return
	case rule == nil:
	case rule.Do == LoseRequest: // held
		s.touched = true
		c.hold(rule, s.msg)
	case rule.Do == Reorder:
		s.skipped, s.touched = c.reorder(rule, s.msg)
	case rule.Do == Corrupt || rule.Do == Truncate:
		c.spoil(s)
	case rule.Do == Twice:
		c.mu.Lock()
		s.copy = slices.Clone(s.up.queue)
		c.mu.Unlock()
		s.touched = rule.Second || c.reserve(&s.exchange, s.weight())
		if s.touched && !rule.Second {
			if !c.sendHeld(s) {
				c.release(s.weight())
				return
			}
			c.copyLater(s)
			return
		}
	}
	c.sendHeld(s)
}

// gather keeps a request until it is whole. What is not to arrive is not kept, where it is sure to end.
func (c *h2Conn) gather(s *h2Stream) {
	rule := s.chosen.rule
	if s.expects {
		if rule != nil && !s.dropped() && rule.Do != LoseReply && rule.Do != LoseRequest && rule.Do != Reorder {
			c.skipped(s, "a request that waits for the server's consent", false)
		}
		return
	}
	if s.dropped() && !s.grpc {
		c.mu.Lock()
		s.up.drop = true
		c.toServer.forgo(s)
		c.mu.Unlock()
	}
	why := c.hear(&c.toServer, s, s.sized || (s.dropped() && !s.grpc))
	c.mu.Lock()
	s.msg.bytes += s.up.size
	c.mu.Unlock()
	switch why {
	case heardAll, heardOver:
	case heardHalf: // what came of it goes on, as it would have
		c.mu.Lock()
		s.chosen = chosen{}
		c.mu.Unlock()
	case heardOn:
		if s.grpc || (rule != nil && rule.Do != LoseReply) {
			c.skipped(s, why, s.grpc)
		}
	default:
		if rule != nil && (s.grpc || rule.Do != LoseReply) {
			c.skipped(s, why, false)
		}
	}
}

// sendHeld sends on a request that waited, unless its connection is over.
func (c *h2Conn) sendHeld(s *h2Stream) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.ctx.Err() != nil || c.ended:
		c.relay.book(true, func(b *Books) { b.Held--; b.Collateral++ })
		return false
	case s.up.drop: // broken off, or the server looks at it no more
		c.relay.book(true, func(b *Books) { b.Held--; b.Dropped++ })
		s.up.shut = false
		c.toServer.forgo(s)
		return false
	}
	c.relay.book(true, func(b *Books) { b.Held--; b.Out++ })
	c.toServer.release(s)
	return true
}

// weight is what a copy of the request takes in memory.
func (s *h2Stream) weight() int {
	n := s.msg.bytes
	for _, f := range s.copy {
		n += len(f.payload)
	}
	return n
}

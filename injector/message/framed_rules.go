package message

import (
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// drop is the end of a message that does not reach the server: the rule's own answer or end, in its turn; nothing for one that owes nothing.
func (c *framedConn) drop(x *exchanged) {
	rule := x.chosen.rule
	if x.frame.kind == isOneWay && rule.Do == LoseRequest {
		x.touched = true
		if rule.quiet() {
			c.relay.applied(rule, x.msg, "lost")
			c.report(x, 0)
			return
		}
		c.relay.applied(rule, x.msg, "lost, then "+string(rule.ending()))
		c.claim()
		c.endWith(x, rule.ending())
		c.written()
		return
	}
	x.local = func() {
		x.touched = true
		if rule.Do == Answer {
			c.refuse(x)
			return
		}
		c.relay.applied(rule, x.msg, "request lost, then "+string(rule.ending()))
		c.endWith(x, rule.ending())
	}
	c.mu.Lock()
	c.owed = append(c.owed, x)
	c.mu.Unlock()
	c.settle()
	_ = c.flushDown()
}

// refusal is an error in the protocol's own words.
func (c *framedConn) refusal(x *exchanged) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dialect.(refuser).refuse(x.chosen.rule.Code, x.frame)
}

// refuse answers with an error in the protocol's own words.
func (c *framedConn) refuse(x *exchanged) {
	text, err := c.refusal(x)
	if err != nil { // whoever could be told has gone meanwhile
		c.skip(x, err.Error())
		c.report(x, 0)
		return
	}
	c.relay.applied(x.chosen.rule, x.msg, "answered with "+x.chosen.rule.Code)
	c.relay.book(false, func(b *Books) { b.Injected++; b.Out++ })
	status := done
	if c.write(text) != nil || c.cw.Flush() != nil {
		status = 0
		c.relay.book(false, func(b *Books) { b.Out--; b.Collateral++ })
	}
	if _, ok := c.dialect.(parting); ok {
		c.endWith(x, ThenClosed)
		return
	}
	c.report(x, status)
}

// twice sends a message and its copy, at once or later.
func (c *framedConn) twice(x *exchanged, raw []byte) error {
	rule := x.chosen.rule
	copied := &exchanged{frame: x.frame, msg: x.msg, start: x.start, chosen: x.chosen, swallow: true}
	if rule.Late > 0 {
		err := c.release(x, raw)
		if err == nil {
			c.later(copied, raw)
		}
		return err
	}
	x.swallow, copied.swallow = rule.Second, !rule.Second
	return c.both(x, copied, raw)
}

// both sends a message and its copy with nothing between them.
func (c *framedConn) both(x, copied *exchanged, raw []byte) error {
	if c.ctx.Err() != nil {
		return c.release(x, raw)
	}
	c.relay.book(true, func(b *Books) { b.Held--; b.Copies++ })
	x.touched, copied.touched = true, true
	c.relay.applied(x.chosen.rule, x.msg, "delivered twice")
	c.upMu.Lock()
	err := c.put(x, raw)
	if err == nil {
		err = c.put(copied, raw)
	} else {
		c.relay.book(true, func(b *Books) { b.Collateral++ }) // the copy, too
	}
	c.upMu.Unlock()
	if err != nil {
		c.relay.tell(x.chosen.rule, x.msg, evidence.Collateral, "the server's connection had ended")
		return err
	}
	return c.flushUp()
}

// later puts a copy in after a time, or when the rule heals, as soon as the connection rests; when it has ended meanwhile, the copy never leaves.
func (c *framedConn) later(copied *exchanged, raw []byte) {
	rule := copied.chosen.rule
	c.relay.begin()
	c.wg.Go(func() {
		defer c.relay.end()
		timer := time.NewTimer(rule.Late)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-rule.healed:
		case <-c.ctx.Done():
			c.relay.tell(rule, copied.msg, evidence.Skipped, "the connection ended before the copy left")
			return
		}
		c.upMu.Lock()
		defer c.upMu.Unlock()
		if !c.rests() {
			c.relay.tell(rule, copied.msg, evidence.Skipped, "the connection was in the middle of something when the copy was to leave")
			return
		}
		c.relay.book(true, func(b *Books) { b.Copies++ })
		c.relay.applied(rule, copied.msg, "delivered again "+time.Since(copied.start).Round(time.Millisecond).String()+" later")
		if c.put(copied, raw) == nil {
			_ = c.uw.Flush()
		}
	})
}

// rests tells whether a copy may leave now.
func (c *framedConn) rests() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, ok := c.dialect.(resting)
	return !c.raw && !c.silent && !c.ended && !c.lost && c.ctx.Err() == nil && (!ok || r.rests())
}

// spoil corrupts or cuts a message's payload and keeps its framing right.
func (c *framedConn) spoil(x *exchanged, raw []byte) []byte {
	rule, lo, hi := x.chosen.rule, x.frame.payload[0], x.frame.payload[1]
	if hi <= lo {
		c.skip(x, "it has no payload")
		return raw
	}
	at := lo + int(evidence.Hash(rule.Seed, x.msg.seq, rule.ID, "which byte")%uint64(hi-lo)) //nolint:gosec // small
	x.touched = true
	if rule.Do == Corrupt {
		spoiled := append([]byte(nil), raw...)
		if spoiled[at] ^= 0x01; spoiled[at] == '\n' { // which ends a message in some framings
			spoiled[at] = '\t'
		}
		c.relay.applied(rule, x.msg, "a bit flipped in byte "+strconv.Itoa(at-lo+1)+" of the payload")
		return spoiled
	}
	t, ok := c.dialect.(trimmer)
	if !ok {
		c.skip(x, "its payload cannot be cut")
		return raw
	}
	c.relay.applied(rule, x.msg, "cut after "+plural(at-lo, "byte")+" of "+plural(hi-lo, "byte"))
	return t.trim(x.frame, raw, at-lo)
}

// endWith ends the connection as a rule asks and tells of the exchange, and of those behind it, which are collateral.
func (c *framedConn) endWith(x *exchanged, then Ending) {
	c.mu.Lock()
	behind := slices.Clone(c.owed)
	c.ended = then != ThenSilence
	c.silent = then == ThenSilence
	if c.silent {
		c.owed = append([]*exchanged{x}, c.owed...) // told by finish, when the caller has left
	}
	c.changed.Broadcast()
	c.mu.Unlock()
	for _, other := range behind {
		c.relay.tell(x.chosen.rule, other.msg, evidence.Collateral, "its connection ended with that of "+x.msg.op)
	}
	_ = c.cw.Flush() // answers before it arrive
	switch then {
	case ThenSilence:
		return
	case ThenClosed:
		_ = c.client.CloseWrite()
	default:
		_ = c.client.Reset()
	}
	c.report(x, 0)
	c.cancel()
}

// stop ends the reading of the client after an error of its side, or a sinkError of the server's. raw is what could not be sent on yet.
func (c *framedConn) stop(raw []byte, err error) {
	switch {
	case sunk(err):
		c.serverGone()
		c.drain()
	case errors.Is(err, errDialect):
		c.goRaw(raw, err)
	default: // the client broke off; what came of the message goes on
		if !c.deaf() {
			c.upMu.Lock()
			_, _ = c.uw.Write(raw)
			c.upMu.Unlock()
		}
		_ = c.flushUp()
		c.clientGone(err)
	}
}

// drain reads away what the client still says, until it ends.
func (c *framedConn) drain() {
	for {
		b, err := c.in.more(c.in.idle)
		if err != nil && !sunk(err) {
			c.clientGone(err)
			return
		}
		c.in.used = len(b)
		c.in.idle = func() error { return nil }
	}
}

// detached tells whether an answer is to be read to its end whether or not the client is there; c.mu is held.
func (c *framedConn) detached() bool {
	for _, x := range c.owed {
		if r := x.chosen.rule; r != nil && (r.Do == LoseReply || r.Do == Twice) {
			return true
		}
	}
	return false
}

// unpaid tells of all that the client is owed and will not get.
func (c *framedConn) unpaid() {
	c.mu.Lock()
	owed := append(c.owed, c.ids.clear()...)
	c.owed = nil
	c.mu.Unlock()
	c.unanswered(owed)
}

func (c *framedConn) unanswered(all []*exchanged) {
	for _, x := range all {
		if !x.swallow {
			c.report(x, 0)
		}
	}
}

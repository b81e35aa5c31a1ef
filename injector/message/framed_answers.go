package message

import (
	"errors"
	"io"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

func (c *framedConn) readAnswers() error {
	for {
		raw, large, err := c.out.next()
		c.claim()
		switch {
		case c.muted(): // whatever the server still says
			c.written()
			return pour(c.out, nil, func([]byte) error { return nil })
		case errors.Is(err, errDialect):
			return c.rawAnswers(raw, err)
		case err != nil:
			_, _ = c.cw.Write(raw)
			_ = c.cw.Flush()
			c.written()
			return err
		}
		err = c.fromServer(raw, large)
		c.written()
		c.settle()
		if err != nil {
			return err
		}
	}
}

// rawAnswers passes on what cannot be followed, and all that comes after it.
func (c *framedConn) rawAnswers(first []byte, why error) error {
	c.loseTrack(why)
	c.written()
	return pour(c.out, first, c.write)
}

// claim waits until nobody writes to the client and takes the writing.
func (c *framedConn) claim() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.writing {
		c.changed.Wait()
	}
	c.writing = true
}

// settle gives what stands at the front and needs no server, unless somebody else is writing: he settles when he is done.
func (c *framedConn) settle() {
	for {
		c.mu.Lock()
		if c.writing || len(c.owed) == 0 || c.owed[0].local == nil || c.silent || c.ended {
			c.mu.Unlock()
			return
		}
		x := c.owed[0]
		c.owed = c.owed[1:]
		c.writing = true
		c.mu.Unlock()
		x.local()
		c.written()
	}
}

func (c *framedConn) muted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.silent || c.ended
}

// flushDown sends the client what is held back, unless another writes: he flushes.
func (c *framedConn) flushDown() error {
	c.mu.Lock()
	if c.writing {
		c.mu.Unlock()
		return nil
	}
	c.writing = true
	c.mu.Unlock()
	err := c.cw.Flush()
	c.written()
	c.settle()
	if err != nil {
		return sinkError{err}
	}
	return nil
}

// fromServer passes one message on, or does with it what a rule says.
func (c *framedConn) fromServer(raw []byte, large bool) error {
	c.mu.Lock()
	f := c.dialect.look(ToClient, raw, c.front())
	var x *exchanged
	switch {
	case f.kind == isAnswer && len(c.owed) > 0 && c.owed[0].local == nil:
		x = c.owed[0]
	case f.kind == isOneWay && f.id != "":
		x = c.ids.first(f.id)
		f.settles = true
	}
	c.mu.Unlock()
	if r, ok := c.dialect.(rewriter); ok && !large {
		raw = r.rewrite(raw, c.client.LocalAddr())
	}
	switch {
	case x != nil:
		return c.answer(x, f, raw, large)
	case f.kind == isOneWay:
		return c.push(f, raw, large)
	}
	return c.passOn(raw)
}

// passOn gives the client a message as it came.
func (c *framedConn) passOn(raw []byte) error {
	c.relay.book(false, func(b *Books) { b.In++; b.Out++ })
	return c.deliver(raw)
}

// deliver writes a message, and what is left of a large one; where that is not possible the books say so.
func (c *framedConn) deliver(raw []byte) error {
	err := c.write(raw)
	if err == nil {
		err = c.out.rest(c.cw)
	}
	if sunk(err) {
		c.relay.book(false, func(b *Books) { b.Out--; b.Collateral++ })
	}
	return err
}

// answer carries a message of a request's answer.
func (c *framedConn) answer(x *exchanged, f frame, raw []byte, large bool) error {
	x.answer += len(raw)
	if f.says != "" {
		x.says = f.says
	}
	rule := x.chosen.rule
	lost := rule != nil && rule.Do == LoseReply
	var err error
	switch {
	case lost && f.exempt:
		c.skip(x, "not an answer of whoever does the work: "+f.says)
		lost = false
		err = c.passOn(raw)
	case lost && rule.ending() == ThenHeld && !x.touched && large:
		c.skip(x, "too large: more than "+plural(int(c.relay.cfg.Whole), "byte"))
		lost = false
		err = c.passOn(raw)
	case lost && rule.ending() == ThenHeld && !x.touched:
		err = c.holdAnswer(x, raw)
	case lost && rule.ending() != ThenHeld:
		c.relay.book(false, func(b *Books) { b.In++; b.Withheld++ })
		err = c.out.rest(io.Discard)
	case x.swallow:
		c.relay.book(false, func(b *Books) { b.In++; b.Swallowed++ })
		err = c.out.rest(io.Discard)
	default:
		err = c.passOn(raw)
	}
	if err != nil || !f.settles {
		return err
	}
	c.paid(x)
	if x.frame.kind == isRequest {
		c.relay.passed(x.passes)
	}
	switch {
	case lost && rule.ending() != ThenHeld:
		c.lose(x)
	case x.swallow:
		c.relay.tell(rule, x.msg, evidence.Swallowed, x.told())
	default:
		c.report(x, done)
	}
	return nil
}

// lose brings the end of a reply that was withheld as a whole. One that came by its id is missing by itself, when silence is what follows.
func (c *framedConn) lose(x *exchanged) {
	rule := x.chosen.rule
	x.touched = true
	if x.frame.id != "" && rule.quiet() {
		c.relay.applied(rule, x.msg, x.told()+" lost")
		c.report(x, 0)
		return
	}
	c.relay.applied(rule, x.msg, x.told()+" lost, then "+string(rule.ending()))
	c.endWith(x, rule.ending())
}

// quiet tells whether the loss of a message that nothing stands behind takes nothing else along.
func (r Rule) quiet() bool { return r.Then == "" || r.Then == ThenSilence }

func (x *exchanged) told() string {
	if x.says == "" {
		return plural(x.answer, "byte")
	}
	return x.says + ", " + plural(x.answer, "byte")
}

// holdAnswer keeps an answer, and all behind it, until the rule is healed.
func (c *framedConn) holdAnswer(x *exchanged, raw []byte) error {
	rule := x.chosen.rule
	kept := append([]byte(nil), raw...)
	c.relay.begin()
	defer c.relay.end()
	c.relay.book(false, func(b *Books) { b.In++; b.Held++ })
	c.relay.tell(rule, x.msg, evidence.Held, x.told()+", until healed")
	x.touched = true
	rule.Count.Touch(1)
	_ = c.cw.Flush() // what came before it
	if !c.until(rule) {
		c.relay.book(false, func(b *Books) { b.Held--; b.Withheld++ })
		return io.EOF
	}
	c.relay.tell(rule, x.msg, evidence.Released, "")
	c.relay.book(false, func(b *Books) { b.Held--; b.Out++ })
	return c.deliver(kept)
}

// paid takes an exchange off what is owed.
func (c *framedConn) paid(x *exchanged) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if x.frame.id != "" {
		c.ids.remove(x)
	}
	if len(c.owed) > 0 && c.owed[0] == x {
		c.owed = c.owed[1:]
	}
	c.changed.Broadcast()
}

// push is a message that the server says of its own accord.
func (c *framedConn) push(f frame, raw []byte, large bool) error {
	c.mu.Lock()
	c.seq++
	seq := c.seq
	c.mu.Unlock()
	x := &exchanged{frame: f, start: time.Now()}
	x.msg = message{conn: c.client.ID(), seq: seq, dir: ToClient, method: f.method, path: f.path, op: opOf(f), key: f.key, bytes: len(raw), header: f.header}
	x.chosen = c.relay.decide(x.msg)
	switch {
	case x.chosen.rule == nil:
	case f.immune != "":
		c.skip(x, f.immune)
	case large:
		c.skip(x, "too large: more than "+plural(int(c.relay.cfg.Whole), "byte"))
	}
	if len(x.chosen.delays) == 0 && x.chosen.rule == nil {
		return c.overtake(x, c.passOn(raw))
	}
	c.relay.begin()
	defer c.relay.end()
	c.relay.book(false, func(b *Books) { b.In++ })
	_ = c.cw.Flush()
	x.touched = c.sleep(x.chosen.delays, x.msg) || x.touched
	times := 1
	switch rule := x.chosen.rule; {
	case rule == nil:
	case rule.Do == LoseRequest && rule.ending() != ThenHeld:
		c.relay.book(false, func(b *Books) { b.Dropped++ })
		if rule.quiet() {
			c.relay.applied(rule, x.msg, "lost")
			return nil
		}
		c.relay.applied(rule, x.msg, "lost, then "+string(rule.ending()))
		c.endWith(x, rule.ending())
		return nil
	case rule.Do == LoseRequest:
		c.hold(rule, x.msg)
	case rule.Do == Reorder:
		c.reorder(rule, x.msg)
	case rule.Do == Corrupt, rule.Do == Truncate:
		raw = c.spoil(x, raw)
	case rule.Do == Twice:
		c.relay.applied(rule, x.msg, "delivered twice")
		c.relay.book(false, func(b *Books) { b.Copies++ })
		times = 2
	}
	for n := range times {
		c.relay.book(false, func(b *Books) { b.Out++ })
		if err := c.deliver(raw); err != nil {
			c.relay.book(false, func(b *Books) { b.Collateral += int64(times - 1 - n) }) // the copy, too
			return err
		}
	}
	return c.overtake(x, nil)
}

// overtake lets those held know that a message to the client went, and err is what came of it.
func (c *framedConn) overtake(x *exchanged, err error) error {
	x.passes = c.relay.passing(x.msg)
	if err == nil && len(x.passes) > 0 {
		if err = c.cw.Flush(); err != nil {
			return sinkError{err}
		}
		c.relay.passed(x.passes)
	}
	return err
}

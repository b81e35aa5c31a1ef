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
		c.beginWrite()
		switch {
		case c.outputDiscarded(): // discard the remaining output
			c.endWrite()
			return copyRemaining(c.out, nil, func([]byte) error { return nil })
		case errors.Is(err, errDialect):
			return c.passAnswersThrough(raw, err)
		case err != nil:
			c.countCrossed()
			_, _ = c.cw.Write(raw)
			_ = c.cw.Flush()
			c.endWrite()
			return err
		}
		err = c.fromServer(raw, large)
		c.endWrite()
		c.answerLocally()
		if err != nil {
			return err
		}
	}
}

// passAnswersThrough forwards first and all further output of the server unchanged, after output that cannot be
// parsed.
func (c *framedConn) passAnswersThrough(first []byte, why error) error {
	c.enterPassthrough(why)
	c.endWrite()
	return copyRemaining(c.out, first, c.write)
}

// beginWrite waits for ownership of cw.
func (c *framedConn) beginWrite() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.writing {
		c.changed.Wait()
	}
	c.writing = true
}

// answerLocally writes the answers at the front of the queue that do not come from the server. If another
// goroutine owns the writer, it does nothing: that goroutine calls answerLocally when it has finished.
func (c *framedConn) answerLocally() {
	for {
		c.mu.Lock()
		if c.writing || len(c.pending) == 0 || c.pending[0].localAnswer == nil || c.blackholed || c.endedByRule {
			c.mu.Unlock()
			return
		}
		x := c.pending[0]
		c.pending = c.pending[1:]
		c.writing = true
		c.mu.Unlock()
		x.localAnswer()
		c.endWrite()
	}
}

func (c *framedConn) outputDiscarded() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.blackholed || c.endedByRule
}

// flushToClient flushes cw, unless another goroutine owns it, which will flush it.
func (c *framedConn) flushToClient() error {
	c.mu.Lock()
	if c.writing {
		c.mu.Unlock()
		return nil
	}
	c.writing = true
	c.mu.Unlock()
	err := c.cw.Flush()
	c.endWrite()
	c.answerLocally()
	if err != nil {
		return sinkError{err}
	}
	return nil
}

// fromServer forwards one message, or applies a rule to it.
func (c *framedConn) fromServer(raw []byte, large bool) error {
	c.mu.Lock()
	f := c.dialect.inspect(ToClient, raw, c.front())
	var x *framedExchange
	switch {
	case f.kind == isAnswer && len(c.pending) > 0 && c.pending[0].localAnswer == nil:
		x = c.pending[0]
	case f.kind == isOneWay && f.id != "":
		x = c.ids.first(f.id)
		f.final = true
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

// passOn forwards a message unchanged.
func (c *framedConn) passOn(raw []byte) error {
	return c.deliver(c.relay.Received(ToClient), raw)
}

// deliver writes a message, and streams the rest of a large one.
func (c *framedConn) deliver(t Ticket, raw []byte) error {
	err := c.writeMessage(raw)
	if err == nil {
		err = c.out.copyRest(c.cw)
	}
	if isSinkError(err) {
		t.End(Collateral)
	} else {
		t.End(Delivered)
	}
	return err
}

// discard discards a message of an answer.
func (c *framedConn) discard(o Outcome) error {
	t := c.relay.Received(ToClient)
	t.End(o)
	return c.out.copyRest(io.Discard)
}

// answer processes one message of an answer.
func (c *framedConn) answer(x *framedExchange, f frame, raw []byte, large bool) error {
	if x.answerBytes == 0 && len(x.replyDelays) > 0 && !f.exempt {
		_ = c.cw.Flush() // deliver earlier answers
		x.affected = c.relay.sleep(c.ctx, x.replyDelays, x.msg) || x.affected
		c.markAnswerReleased(x)
	}
	x.answerBytes += len(raw)
	if f.detail != "" {
		x.detail = f.detail
	}
	rule := x.Rule()
	held := x.does(LoseReply) && rule.ending() == EndHeld
	if rule != nil && rule.Action.OfReply() && (!x.does(LoseReply) || f.exempt || large && held && !x.answerHeld) {
		switch {
		case f.exempt:
			c.relay.skip(&x.Exchange, "not an answer of the service that does the work: "+f.detail)
		case large:
			c.relay.skip(&x.Exchange, c.relay.tooLarge())
		default:
			p := c.payload(f, raw)
			c.relay.change(&x.Exchange, &p)
			raw = p.raw
		}
	}
	lost := x.does(LoseReply) && !held
	var err error
	switch {
	case x.does(LoseReply) && held && !x.answerHeld:
		err = c.holdAnswer(x, rule, raw)
	case lost:
		err = c.discard(HeldBack)
	case x.discardAnswer:
		err = c.discard(Discarded)
	default:
		err = c.passOn(raw)
	}
	if err != nil || !f.final {
		return err
	}
	c.dequeue(x)
	if x.frame.kind == isRequest {
		c.relay.countPassed(x.overtaken)
	}
	switch {
	case lost:
		c.endLostAnswer(x, rule)
	case x.discardAnswer:
		c.relay.record(rule, x.msg, evidence.Discarded, x.describe())
	default:
		c.report(x, done)
	}
	return nil
}

// endLostAnswer ends the connection, as the rule asks, after an answer was lost. If the answer was identified by
// an ID, the loss may leave the connection open.
func (c *framedConn) endLostAnswer(x *framedExchange, rule *Live) {
	x.affected = true
	if x.frame.id != "" && rule.losesOnlyMessage() {
		c.relay.applied(rule, x.msg, x.describe()+" lost")
		c.report(x, 0)
		return
	}
	c.relay.applied(rule, x.msg, x.describe()+" lost, then "+string(rule.ending()))
	c.relay.end(&x.Exchange, rule, &framedRequest{framedConn: c, x: x}, rule.ending())
}

func (x *framedExchange) describe() string {
	if x.detail == "" {
		return plural(x.answerBytes, "byte")
	}
	return x.detail + ", " + plural(x.answerBytes, "byte")
}

// holdAnswer holds an answer and everything after it back until the rule is healed.
func (c *framedConn) holdAnswer(x *framedExchange, rule *Live, raw []byte) error {
	x.answerHeld = true
	message := append([]byte(nil), raw...)
	c.relay.Begin()
	defer c.relay.End()
	reply := c.relay.Received(ToClient)
	_ = c.cw.Flush() // deliver earlier answers
	if !c.relay.hold(c.ctx, &x.Exchange, rule, x.describe()+", until healed") {
		reply.End(HeldBack)
		return io.EOF
	}
	c.markAnswerReleased(x)
	return c.deliver(reply, message)
}

// dequeue removes an answered call.
func (c *framedConn) dequeue(x *framedExchange) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if x.frame.id != "" {
		c.ids.remove(x)
	}
	if len(c.pending) > 0 && c.pending[0] == x {
		c.pending = c.pending[1:]
	}
	c.changed.Broadcast()
}

// push processes a message that the server sends on its own.
func (c *framedConn) push(f frame, raw []byte, large bool) error {
	c.mu.Lock()
	c.seq++
	seq := c.seq
	c.mu.Unlock()
	x := &framedExchange{frame: f, Exchange: Exchange{start: time.Now(), oneWay: true}}
	x.msg = Message{conn: c.client.ID(), seq: seq, dir: ToClient, method: f.method, path: f.path, op: opOf(f), key: f.key, bytes: len(raw), header: f.header}
	c.relay.admit(&x.Exchange)
	switch {
	case x.Rule() == nil:
	case f.immune != "":
		c.relay.skip(&x.Exchange, f.immune)
	case large:
		c.relay.skip(&x.Exchange, c.relay.tooLarge())
	}
	x.request = c.relay.Received(ToClient)
	p := &framedPush{framedRequest{framedConn: c, x: x, framedPayload: c.payload(f, raw)}}
	if !x.intercepted() {
		_, err := c.relay.Forward(&x.Exchange, p)
		return err
	}
	c.relay.Begin()
	defer c.relay.End()
	_ = c.cw.Flush()
	return c.relay.carry(&x.Exchange, p)
}

// framedPush is a message to the client. The goroutine owns cw.
type framedPush struct{ framedRequest }

func (*framedPush) Outlived() {}

func (p *framedPush) Forward() (Outcome, error) {
	outcome, err := p.writePush(p.raw)
	return outcome, p.flushOvertaking(p.x, err)
}

// writePush writes a message, and streams the rest of a large one.
func (p *framedPush) writePush(raw []byte) (Outcome, error) {
	err := p.writeMessage(raw)
	if err == nil {
		err = p.out.copyRest(p.cw)
	}
	if isSinkError(err) {
		return Collateral, err
	}
	return Delivered, err
}

func (p *framedPush) Drop() Outcome {
	p.relay.Instead(&p.x.Exchange, p)
	return Dropped
}

func (p *framedPush) Twice() error {
	x, rule := p.x, p.x.Rule()
	x.affected = true
	p.relay.applied(rule, x.msg, "delivered twice")
	duplicate := p.relay.Copied(ToClient)
	outcome, err := p.writePush(p.raw)
	x.request.End(outcome)
	if err == nil {
		outcome, err = p.writePush(p.raw)
	}
	duplicate.End(outcome)
	return p.flushOvertaking(x, err)
}

// flushOvertaking counts a message to the client as having overtaken held ones, after it has been flushed. err
// is the result of writing it.
func (c *framedConn) flushOvertaking(x *framedExchange, err error) error {
	x.overtaken = c.relay.overtakenBy(x.msg)
	if err == nil && len(x.overtaken) > 0 {
		if err = c.cw.Flush(); err != nil {
			return sinkError{err}
		}
		c.relay.countPassed(x.overtaken)
	}
	return err
}

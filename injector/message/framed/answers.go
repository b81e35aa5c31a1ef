package framed

import (
	"errors"
	"io"
	"time"

	"github.com/dustin/go-humanize/english"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/message/duplex"
)

func (c *connection) ReadAnswers() error {
	for {
		raw, large, err := c.out.next()
		c.BeginWrite()
		switch {
		case c.EndedByRule(): // discard the remaining output
			c.EndWrite()
			return copyRemaining(c.out, nil, func([]byte) error { return nil })
		case errors.Is(err, ErrNotUnderstood):
			return c.passAnswersThrough(raw, err)
		case err != nil:
			c.countCrossed()
			_, _ = c.ClientOut.Write(raw)
			_ = c.ClientOut.Flush()
			c.EndWrite()
			return err
		}
		err = c.fromServer(raw, large)
		c.EndWrite()
		if err != nil {
			return err
		}
	}
}

// passAnswersThrough forwards first and all further output of the server unchanged, after output that cannot be
// parsed. Requests that are pending may still be answered by a rule meanwhile.
func (c *connection) passAnswersThrough(first []byte, why error) error {
	c.enterPassthrough(why)
	c.EndWrite()
	return copyRemaining(c.out, first, func(b []byte) error {
		c.BeginWrite()
		defer c.EndWrite()
		return c.WriteToClient(b)
	})
}

// fromServer forwards one message, or applies a rule to it.
func (c *connection) fromServer(raw []byte, large bool) error {
	c.Lock()
	f := c.dialect.Inspect(message.ToClient, raw, c.nextFrame())
	var x *exchange
	switch {
	case f.Kind == Response:
		x = c.Front()
	case f.Kind == OneWay && f.ID != "":
		x = c.ids.first(f.ID)
		f.Final = true
	}
	c.Unlock()
	if r, ok := c.dialect.(Rewriter); ok && !large {
		raw = r.Rewrite(raw, c.Client.LocalAddr())
	}
	if g, ok := c.dialect.(Guide); ok {
		request := ""
		if x != nil {
			request = x.frame.Method
		}
		if g.Guides(request, raw) {
			c.Relay.Told(raw)
			if large {
				c.Relay.ToldUnread(message.TooLarge(message.MaxBuffered))
			}
		}
	}
	switch {
	case x != nil:
		return c.answer(x, f, raw, large)
	case f.Kind == OneWay:
		return c.push(f, raw, large)
	}
	return c.passOn(raw)
}

// passOn forwards a message unchanged.
func (c *connection) passOn(raw []byte) error {
	return c.deliver(c.Relay.Received(message.ToClient), raw)
}

// deliver writes a message, and streams the rest of a large one.
func (c *connection) deliver(t message.Ticket, raw []byte) error {
	err := c.WriteMessage(raw)
	if err == nil {
		err = c.out.copyRest(c.ClientOut)
	}
	if duplex.IsWriteError(err) {
		t.End(message.Collateral)
	} else {
		t.End(message.Delivered)
	}
	return err
}

// discard discards a message of an answer.
func (c *connection) discard(o message.Outcome) error {
	t := c.Relay.Received(message.ToClient)
	t.End(o)
	return c.out.copyRest(io.Discard)
}

// answer processes one message of an answer.
func (c *connection) answer(x *exchange, f Frame, raw []byte, large bool) error {
	if x.answerBytes == 0 && len(x.ReplyDelays) > 0 && !f.Exempt {
		_ = c.ClientOut.Flush() // deliver earlier answers
		x.Affected = c.Relay.Sleep(c.Context(), x.ReplyDelays, x.Message) || x.Affected
		c.markAnswerReleased(x)
	}
	if x.answerBytes == 0 && x.frame.Kind == Request { // before the client can have the answer and close for that reason
		x.GaveUpAt = c.ClientClosedAt()
	}
	x.answerBytes += len(raw)
	if f.Detail != "" {
		x.detail = f.Detail
	}
	rule := x.Rule()
	held := x.Does(message.LoseReply) && rule.Ending() == message.EndHeld
	if rule != nil && rule.Action.OfReply() && (!x.Does(message.LoseReply) || f.Exempt || large && held && !x.answerHeld) {
		switch {
		case f.Exempt:
			c.Relay.Skip(&x.Exchange, "not an answer of the service that does the work: "+f.Detail)
		case large:
			c.Relay.Skip(&x.Exchange, message.TooLarge(message.MaxBuffered))
		default:
			p := c.payload(f, raw)
			c.Relay.Damage(&x.Exchange, &p)
			raw = p.raw
		}
	}
	lost := x.Does(message.LoseReply) && !held
	var err error
	switch {
	case x.Does(message.LoseReply) && held && !x.answerHeld:
		err = c.holdAnswer(x, rule, raw)
	case lost:
		err = c.discard(message.HeldBack)
	case x.discardAnswer:
		err = c.discard(message.Discarded)
	default:
		err = c.passOn(raw)
	}
	if err != nil || !f.Final {
		return err
	}
	c.dequeue(x)
	if x.frame.Kind == Request {
		c.Relay.CountPassed(x.Overtaken)
	}
	switch {
	case lost:
		c.endLostAnswer(x, rule)
	case x.discardAnswer:
		c.Relay.Record(rule, x.Message, evidence.Discarded, x.describe())
	default:
		c.report(x, done)
	}
	return nil
}

// endLostAnswer ends the connection, as the rule asks, after an answer was lost. If the answer was identified by
// an ID, the loss may leave the connection open.
func (c *connection) endLostAnswer(x *exchange, rule *message.Live) {
	x.Affected = true
	if x.frame.ID != "" && rule.LosesOnlyMessage() {
		c.Relay.Applied(rule, x.Message, x.describe()+" lost")
		c.report(x, 0)
		return
	}
	c.Relay.Applied(rule, x.Message, x.describe()+" lost, then "+string(rule.Ending()))
	c.Relay.EndConnection(&x.Exchange, rule, &requestCarrier{connection: c, x: x}, rule.Ending())
}

func (x *exchange) describe() string {
	if x.detail == "" {
		return english.Plural(x.answerBytes, "byte", "")
	}
	return x.detail + ", " + english.Plural(x.answerBytes, "byte", "")
}

// holdAnswer holds an answer and everything after it back until the rule is healed.
func (c *connection) holdAnswer(x *exchange, rule *message.Live, raw []byte) error {
	x.answerHeld = true
	held := append([]byte(nil), raw...)
	c.Relay.Begin()
	defer c.Relay.End()
	reply := c.Relay.Received(message.ToClient)
	_ = c.ClientOut.Flush() // deliver earlier answers
	if !c.Relay.Hold(c.Context(), &x.Exchange, rule, x.describe()+", until healed") {
		reply.End(message.HeldBack)
		return io.EOF
	}
	c.markAnswerReleased(x)
	return c.deliver(reply, held)
}

// dequeue removes an answered call.
func (c *connection) dequeue(x *exchange) {
	if x.frame.ID != "" {
		c.Lock()
		c.ids.remove(x)
		c.Unlock()
	}
	c.Answered(x)
}

// push processes a message that the server sends on its own.
func (c *connection) push(f Frame, raw []byte, large bool) error {
	x := &exchange{frame: f, Exchange: message.Exchange{Start: time.Now(), OneWay: true}}
	x.Message = message.Message{Conn: c.Client.ID(), Seq: c.NextSeq(), Dir: message.ToClient, Topic: message.Topic{Method: f.Method, Path: f.Path}, Op: opOf(f), Key: f.Key, Bytes: len(raw), Header: f.Header}
	c.Relay.Admit(&x.Exchange)
	switch {
	case x.Rule() == nil:
	case f.Immune != "":
		c.Relay.Skip(&x.Exchange, f.Immune)
	case large:
		c.Relay.Skip(&x.Exchange, message.TooLarge(message.MaxBuffered))
	}
	x.Ticket = c.Relay.Received(message.ToClient)
	p := &pushCarrier{requestCarrier{connection: c, x: x, bufferedPayload: c.payload(f, raw)}}
	if !x.Intercepted() {
		_, err := c.Relay.Forward(&x.Exchange, p)
		return err
	}
	c.Relay.Begin()
	defer c.Relay.End()
	_ = c.ClientOut.Flush()
	return c.Relay.Carry(&x.Exchange, p)
}

// pushCarrier is a message to the client. The goroutine owns ClientOut.
type pushCarrier struct{ requestCarrier }

func (*pushCarrier) Outlived() {}

func (p *pushCarrier) Forward() (message.Outcome, error) {
	outcome, err := p.writePush(p.raw)
	return outcome, p.flushOvertaking(p.x, err)
}

// writePush writes a message, and streams the rest of a large one.
func (p *pushCarrier) writePush(raw []byte) (message.Outcome, error) {
	err := p.WriteMessage(raw)
	if err == nil {
		err = p.out.copyRest(p.ClientOut)
	}
	if duplex.IsWriteError(err) {
		return message.Collateral, err
	}
	return message.Delivered, err
}

func (p *pushCarrier) Drop() message.Outcome {
	p.Relay.Instead(&p.x.Exchange, p)
	return message.Dropped
}

func (p *pushCarrier) Twice() error {
	x, rule := p.x, p.x.Rule()
	x.Affected = true
	p.Relay.Applied(rule, x.Message, "delivered twice")
	duplicate := p.Relay.Copied(message.ToClient)
	outcome, err := p.writePush(p.raw)
	x.Ticket.End(outcome)
	if err == nil {
		outcome, err = p.writePush(p.raw)
	}
	duplicate.End(outcome)
	return p.flushOvertaking(x, err)
}

// flushOvertaking counts a message to the client as having overtaken held ones, after it has been flushed. err
// is the result of writing it.
func (c *connection) flushOvertaking(x *exchange, err error) error {
	x.Overtaken = c.Relay.OvertakenBy(x.Message)
	if err == nil && len(x.Overtaken) > 0 {
		if err = c.ClientOut.Flush(); err != nil {
			return duplex.WriteFailed(err)
		}
		c.Relay.CountPassed(x.Overtaken)
	}
	return err
}

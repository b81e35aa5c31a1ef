package datagram

import (
	"context"
	"slices"
	"time"

	"github.com/firedrill-dev/firedrill/injector/message"
)

// datagram is a datagram that rules may act on.
type datagram struct {
	*message.Exchange
	link       *Link
	session    *session
	body       []byte // borrowed from the reader until own is called
	owned      bool
	reply      []byte // the answer that the rule asks for
	delaysDone int    // number of delays that have passed
	isCopy     bool   // a copy of a datagram that was already delivered
	heldSince  time.Time
}

// own replaces the borrowed body by a copy.
func (p *datagram) own() {
	if !p.owned {
		p.body, p.owned = slices.Clone(p.body), true
	}
}

// handle evaluates the rules for a datagram and forwards it or applies the chosen rule.
func (l *Link) handle(s *session, d message.Dir, b []byte) {
	s.seq[d]++
	info := message.Message{Conn: s.id, Seq: s.seq[d], Dir: d, Bytes: len(b), Op: anyOp}
	if !l.codec.opaque {
		l.codec.read(b, &info)
	}
	l.relay.CountOperation(info)
	ticket := l.relay.Received(d)
	if l.relay.Idle() {
		ticket.End(l.write(s, d, b))
		return
	}
	if l.codec.opaque {
		l.codec.read(b, &info)
	}
	p := &datagram{Exchange: l.relay.Decide(info, ticket), link: l, session: s, body: b}
	if rule := p.Rule(); rule != nil && rule.Action == message.Answer {
		var err error
		if p.reply, err = l.codec.answer(b, rule.Code); err != nil {
			l.relay.Skip(p.Exchange, err.Error())
		}
	}
	l.advance(p)
}

// advance performs the next step for a datagram: a delay or the rule's action.
func (l *Link) advance(p *datagram) {
	if delays := p.Delays; p.delaysDone < len(delays) {
		w := delays[p.delaysDone]
		if l.delayed.add(p, w.Rule(), w.By()) {
			return
		}
		l.relay.SkipDelays(p.Exchange, p.delaysDone, fullReason)
	}
	rule := p.Rule()
	if rule == nil || rule.Action != message.Reorder {
		_ = l.relay.Act(p.Exchange, p)
		return
	}
	wait := l.relay.Reorder(p.Exchange)
	if wait == nil {
		_ = l.relay.Act(p.Exchange, p)
		return
	}
	p.own()
	l.hold(p)
	l.wg.Go(func() {
		defer l.release(p)
		wait(l.ctx)
		_, _ = l.relay.Forward(p.Exchange, p)
	})
}

const fullReason = "too many datagrams are held already"

// onDue is called when a delay has passed or a late copy is due.
func (l *Link) onDue(p *datagram) {
	took := time.Since(p.heldSince)
	if p.isCopy {
		p.deliverCopy("delivered again after " + took.Round(time.Millisecond).String())
		return
	}
	l.relay.Delayed(p.Delays[p.delaysDone], p.Message, took)
	p.delaysDone++
	l.advance(p)
}

// Context implements message.Carrier, as do the other exported methods.
func (p *datagram) Context() context.Context { return p.link.ctx }

// Outlived does nothing: UDP clients do not disconnect.
func (*datagram) Outlived() {}

// Report does nothing: datagrams are not calls.
func (*datagram) Report(int) {}

// End does nothing: there is no connection.
func (*datagram) End(message.Ending, func(message.Message)) {}

// Forward sends the datagram.
func (p *datagram) Forward() (message.Outcome, error) {
	overtaken := p.link.relay.OvertakenBy(p.Message) // before writing, so that later datagrams are not counted
	outcome := p.link.write(p.session, p.Message.Dir, p.body)
	if outcome == message.Delivered {
		p.link.relay.CountPassed(overtaken)
	} else {
		p.link.relay.Lost(p.Exchange, "its port was closed, or it could not be written")
	}
	return outcome, nil
}

// Drop discards the datagram, and sends the rule's answer if it has one.
func (p *datagram) Drop() message.Outcome {
	p.link.relay.Instead(p.Exchange, p)
	return message.Dropped
}

// Instead describes the answer that the rule asks for.
func (p *datagram) Instead() (string, error) { return "answered with " + p.Rule().Code, nil }

// Answer sends the rule's answer to a question.
func (p *datagram) Answer() message.Outcome {
	return p.link.write(p.session, message.ToClient, p.reply)
}

// Twice delivers a datagram and its copy, at once or late.
func (p *datagram) Twice() error {
	if outcome, _ := p.link.relay.Forward(p.Exchange, p); outcome != message.Delivered {
		return nil
	}
	p.isCopy = true
	switch delay := p.Rule().Late; {
	case delay == 0:
		p.deliverCopy("delivered twice")
	case !p.link.delayed.add(p, p.Rule(), delay):
		p.link.relay.Skip(p.Exchange, fullReason)
	}
	return nil
}

// deliverCopy sends the copy.
func (p *datagram) deliverCopy(detail string) {
	ticket := p.link.relay.Copied(p.Message.Dir)
	outcome := p.link.write(p.session, p.Message.Dir, p.body)
	ticket.End(outcome)
	if outcome == message.Delivered {
		p.link.relay.Applied(p.Rule(), p.Message, detail)
	}
}

// headerLen returns the number of bytes at the beginning that are not corrupted.
func (p *datagram) headerLen() int {
	if n := p.link.codec.headerLen; len(p.body) > n {
		return n
	}
	return 0
}

// Size returns the number of bytes that may be damaged. Truncation may remove the header.
func (p *datagram) Size(cut bool) int {
	if cut {
		return len(p.body)
	}
	return len(p.body) - p.headerLen()
}

// Damage flips a bit or truncates the datagram.
func (p *datagram) Damage(at int, cut bool) error {
	p.own()
	if cut {
		p.body = p.body[:at]
	} else {
		p.body[p.headerLen()+at] ^= 0x01
	}
	return nil
}

// hold and release mark the beginning and end of the time that a datagram is held.
func (l *Link) hold(p *datagram) {
	p.session.held.Add(1)
	l.relay.Begin()
}

func (l *Link) release(p *datagram) {
	l.relay.End()
	p.session.held.Add(-1)
}

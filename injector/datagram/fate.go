package datagram

import (
	"slices"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// parcel is a datagram on its way to its fate.
type parcel struct {
	message.Datagram
	message.Chosen
	session *session
	body    []byte // borrowed from the reader until keep
	kept    bool
	again   bool // the copy of one that was delivered already
	began   time.Time
}

// keep makes the body the parcel's own.
func (p *parcel) keep() {
	if !p.kept {
		p.body, p.kept = slices.Clone(p.body), true
	}
}

// meet lets the rules decide about a datagram, and sends it or what they make of it.
func (l *Link) meet(s *session, d message.Dir, b []byte) {
	s.seq[d]++
	if l.relay.Pass(d) {
		l.write(s, d, b)
		return
	}
	p := &parcel{Datagram: message.Datagram{Conn: s.id, Seq: s.seq[d], Dir: d, Bytes: len(b)}, session: s, body: b}
	l.codec.read(b, &p.Datagram)
	p.Chosen = l.relay.Decide(p.Datagram)
	l.relay.Book(d, func(b *message.Books) { b.In++ })
	l.next(p)
}

// next is a parcel's next step: a wait, or its fate.
func (l *Link) next(p *parcel) {
	if len(p.Waits) > 0 {
		w := p.Waits[0]
		if l.later.put(p, w.Rule(), w.By()) {
			return
		}
		l.relay.Tell(w.Rule(), p.Datagram, evidence.Skipped, full)
		p.Waits = nil
	}
	l.act(p)
}

const full = "too many are kept back already"

// waited is the end of a wait, or the time of a late copy.
func (l *Link) waited(p *parcel, rule *message.Live) {
	took := time.Since(p.began).Round(time.Millisecond).String()
	if p.again {
		l.copied(p, "delivered again after "+took)
		return
	}
	l.relay.Applied(rule, p.Datagram, "delayed by "+took)
	p.Waits = p.Waits[1:]
	l.next(p)
}

// act carries out what was chosen.
func (l *Link) act(p *parcel) {
	rule := p.Rule
	if rule == nil {
		l.out(p)
		return
	}
	switch rule.Do {
	case message.LoseRequest:
		l.relay.Book(p.Dir, func(b *message.Books) { b.Dropped++ })
		l.relay.Applied(rule, p.Datagram, "lost")
	case message.Answer:
		l.answer(p)
	case message.Twice:
		l.twice(p)
	case message.Reorder:
		l.reorder(p)
	case message.Corrupt, message.Truncate:
		l.change(p)
	default:
		l.skip(p, "nobody knows how to do this to a datagram")
	}
}

// skip tells that the chosen rule cannot act, and sends the datagram as it is.
func (l *Link) skip(p *parcel, why string) {
	l.relay.Tell(p.Rule, p.Datagram, evidence.Skipped, why)
	l.out(p)
}

// out sends a datagram.
func (l *Link) out(p *parcel) bool {
	l.relay.Book(p.Dir, func(b *message.Books) { b.Out++ })
	went := l.relay.Overtakes(p.Datagram) // and none that comes once this one has left
	if !l.write(p.session, p.Dir, p.body) {
		if p.Rule != nil {
			l.relay.Tell(p.Rule, p.Datagram, evidence.Collateral, "its port was closed, or it could not be written")
		}
		return false
	}
	went()
	return true
}

// answer answers a question without the dependency.
func (l *Link) answer(p *parcel) {
	reply, err := l.codec.answer(p.body, p.Rule.Code)
	if err != nil {
		l.skip(p, err.Error())
		return
	}
	l.relay.Book(message.ToServer, func(b *message.Books) { b.Dropped++ })
	l.relay.Book(message.ToClient, func(b *message.Books) { b.Injected++; b.Out++ })
	if l.write(p.session, message.ToClient, reply) {
		l.relay.Applied(p.Rule, p.Datagram, "answered with "+p.Rule.Code)
	}
}

// twice delivers a datagram and its copy, at once or later.
func (l *Link) twice(p *parcel) {
	if !l.out(p) {
		return
	}
	p.again = true
	switch {
	case p.Rule.Late == 0:
		l.copied(p, "delivered twice")
	case !l.later.put(p, p.Rule, p.Rule.Late):
		l.relay.Tell(p.Rule, p.Datagram, evidence.Skipped, full)
	}
}

// copied delivers the copy.
func (l *Link) copied(p *parcel, detail string) {
	l.relay.Book(p.Dir, func(b *message.Books) { b.Copies++; b.Out++ })
	if l.write(p.session, p.Dir, p.body) {
		l.relay.Applied(p.Rule, p.Datagram, detail)
	}
}

// change sends a datagram with one byte changed, or its first half.
func (l *Link) change(p *parcel) {
	size := len(p.body)
	if size == 0 {
		l.skip(p, "it is empty")
		return
	}
	p.keep()
	detail := "one byte changed"
	if p.Rule.Do == message.Truncate {
		p.body, detail = p.body[:size/2], "cut to its first half"
	} else {
		from := 0
		if size > l.codec.head {
			from = l.codec.head
		}
		p.body[from+int(p.Draw%uint64(size-from))] ^= byte(p.Draw>>56) | 1 //nolint:gosec // within the datagram
	}
	if l.out(p) {
		l.relay.Applied(p.Rule, p.Datagram, detail)
	}
}

// reorder keeps a datagram back until others passed it.
func (l *Link) reorder(p *parcel) {
	wait, skipped := l.relay.Hold(p.Rule)
	if wait == nil {
		l.skip(p, skipped)
		return
	}
	p.keep()
	l.hold(p)
	l.relay.Tell(p.Rule, p.Datagram, evidence.Held, "until others passed")
	l.wg.Go(func() {
		passed := wait(l.ctx)
		defer l.release(p)
		switch {
		case l.ctx.Err() != nil:
			l.relay.Book(p.Dir, func(b *message.Books) { b.Collateral++ })
		case !passed:
			l.relay.Tell(p.Rule, p.Datagram, evidence.Expired, "became a mere delay")
			l.out(p)
		default:
			l.relay.Tell(p.Rule, p.Datagram, evidence.Released, "")
			if l.out(p) {
				l.relay.Applied(p.Rule, p.Datagram, "others passed it")
			}
		}
	})
}

// hold and release bracket the time for which a datagram is kept back.
func (l *Link) hold(p *parcel) {
	p.session.held.Add(1)
	l.relay.Begin()
	l.relay.Book(p.Dir, func(b *message.Books) { b.Held++ })
}

func (l *Link) release(p *parcel) {
	l.relay.Book(p.Dir, func(b *message.Books) { b.Held-- })
	l.relay.End()
	p.session.held.Add(-1)
}

package message

import (
	"io"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// replyCarrier is the interface between the rules and a transport for the answer to a call. The beginning of the
// answer has been received.
type replyCarrier interface {
	Sender
	Payload
	serverIdle() // a rule is about to hold the answer back, which leaves the server's connection idle
	// read reads the whole answer and keeps or discards it. It returns false if the answer is truncated or must
	// be skipped; skip is called with the reason.
	read(keep bool, skip func(why string)) bool
	String() string                         // describes the answer that was read
	forward() (Outcome, error)              // sends the client what was kept and the rest
	deliver(written func()) (second, error) // repeats the call on a new connection, which is closed if there is an error
}

// second is the answer to a copy of a call. Its beginning has been received.
type second interface {
	forward() (Outcome, error) // sends it to the client
	discard() string           // reads and discards it, and describes it
	close()
}

// reply processes an answer that a rule acts on to its outcome.
func (r *Relay) reply(x *Exchange, c replyCarrier) error {
	t := r.Received(ToClient)
	if len(x.replyDelays) > 0 {
		c.serverIdle()
		x.affected = r.sleep(c.Context(), x.replyDelays, x.msg) || x.affected
	}
	if rule := x.Rule(); rule != nil && (rule.Action.OfReply() || rule.Action == Twice && rule.Second) {
		damages := x.does(CorruptReply, TruncateReply)
		holds := rule.Action == LoseReply && rule.ending() == EndHeld
		switch whole := c.read(damages || holds, func(why string) { r.skip(x, why) }); {
		case !whole: // forwarded unchanged
		case damages:
			r.change(x, c)
		case holds:
			if !r.holdReply(x, rule, c) {
				t.End(HeldBack)
				return io.EOF
			}
		case rule.Action == Twice:
			t.End(Discarded)
			return r.second(x, rule, c)
		default:
			t.End(HeldBack)
			x.affected = true
			r.applied(rule, x.msg, c.String()+" lost, then "+string(rule.ending()))
			r.end(x, rule, c, rule.ending())
			return nil
		}
	}
	outcome, err := c.forward()
	t.End(outcome)
	return err
}

// holdReply holds an answer back until its rule is healed. It returns false if the connection ended first.
func (r *Relay) holdReply(x *Exchange, rule *Live, c replyCarrier) bool {
	r.Begin()
	defer r.End()
	c.serverIdle()
	return r.hold(c.Context(), x, rule, c.String()+", until healed")
}

// second replaces the first answer, which was discarded, by the answer to a copy. The copy is sent only now: it
// stands for the retry of a caller that did not receive the first answer.
func (r *Relay) second(x *Exchange, rule *Live, c replyCarrier) error {
	r.Begin()
	defer r.End()
	d, err := c.deliver(func() { r.repeated(x, rule) })
	r.record(rule, x.msg, evidence.Discarded, c.String())
	if err != nil { // the client sees a lost connection
		r.record(rule, x.msg, evidence.Collateral, "the copy had no answer: "+err.Error())
		r.end(x, rule, c, EndReset)
		return nil
	}
	defer d.close()
	t := r.Received(ToClient)
	outcome, err := d.forward()
	t.End(outcome)
	return err
}

// repeated records that the copy of a message was written.
func (r *Relay) repeated(x *Exchange, rule *Live) {
	t := r.Copied(x.msg.dir)
	t.End(Delivered)
	r.applied(rule, x.msg, "delivered twice")
}

const (
	copyTime  = 30 * time.Second // time limit of a second delivery
	copyBytes = 64 << 20         // memory limit of all pending copies
)

// twice forwards a call and schedules its copy, at once or late, even if the connection ends meanwhile. The
// answer to the copy is discarded. If the rule asks for the second answer, the copy is sent after the first
// answer instead: see reply. size is the memory used by the copy.
func (r *Relay) twice(x *Exchange, c Carrier, size int, deliver func(written func()) (second, error)) error {
	rule := x.Rule()
	scheduled := !rule.Second && r.reserve(x, size)
	x.affected = x.affected || rule.Second || scheduled
	outcome, err := r.Forward(x, c)
	switch {
	case !scheduled:
	case outcome != Delivered:
		r.release(size)
	default:
		go r.repeat(x, rule, size, deliver)
	}
	return err
}

// repeat sends the copy of a call when it is due and discards the answer.
func (r *Relay) repeat(x *Exchange, rule *Live, size int, deliver func(written func()) (second, error)) {
	defer r.release(size)
	rule.waitLate()
	d, err := deliver(func() { r.repeated(x, rule) })
	if err != nil {
		r.record(rule, x.msg, evidence.Discarded, "the copy had no answer: "+err.Error())
		return
	}
	defer d.close()
	t := r.Received(ToClient)
	answer := d.discard()
	t.End(Discarded)
	r.record(rule, x.msg, evidence.Discarded, answer)
}

// reserve reserves memory for a copy that is sent alongside the original, or late. It returns false if the limit
// is exceeded.
func (r *Relay) reserve(x *Exchange, size int) bool {
	if r.copying.Add(int64(size)) > copyBytes {
		r.copying.Add(-int64(size))
		r.skip(x, "the copies under way hold too many bytes")
		return false
	}
	r.Begin()
	return true
}

// release returns the memory reserved for a copy.
func (r *Relay) release(size int) {
	r.copying.Add(-int64(size))
	r.End()
}

// waitLate waits until the copy is due.
func (l *Live) waitLate() {
	if l.Late == 0 {
		return
	}
	timer := time.NewTimer(l.Late)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.healed:
	}
}

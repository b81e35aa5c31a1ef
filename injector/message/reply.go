package message

import (
	"io"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// ReplyCarrier is the interface between the rules and a transport for the answer to a call. The beginning of the
// answer has been received.
type ReplyCarrier interface {
	Sender
	Payload
	ServerIdle() // a rule is about to hold the answer back, which leaves the server's connection idle
	// Read reads the whole answer and keeps or discards it. It returns false if the answer is truncated or must
	// be skipped; skip is called with the reason.
	Read(keep bool, skip func(why string)) bool
	String() string                               // describes the answer that was read
	Forward() (Outcome, error)                    // sends the client what was kept and the rest
	Deliver(written func()) (SecondAnswer, error) // repeats the call on a new connection, which is closed if there is an error
}

// SecondAnswer is the answer to a copy of a call. Its beginning has been received.
type SecondAnswer interface {
	Forward() (Outcome, error) // sends it to the client
	Discard() string           // reads and discards it, and describes it
	Close()
}

// Reply processes an answer that a rule acts on to its outcome.
func (r *Relay) Reply(x *Exchange, c ReplyCarrier) error {
	r.BeginReply(x)
	if len(x.ReplyDelays) > 0 {
		c.ServerIdle()
		x.Affected = r.Sleep(c.Context(), x.ReplyDelays, x.Message) || x.Affected
	}
	if x.Does(CutReply) {
		outcome, err := r.cut(x, c)
		r.EndReply(x, outcome)
		return err
	}
	if rule := x.Rule(); rule != nil && (rule.Action.OfReply() && rule.Action != EditReply || rule.Action == Twice && rule.Second) {
		damages := x.Does(CorruptReply, TruncateReply, ReplaceReply)
		holds := rule.Action == LoseReply && rule.Ending() == EndHeld
		switch whole := c.Read(damages || holds, func(why string) { r.Skip(x, why) }); {
		case !whole: // forwarded unchanged
		case rule.Action == ReplaceReply:
			r.replace(x, c)
		case damages:
			r.Damage(x, c)
		case holds:
			if !r.holdReply(x, rule, c) {
				r.EndReply(x, HeldBack)
				return io.EOF
			}
		case rule.Action == Twice:
			r.EndReply(x, Discarded)
			return r.second(x, rule, c)
		default:
			r.EndReply(x, HeldBack)
			x.Affected = true
			r.Applied(rule, x.Message, c.String()+" lost, then "+string(rule.Ending()))
			r.EndConnection(x, rule, c, rule.Ending())
			return nil
		}
	}
	outcome, err := c.Forward()
	r.EndReply(x, outcome)
	return err
}

// holdReply holds an answer back until its rule is healed. It returns false if the connection ended first.
func (r *Relay) holdReply(x *Exchange, rule *Live, c ReplyCarrier) bool {
	r.Begin()
	defer r.End()
	c.ServerIdle()
	return r.Hold(c.Context(), x, rule, c.String()+", until healed")
}

// second replaces the first answer, which was discarded, by the answer to a copy. The copy is sent only now: it
// stands for the retry of a caller that did not receive the first answer.
func (r *Relay) second(x *Exchange, rule *Live, c ReplyCarrier) error {
	r.Begin()
	defer r.End()
	d, err := c.Deliver(func() { r.repeated(x, rule) })
	r.Record(rule, x.Message, evidence.Discarded, c.String())
	if err != nil { // the client sees a lost connection
		r.Record(rule, x.Message, evidence.Collateral, "the copy had no answer: "+err.Error())
		r.EndConnection(x, rule, c, EndReset)
		return nil
	}
	defer d.Close()
	t := r.Received(ToClient)
	outcome, err := d.Forward()
	t.End(outcome)
	return err
}

// repeated records that the copy of a message was written.
func (r *Relay) repeated(x *Exchange, rule *Live) {
	t := r.Copied(x.Message.Dir)
	t.End(Delivered)
	r.Applied(rule, x.Message, "delivered twice")
}

const (
	CopyTimeout = 30 * time.Second // time limit of a second delivery
	copyBytes   = 64 << 20         // memory limit of all pending copies
)

// DeliverTwice forwards a call and schedules its copy, at once or late, even if the connection ends meanwhile. The
// answer to the copy is discarded. If the rule asks for the second answer, the copy is sent after the first
// answer instead: see Reply. size is the memory used by the copy.
func (r *Relay) DeliverTwice(x *Exchange, c Carrier, size int, deliver func(written func()) (SecondAnswer, error)) error {
	rule := x.Rule()
	scheduled := !rule.Second && r.reserve(x, size)
	x.Affected = x.Affected || rule.Second || scheduled
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
func (r *Relay) repeat(x *Exchange, rule *Live, size int, deliver func(written func()) (SecondAnswer, error)) {
	defer r.release(size)
	rule.waitLate()
	d, err := deliver(func() { r.repeated(x, rule) })
	if err != nil {
		r.Record(rule, x.Message, evidence.Discarded, "the copy had no answer: "+err.Error())
		return
	}
	defer d.Close()
	t := r.Received(ToClient)
	answer := d.Discard()
	t.End(Discarded)
	r.Record(rule, x.Message, evidence.Discarded, answer)
}

// reserve reserves memory for a copy that is sent alongside the original, or late. It returns false if the limit
// is exceeded.
func (r *Relay) reserve(x *Exchange, size int) bool {
	if r.copying.Add(int64(size)) > copyBytes {
		r.copying.Add(-int64(size))
		r.Skip(x, "the copies under way hold too many bytes")
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

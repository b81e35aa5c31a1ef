package message

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// Every intercepted message takes the same path, whatever its transport: it is counted and the rules decide
// (admit), its delays pass, the chosen rule acts, and its ticket ends with an outcome. This file implements that
// path, reply.go that of answers. A transport implements only the operations on its bytes; see Carrier and
// replyCarrier. Messages that no rule intercepts bypass this code: their transport streams them.

// Exchange is one message in progress, with the decisions of the rules.
type Exchange struct {
	msg         Message
	delays      []Wait               // of the message
	replyDelays []Wait               // of its answer
	chosen      atomic.Pointer[Live] // the rule that acts on it; nil if there is none or it was skipped
	n           uint64               // the number of the occurrence
	request     Ticket

	start     time.Time
	sentAt    time.Time // when it was written to the server; zero if it was not
	gaveUpAt  time.Time // when the client disconnected while waiting for the answer
	affected  bool      // a rule took effect
	skipped   string    // why the chosen rule could not act
	overtaken []*hold
	oneWay    bool // it has no answer

	unordered bool // a datagram: other messages of the same client may pass it too
}

// Rule returns the rule that acts on the message, or nil.
func (x *Exchange) Rule() *Live { return x.chosen.Load() }

// does reports whether a rule with one of these actions acts on the message.
func (x *Exchange) does(actions ...Action) bool {
	rule := x.Rule()
	if rule == nil {
		return false
	}
	for _, a := range actions {
		if rule.Action == a {
			return true
		}
	}
	return false
}

// dropped reports whether the message is not forwarded to its destination.
func (x *Exchange) dropped() bool {
	return x.does(Answer) || x.does(LoseRequest) && x.Rule().ending() != EndHeld
}

// intercepted reports whether a rule delays, changes or drops the message, so that it cannot be streamed.
func (x *Exchange) intercepted() bool {
	rule := x.Rule()
	return len(x.delays) > 0 || rule != nil && !rule.Action.OfReply()
}

// needsWholeReply reports whether the answer is read to its end even if the client has disconnected.
func (x *Exchange) needsWholeReply() bool {
	return x.does(LoseReply) || x.does(Twice) && x.Rule().Second
}

// admit counts a message and evaluates the rules.
func (r *Relay) admit(x *Exchange) {
	r.ops.add(r, x.msg)
	c := r.decide(x.msg)
	x.delays, x.replyDelays, x.n = c.delays, c.replyDelays, c.n
	x.chosen.Store(c.rule)
	if (c.rule != nil || len(c.delays) > 0 || len(c.replyDelays) > 0) && x.msg.header != nil && r.cfg.Trace != "" {
		x.msg.traced = traceOf(x.msg.header("traceparent")) == r.cfg.Trace
	}
}

// skip records that the chosen rule cannot act.
func (r *Relay) skip(x *Exchange, why string) {
	rule := x.Rule()
	x.skipped = why
	x.chosen.Store(nil)
	if rule != nil {
		r.record(rule, x.msg, evidence.Skipped, why)
	}
}

// report reports a call that has ended. A caller that disconnected before the answer has given up, even if the
// answer was still sent.
func (r *Relay) report(x *Exchange, status int) {
	call := Call{Start: x.start, Sent: x.sentAt, End: time.Now(), Op: x.msg.op, Status: status, Affected: x.affected, Skipped: x.skipped}
	if !x.gaveUpAt.IsZero() {
		call.GaveUp, call.End = true, x.gaveUpAt
	}
	r.cfg.Calls(call)
}

// Sender is the connection that a message arrived on.
type Sender interface {
	Context() context.Context // ends with the connection
	Outlived()                // called before a held message is forwarded: its sender may have disconnected
	Report(status int)        // reports the call, which has ended

	// End ends the connection and reports the call. Before that, it calls lost for each other message that is lost
	// with the connection.
	End(ending Ending, lost func(other Message))
}

// Carrier is the interface between the rules and a transport for one intercepted message. An implementation
// knows nothing of rules, decisions, evidence or accounting.
type Carrier interface {
	Sender
	Payload
	Forward() (Outcome, error) // writes the message to its destination
	Drop() Outcome             // discards the message; arranges for Relay.Instead to be called when its answer is due
	Instead() (string, error)  // prepares the answer that the rule asks for, and describes it
	Answer() Outcome           // writes that answer and reports the call
	Twice() error              // forwards the message and a copy of it
}

// Payload is the part of a buffered message that a rule may damage.
type Payload interface {
	Size(cut bool) int             // number of bytes that may be damaged or cut
	Damage(at int, cut bool) error // flips a bit of byte at, or truncates the payload there
}

// carry processes an intercepted message to its outcome. Its ticket must be open.
func (r *Relay) carry(x *Exchange, c Carrier) error {
	if r.sleep(c.Context(), x.delays, x.msg) {
		x.affected = true
		c.Outlived()
	}
	return r.Act(x, c)
}

// Act applies the chosen rule to a message whose delays have passed. It blocks for as long as the rule holds the
// message.
func (r *Relay) Act(x *Exchange, c Carrier) error {
	switch rule := x.Rule(); {
	case rule == nil:
	case x.dropped():
		x.request.End(c.Drop())
		return nil
	case rule.Action == LoseRequest:
		if r.hold(c.Context(), x, rule, "until healed") {
			c.Outlived()
		}
	case rule.Action == Reorder:
		if wait := r.Reorder(x); wait != nil {
			wait(c.Context())
			c.Outlived()
		}
	case rule.Action == Corrupt || rule.Action == Truncate:
		r.change(x, c)
	case rule.Action == Twice:
		return c.Twice()
	}
	_, err := r.Forward(x, c)
	return err
}

// Forward forwards an intercepted message, unless its connection has ended.
func (r *Relay) Forward(x *Exchange, c Carrier) (outcome Outcome, err error) {
	outcome = Collateral
	if c.Context().Err() == nil {
		outcome, err = c.Forward()
	}
	x.request.End(outcome)
	return outcome, err
}

// Instead applies the rule's substitute for the server's answer: an answer of its own or the end of the
// connection.
func (r *Relay) Instead(x *Exchange, c Carrier) {
	rule := x.Rule()
	x.affected = true
	switch {
	case rule.Action == LoseRequest && x.oneWay && rule.losesOnlyMessage():
		r.applied(rule, x.msg, "lost")
		c.Report(0)
		return
	case rule.Action == LoseRequest:
		what := "request lost, then "
		if x.oneWay {
			what = "lost, then "
		}
		r.applied(rule, x.msg, what+string(rule.ending()))
		r.end(x, rule, c, rule.ending())
		return
	}
	detail, err := c.Instead()
	if err != nil {
		x.affected = false
		r.skip(x, err.Error())
		c.Report(0)
		return
	}
	r.applied(rule, x.msg, detail)
	reply := r.Injected()
	reply.End(c.Answer())
}

// losesOnlyMessage reports whether losing a message that has no answer leaves its connection open.
func (r Rule) losesOnlyMessage() bool { return r.EndWith == "" || r.EndWith == EndSilence }

// end ends the connection of a message that a rule acted on.
func (r *Relay) end(x *Exchange, rule *Live, c Sender, ending Ending) {
	c.End(ending, func(other Message) { r.collateral(rule, other, "its connection ended with that of "+x.msg.op) })
}

// change damages a payload. The damaged byte is chosen like every other decision; truncation keeps the first
// half.
func (r *Relay) change(x *Exchange, p Payload) {
	rule, cut := x.Rule(), x.does(Truncate, TruncateReply)
	n := p.Size(cut)
	if n == 0 {
		r.skip(x, noPayload)
		return
	}
	at := n / 2
	detail := "cut after " + plural(at, "byte") + " of " + plural(n, "byte")
	if !cut {
		at = r.damagePosition(x, rule, n)
		detail = "a bit flipped in byte " + strconv.Itoa(at+1) + " of the payload"
	}
	if err := p.Damage(at, cut); err != nil {
		r.skip(x, err.Error())
		return
	}
	x.affected = true
	r.applied(rule, x.msg, detail)
}

// hold holds a message or an answer back until its rule is healed. It returns false if the connection ended
// first.
func (r *Relay) hold(ctx context.Context, x *Exchange, rule *Live, detail string) bool {
	x.affected = true
	r.record(rule, x.msg, evidence.Held, detail)
	r.countApplied(rule, x.msg)
	select {
	case <-rule.healed:
		r.record(rule, x.msg, evidence.Released, "")
		return true
	case <-ctx.Done():
		return false
	}
}

// damagePosition returns which of n bytes is damaged.
func (r *Relay) damagePosition(x *Exchange, rule *Live, n int) int {
	return int(evidence.Hash(rule.Seed, x.n, r.cfg.Link, rule.ID, "which byte", x.msg.method, r.class(rule, x.msg)) % uint64(n)) //nolint:gosec // below n
}

// sleep waits for the delays one after the other, each at most until its rule is healed. It reports whether any
// delay passed.
func (r *Relay) sleep(ctx context.Context, delays []Wait, m Message) (slept bool) {
	for _, d := range delays {
		if !r.delay(ctx, d, m) {
			break
		}
		slept = true
	}
	return slept
}

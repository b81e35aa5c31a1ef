package message

import (
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// Idle reports whether no rule is live and no message is held, so that no decision is needed.
func (r *Relay) Idle() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.rules) == 0 && len(r.holds) == 0
}

// CountOperation counts a message in the relay's Operations.
func (r *Relay) CountOperation(m Message) { r.ops.add(r, m) }

// Decide evaluates every rule for a datagram whose ticket is open.
func (r *Relay) Decide(m Message, t Ticket) *Exchange {
	x := &Exchange{Message: m, Ticket: t, OneWay: true, unordered: true}
	c := r.decide(m)
	x.Delays, x.n = c.delays, c.n
	x.SetRule(c.rule)
	return x
}

// Delayed records that a delay of a message has passed.
func (r *Relay) Delayed(x *Exchange, d Wait, took time.Duration) { r.delayed(d, x.Message, took) }

// SkipDelays records that a message cannot be delayed for lack of space.
func (r *Relay) SkipDelays(x *Exchange, why string) {
	r.Record(x.Delays[0].rule, x.Message, evidence.Skipped, why)
	x.Delays = nil
}

// Lost records that a message with a rule was lost for another reason.
func (r *Relay) Lost(x *Exchange, why string) {
	if rule := x.Rule(); rule != nil {
		r.Record(rule, x.Message, evidence.Collateral, why)
	}
}

// Repeated records that the copy of a message was delivered.
func (r *Relay) Repeated(x *Exchange, detail string) { r.Applied(x.Rule(), x.Message, detail) }

// Overtakes returns a function to call once the message has been sent: it counts the message as having overtaken
// the messages that are held now.
func (r *Relay) Overtakes(x *Exchange) (count func()) {
	overtaken := r.OvertakenBy(x.Message)
	return func() { r.CountPassed(overtaken) }
}

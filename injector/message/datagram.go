package message

import "github.com/firedrill-dev/firedrill/injector/evidence"

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
	r.decide(x)
	return x
}

// Lost records that a message with a rule was lost for another reason.
func (r *Relay) Lost(x *Exchange, why string) {
	if rule := x.Rule(); rule != nil {
		r.Record(rule, x.Message, evidence.Collateral, why)
	}
}

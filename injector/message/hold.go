package message

import (
	"context"
	"slices"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// hold is a reordered message that waits for another to pass.
type hold struct {
	rule     *Live
	conn     uint64
	passed   bool
	released chan struct{} // closed when another message has passed
}

// holdFor holds a message back until another has passed, or returns why it does not: the rule holds
// another message already (if it held several at once, none might be left to pass, and all would expire), or it
// was healed after it chose the message.
func (r *Relay) holdFor(l *Live, conn uint64) (h *hold, skipped string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Contains(r.rules, l) {
		return nil, "the fault was healed before it was held"
	}
	for _, other := range r.holds {
		if other.rule == l {
			return nil, "another is held already: it counts as one that passed"
		}
	}
	h = &hold{rule: l, conn: conn, released: make(chan struct{})}
	r.holds = append(r.holds, h)
	return h, ""
}

// OvertakenBy returns the held messages that m overtakes if it is sent now. A rule counts only messages that it
// matches.
func (r *Relay) OvertakenBy(m Message) (overtaken []*hold) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range r.holds {
		if h.conn != m.Conn && r.matchesTopic(h.rule, m) {
			overtaken = append(overtaken, h)
		}
	}
	return overtaken
}

// CountPassed counts a message as having overtaken held ones. It is called once the message was answered or, if
// it has no answer, was sent. For a request, being sent is not enough: the server may read its connections in a
// different order.
func (r *Relay) CountPassed(overtaken []*hold) {
	if len(overtaken) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range overtaken {
		if !h.passed {
			h.passed = true
			close(h.released)
		}
	}
	r.holds = slices.DeleteFunc(r.holds, func(h *hold) bool { return h.passed })
}

// awaitOther holds the message until another has passed (true), or until the time limit or healing (false).
func (r *Relay) awaitOther(ctx context.Context, h *hold) bool {
	timer := time.NewTimer(h.rule.Wait)
	defer timer.Stop()
	select {
	case <-h.released:
		return true
	case <-timer.C:
	case <-h.rule.healed:
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.holds = slices.DeleteFunc(r.holds, func(other *hold) bool { return other == h })
	return h.passed
}

// Reorder starts to hold a message back. The returned function waits for another message to pass; it is nil if
// the rule cannot act.
func (r *Relay) Reorder(x *Exchange) (wait func(context.Context)) {
	rule, conn := x.Rule(), x.Message.Conn
	if x.unordered {
		conn = 0
	}
	h, skipped := r.holdFor(rule, conn)
	if h == nil {
		r.Skip(x, skipped)
		return nil
	}
	r.Record(rule, x.Message, evidence.Held, "until another passed")
	return func(ctx context.Context) {
		if !r.awaitOther(ctx, h) {
			r.Record(rule, x.Message, evidence.Expired, "only delayed: no other passed in time")
			return
		}
		r.Record(rule, x.Message, evidence.Released, "")
		x.Affected = true
		r.Applied(rule, x.Message, "another passed it")
	}
}

// delay waits for one delay or the healing of its rule, and counts it. It returns false if ctx ended first.
func (r *Relay) delay(ctx context.Context, d Wait, m Message) bool {
	began := time.Now()
	timer := time.NewTimer(d.by)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-d.rule.healed:
	case <-ctx.Done():
		return false
	}
	r.Delayed(d, m, time.Since(began))
	return true
}

// Delayed records that a delay of a message has passed.
func (r *Relay) Delayed(d Wait, m Message, took time.Duration) {
	d.rule.Count.Delayed(took)
	r.Applied(d.rule, m, "delayed by "+took.Round(time.Millisecond).String())
}

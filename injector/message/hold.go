package message

import (
	"context"
	"slices"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// hold is a reordered message that waits for others to pass.
type hold struct {
	rule *live
	conn uint64
	left int
	free chan struct{}
}

// holdFor keeps a message back until so many others passed it, or tells why it does not: another is kept by the same rule already (were several kept at
// once, none would be left to pass, and all would expire), or the rule was healed after it chose the message.
func (r *Relay) holdFor(l *live, conn uint64) (h *hold, skipped string) {
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
	h = &hold{rule: l, conn: conn, left: max(1, l.Others), free: make(chan struct{})}
	r.holds = append(r.holds, h)
	return h, ""
}

// passing lists the held ones that a message overtakes by going now. Those whose rule does not match it are not among them.
func (r *Relay) passing(m message) (overtaken []*hold) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range r.holds {
		if h.conn != m.conn && r.concerns(h.rule, m) {
			overtaken = append(overtaken, h)
		}
	}
	return overtaken
}

// passed tells the held ones that the message which overtook them was answered, or that it was sent and nothing more will be known of it. Sent alone proves
// nothing: the server reads its connections in an order of its own.
func (r *Relay) passed(overtaken []*hold) {
	if len(overtaken) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range overtaken {
		if h.left--; h.left == 0 {
			close(h.free)
		}
	}
	r.holds = slices.DeleteFunc(r.holds, func(h *hold) bool { return h.left == 0 })
}

// wait keeps the message until others passed (true), or its time is up or the rule healed (false).
func (r *Relay) wait(ctx context.Context, h *hold) bool {
	timer := time.NewTimer(h.rule.Wait)
	defer timer.Stop()
	select {
	case <-h.free:
		return true
	case <-timer.C:
	case <-h.rule.healed:
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.holds = slices.DeleteFunc(r.holds, func(other *hold) bool { return other == h })
	return h.left == 0
}

// reorder keeps a message until others passed it, and tells whether that happened, or why it could not.
func (r *Relay) reorder(ctx context.Context, rule *live, m message) (skipped string, touched bool) {
	h, skipped := r.holdFor(rule, m.conn)
	if h == nil {
		r.tell(rule, m, evidence.Skipped, skipped)
		return skipped, false
	}
	others := plural(max(1, rule.Others), "other")
	r.tell(rule, m, evidence.Held, "until "+others+" passed")
	if !r.wait(ctx, h) {
		r.tell(rule, m, evidence.Expired, "became a mere delay")
		return "", false
	}
	r.tell(rule, m, evidence.Released, "")
	r.applied(rule, m, others+" passed it")
	return "", true
}

// delay waits for one rule's delay, or its healing, and counts it; false when ctx ended first.
func (r *Relay) delay(ctx context.Context, d wait, m message) bool {
	began := time.Now()
	timer := time.NewTimer(d.by)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-d.rule.healed:
	case <-ctx.Done():
		return false
	}
	took := time.Since(began)
	d.rule.Count.Delayed(took)
	r.applied(d.rule, m, "delayed by "+took.Round(time.Millisecond).String())
	return true
}

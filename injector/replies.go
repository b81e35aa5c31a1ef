package injector

import (
	"context"
	"time"

	"github.com/firedrill-dev/firedrill/injector/message"
)

// SlowReplies delays answers by By, give or take Jitter (uniform), after the work was done.
type SlowReplies struct {
	By, Jitter time.Duration
	Pick
}

// Rule implements OnCalls.
func (f SlowReplies) Rule() message.Rule {
	return f.rule(message.Rule{Action: message.DelayReply, By: f.By, Jitter: f.Jitter})
}

// Inject implements Fault.
func (f SlowReplies) Inject(_ context.Context, t Target) (Heal, error) { return t.add(f.Rule()) }

// Say implements Fault.
func (f SlowReplies) Say(from, to string) string {
	return f.subject("replies", to, from) + " are delayed by " + giveOrTake(f.By, f.Jitter)
}

// CorruptReplies changes a bit of what answers carry.
type CorruptReplies struct{ Pick }

// Rule implements OnCalls.
func (f CorruptReplies) Rule() message.Rule {
	return f.rule(message.Rule{Action: message.CorruptReply})
}

// Inject implements Fault.
func (f CorruptReplies) Inject(_ context.Context, t Target) (Heal, error) { return t.add(f.Rule()) }

// Say implements Fault.
func (f CorruptReplies) Say(from, to string) string {
	return f.subject("replies", to, from) + " are corrupted"
}

// TruncateReplies cuts short what answers carry.
type TruncateReplies struct{ Pick }

// Rule implements OnCalls.
func (f TruncateReplies) Rule() message.Rule {
	return f.rule(message.Rule{Action: message.TruncateReply})
}

// Inject implements Fault.
func (f TruncateReplies) Inject(_ context.Context, t Target) (Heal, error) { return t.add(f.Rule()) }

// Say implements Fault.
func (f TruncateReplies) Say(from, to string) string {
	return f.subject("replies", to, from) + " are truncated"
}

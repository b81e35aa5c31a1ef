package injector

import (
	"context"
	"time"

	"github.com/firedrill-dev/firedrill/injector/message"
)

// SlowReplies delays answers, after the work was done, by By, give or take Jitter, uniformly distributed.
type SlowReplies struct {
	By, Jitter time.Duration
	Pick
}

// Rule implements OnCalls.
func (f SlowReplies) Rule() message.Rule {
	return f.rule(message.Rule{Action: message.DelayReply, By: f.By, Jitter: f.Jitter})
}

// Inject implements Fault.
func (f SlowReplies) Inject(_ context.Context, t Target) (Heal, error) { return t.addRule(f.Rule()) }

// Say implements Fault.
func (f SlowReplies) Say(from, to string) string {
	return f.subject("replies", to, from) + " are delayed by " + giveOrTake(f.By, f.Jitter)
}

// CorruptReplies changes one bit in the body of an answer.
type CorruptReplies struct{ Pick }

// Rule implements OnCalls.
func (f CorruptReplies) Rule() message.Rule {
	return f.rule(message.Rule{Action: message.CorruptReply})
}

// Inject implements Fault.
func (f CorruptReplies) Inject(_ context.Context, t Target) (Heal, error) { return t.addRule(f.Rule()) }

// Say implements Fault.
func (f CorruptReplies) Say(from, to string) string {
	return f.subject("replies", to, from) + " are corrupted"
}

// TruncateReplies truncates the bodies of answers.
type TruncateReplies struct{ Pick }

// Rule implements OnCalls.
func (f TruncateReplies) Rule() message.Rule {
	return f.rule(message.Rule{Action: message.TruncateReply})
}

// Inject implements Fault.
func (f TruncateReplies) Inject(_ context.Context, t Target) (Heal, error) {
	return t.addRule(f.Rule())
}

// Say implements Fault.
func (f TruncateReplies) Say(from, to string) string {
	return f.subject("replies", to, from) + " are truncated"
}

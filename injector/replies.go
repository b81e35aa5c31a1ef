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

// Kind implements Fault.
func (f SlowReplies) Kind() Kind {
	return Kind{Name: "slow replies", On: "calls", Waits: true, Delay: f.By + f.Jitter, Undo: "waiting answers go at once", Sentences: []Sentence{{
		Pattern: `{replies} from {to} to {from} are delayed by [{duration}(, give or take {duration})]{for}`,
		Means:   "the work is done and the answer comes later, and so does what follows it on its connection",
		Examples: []string{
			`replies from "payments" to "orders" are delayed by 500ms, give or take 100ms for 30s`,
			`only "GET /orders/{id}" replies from "payments" to "orders" are delayed by 2s for 10s`,
		},
		Fault: func(a Args) Fault { return SlowReplies{By: a.Duration(3), Jitter: jitter(a, 3, 4), Pick: a.Pick(0)} },
	}}}
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

// Kind implements Fault.
func (CorruptReplies) Kind() Kind {
	return Kind{Name: "corrupted replies", On: "calls", Alters: true, Undo: "the next answer is left alone", Sentences: []Sentence{{
		Pattern:  `{replies} from {to} to {from} are corrupted{for}`,
		Means:    "a bit of each answer's body is changed; its length stays right",
		Examples: []string{`10% of replies from "payments" to "orders" are corrupted for 30s`},
		Fault:    func(a Args) Fault { return CorruptReplies{a.Pick(0)} },
	}}}
}

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

// Kind implements Fault.
func (TruncateReplies) Kind() Kind {
	return Kind{Name: "truncated replies", On: "calls", Alters: true, Undo: "the next answer is left alone", Sentences: []Sentence{{
		Pattern:  `{replies} from {to} to {from} are truncated{for}`,
		Means:    "each answer's body ends early, and its length says so",
		Examples: []string{`the first 5 "GET /price" replies from "payments" to "orders" are truncated for 30s`},
		Fault:    func(a Args) Fault { return TruncateReplies{a.Pick(0)} },
	}}}
}

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

package injector

import (
	"context"
	"fmt"
	"time"

	"github.com/firedrill-dev/firedrill/injector/message"
)

// SlowCalls delays calls by By, give or take Jitter, uniformly distributed.
type SlowCalls struct {
	By, Jitter time.Duration
	Pick
}

// Rule implements OnCalls.
func (f SlowCalls) Rule() message.Rule {
	return f.rule(message.Rule{Action: message.Delay, By: f.By, Jitter: f.Jitter})
}

// Inject implements Fault.
func (f SlowCalls) Inject(_ context.Context, t Target) (Heal, error) { return t.addRule(f.Rule()) }

// Say implements Fault.
func (f SlowCalls) Say(from, to string) string {
	return f.subject("calls", from, to) + " are delayed by " + giveOrTake(f.By, f.Jitter)
}

func giveOrTake(by, jitter time.Duration) string {
	if jitter == 0 {
		return Duration(by)
	}
	return Duration(by) + ", give or take " + Duration(jitter)
}

// Answer answers calls with an error. The dependency does not receive them.
type Answer struct {
	Status int    // HTTP status; gRPC clients get it as from a proxy
	Code   string // gRPC status code instead of Status, such as "UNAVAILABLE"
	// RetryAfter is sent as Retry-After in whole seconds, or with Code as gRPC's push-back. 0 sends nothing.
	RetryAfter time.Duration
	Pick
}

// Rule implements OnCalls.
func (f Answer) Rule() message.Rule {
	return f.rule(message.Rule{Action: message.Answer, Status: f.Status, Code: f.Code, RetryAfter: f.RetryAfter})
}

// Inject implements Fault.
func (f Answer) Inject(_ context.Context, t Target) (Heal, error) { return t.addRule(f.Rule()) }

// Say implements Fault.
func (f Answer) Say(from, to string) string {
	s := fmt.Sprintf("%s answer with status %d", f.subject("calls", from, to), f.Status)
	if f.Code != "" {
		s = fmt.Sprintf("%s are answered with %q", f.subject("calls", from, to), f.Code)
	}
	if f.RetryAfter > 0 {
		s += " and retry after " + Duration(f.RetryAfter)
	}
	return s
}

// CorruptCalls changes one bit in the body of a call.
type CorruptCalls struct{ Pick }

// Rule implements OnCalls.
func (f CorruptCalls) Rule() message.Rule { return f.rule(message.Rule{Action: message.Corrupt}) }

// Inject implements Fault.
func (f CorruptCalls) Inject(_ context.Context, t Target) (Heal, error) { return t.addRule(f.Rule()) }

// Say implements Fault.
func (f CorruptCalls) Say(from, to string) string {
	return f.subject("calls", from, to) + " are corrupted"
}

// TruncateCalls truncates the bodies of calls.
type TruncateCalls struct{ Pick }

// Rule implements OnCalls.
func (f TruncateCalls) Rule() message.Rule { return f.rule(message.Rule{Action: message.Truncate}) }

// Inject implements Fault.
func (f TruncateCalls) Inject(_ context.Context, t Target) (Heal, error) { return t.addRule(f.Rule()) }

// Say implements Fault.
func (f TruncateCalls) Say(from, to string) string {
	return f.subject("calls", from, to) + " are truncated"
}

// Twice delivers calls twice.
type Twice struct {
	Second bool          // return the second answer to the caller instead of the first
	Late   time.Duration // how much later the copy is sent
	Pick
}

// Rule implements OnCalls.
func (f Twice) Rule() message.Rule {
	return f.rule(message.Rule{Action: message.Twice, Second: f.Second, Late: f.Late})
}

// Inject implements Fault.
func (f Twice) Inject(_ context.Context, t Target) (Heal, error) { return t.addRule(f.Rule()) }

// Say implements Fault.
func (f Twice) Say(from, to string) string {
	return f.subject("calls", from, to) + deliveredTwice(f.Second, f.Late)
}

func deliveredTwice(second bool, late time.Duration) string {
	switch {
	case second:
		return " are delivered twice and the second answer is returned"
	case late > 0:
		return " are delivered twice, the copy " + Duration(late) + " late"
	}
	return " are delivered twice"
}

// Reorder makes calls arrive out of order: a call is held until another call has passed it, for at most Wait.
type Reorder struct {
	Wait time.Duration
	Pick
}

// Rule implements OnCalls.
func (f Reorder) Rule() message.Rule {
	return f.rule(message.Rule{Action: message.Reorder, Wait: f.Wait})
}

// Inject implements Fault.
func (f Reorder) Inject(_ context.Context, t Target) (Heal, error) { return t.addRule(f.Rule()) }

// Say implements Fault.
func (f Reorder) Say(from, to string) string {
	return f.subject("calls", from, to) + " arrive out of order, up to " + Duration(f.Wait) + " late"
}

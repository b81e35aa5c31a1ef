package injector

import (
	"context"

	"github.com/firedrill-dev/firedrill/injector/message"
)

// LoseRequests drops calls before the dependency sees them.
type LoseRequests struct {
	Then message.Ending // what happens to the connection; "" means reset
	Pick
}

// Rule implements OnCalls.
func (f LoseRequests) Rule() message.Rule {
	return f.rule(message.Rule{Action: message.LoseRequest, EndWith: f.Then})
}

// Inject implements Fault.
func (f LoseRequests) Inject(_ context.Context, t Target) (Heal, error) { return t.addRule(f.Rule()) }

// Say implements Fault.
func (f LoseRequests) Say(from, to string) string {
	return f.subject("requests", from, to) + " are lost" + then(f.Then)
}

// LoseReplies drops answers after the dependency has done the work.
type LoseReplies struct {
	Then message.Ending // what happens to the connection; "" means reset
	Pick
}

// Rule implements OnCalls.
func (f LoseReplies) Rule() message.Rule {
	return f.rule(message.Rule{Action: message.LoseReply, EndWith: f.Then})
}

// Inject implements Fault.
func (f LoseReplies) Inject(_ context.Context, t Target) (Heal, error) { return t.addRule(f.Rule()) }

// Say implements Fault.
func (f LoseReplies) Say(from, to string) string {
	return f.subject("replies", to, from) + " are lost after the work was done" + then(f.Then)
}

func then(e message.Ending) string {
	if e == "" {
		return ""
	}
	return ", then " + string(e)
}

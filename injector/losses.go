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

// Kind implements Fault.
func (LoseRequests) Kind() Kind {
	return Kind{Name: "lost requests", On: "calls", Hides: true, Undo: "the next call arrives; those held are delivered", Sentences: []Sentence{{
		Pattern: `{requests} from {from} to {to} are lost(, then [{ending}]){for}`,
		Means:   "the dependency never sees them; the connection ends as said (reset)",
		Examples: []string{
			`10% of requests from "orders" to "payments" are lost for 30s`,
			`requests from "orders" to "payments" are lost, then silence for 30s`,
			`only requests with key "k-1" and header "Tenant: acme" from "orders" to "payments" are lost for 30s`,
		},
		Fault: func(a Args) Fault { return LoseRequests{Then: ending(a, 3), Pick: a.Pick(0)} },
	}}}
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

// Kind implements Fault.
func (LoseReplies) Kind() Kind {
	return Kind{Name: "lost replies", On: "calls", Undo: "the next answer arrives; those held are delivered", Sentences: []Sentence{{
		Pattern: `{replies} from {to} to {from} are lost after the work was done(, then [{ending}]){for}`,
		Means:   "the answer is withheld; the connection ends as said (reset)",
		Examples: []string{
			`10% of replies from "payments" to "orders" are lost after the work was done for 30s`,
			`every 3rd of the replies from "payments" to "orders" are lost after the work was done, then held for 30s`,
		},
		Fault: func(a Args) Fault { return LoseReplies{Then: ending(a, 3), Pick: a.Pick(0)} },
	}}}
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

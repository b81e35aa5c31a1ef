package injector

import (
	"context"

	"github.com/firedrill-dev/firedrill/injector/message"
)

// LoseCallHeaders removes headers from calls. A call that has none of them is left alone.
type LoseCallHeaders struct {
	Names []string
	Pick
}

// Kind implements Fault.
func (LoseCallHeaders) Kind() Kind {
	return Kind{Name: "lost call headers", On: "calls", Undo: "the next call is left alone", Sentences: []Sentence{{
		Pattern: `{calls} from {from} to {to} lose the [{headers}]{for}`,
		Means:   "calls arrive without a header; those that do not have it are left alone",
		Examples: []string{
			`calls from "orders" to "payments" lose the header "Authorization" for 30s`,
			`10% of calls from "orders" to "payments" lose the headers "Traceparent" and "Tracestate" for 30s`,
		},
		Fault: func(a Args) Fault { return LoseCallHeaders{Names: headerNames(a, 3, false), Pick: a.Pick(0)} },
	}}}
}

// Rule implements OnCalls.
func (f LoseCallHeaders) Rule() message.Rule {
	return f.rule(message.Rule{Action: message.EditRequest, Headers: f.Names})
}

// Inject implements Fault.
func (f LoseCallHeaders) Inject(_ context.Context, t Target) (Heal, error) {
	return t.addRule(f.Rule())
}

// Say implements Fault.
func (f LoseCallHeaders) Say(from, to string) string {
	return f.subject("calls", from, to) + " lose the " + namedHeaders(f.Names)
}

// SetCallHeaders adds headers to calls. They replace all of the same name.
type SetCallHeaders struct {
	Headers []string // "Name: value"
	Pick
}

// Kind implements Fault.
func (SetCallHeaders) Kind() Kind {
	return Kind{Name: "set call headers", On: "calls", Undo: "the next call is left alone", Sentences: []Sentence{{
		Pattern: `{calls} from {from} to {to} carry the [{headers}]{for}`,
		Means:   "calls arrive with a header, which replaces those of the same name",
		Examples: []string{
			`calls from "orders" to "payments" carry the header "X-Tenant: acme" for 30s`,
		},
		Fault: func(a Args) Fault { return SetCallHeaders{Headers: headers(a, 3), Pick: a.Pick(0)} },
	}}}
}

// Rule implements OnCalls.
func (f SetCallHeaders) Rule() message.Rule {
	return f.rule(message.Rule{Action: message.EditRequest, Headers: f.Headers})
}

// Inject implements Fault.
func (f SetCallHeaders) Inject(_ context.Context, t Target) (Heal, error) { return t.addRule(f.Rule()) }

// Say implements Fault.
func (f SetCallHeaders) Say(from, to string) string {
	return f.subject("calls", from, to) + " carry the " + namedHeaders(f.Headers)
}

// LoseReplyHeaders removes headers from answers, and not from their trailers. An answer that has none of them is left alone.
type LoseReplyHeaders struct {
	Names []string
	Pick
}

// Kind implements Fault.
func (LoseReplyHeaders) Kind() Kind {
	return Kind{Name: "lost reply headers", On: "calls", Undo: "the next answer is left alone", Sentences: []Sentence{{
		Pattern: `{replies} from {to} to {from} lose the [{headers}]{for}`,
		Means:   "answers arrive without a header; those that do not have it are left alone",
		Examples: []string{
			`replies from "payments" to "orders" lose the header "Content-Type" for 30s`,
		},
		Fault: func(a Args) Fault { return LoseReplyHeaders{Names: headerNames(a, 3, false), Pick: a.Pick(0)} },
	}}}
}

// Rule implements OnCalls.
func (f LoseReplyHeaders) Rule() message.Rule {
	return f.rule(message.Rule{Action: message.EditReply, Headers: f.Names})
}

// Inject implements Fault.
func (f LoseReplyHeaders) Inject(_ context.Context, t Target) (Heal, error) {
	return t.addRule(f.Rule())
}

// Say implements Fault.
func (f LoseReplyHeaders) Say(from, to string) string {
	return f.subject("replies", to, from) + " lose the " + namedHeaders(f.Names)
}

// SetReplyHeaders adds headers to answers. They replace all of the same name.
type SetReplyHeaders struct {
	Headers []string // "Name: value"
	Pick
}

// Kind implements Fault.
func (SetReplyHeaders) Kind() Kind {
	return Kind{Name: "set reply headers", On: "calls", Undo: "the next answer is left alone", Sentences: []Sentence{{
		Pattern: `{replies} from {to} to {from} carry the [{headers}]{for}`,
		Means:   "answers arrive with a header, which replaces those of the same name",
		Examples: []string{
			`replies from "payments" to "orders" carry the header "Cache-Control: max-age=3600" for 30s`,
		},
		Fault: func(a Args) Fault { return SetReplyHeaders{Headers: headers(a, 3), Pick: a.Pick(0)} },
	}}}
}

// Rule implements OnCalls.
func (f SetReplyHeaders) Rule() message.Rule {
	return f.rule(message.Rule{Action: message.EditReply, Headers: f.Headers})
}

// Inject implements Fault.
func (f SetReplyHeaders) Inject(_ context.Context, t Target) (Heal, error) {
	return t.addRule(f.Rule())
}

// Say implements Fault.
func (f SetReplyHeaders) Say(from, to string) string {
	return f.subject("replies", to, from) + " carry the " + namedHeaders(f.Headers)
}

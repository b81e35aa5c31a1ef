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

// Kind implements Fault.
func (f SlowCalls) Kind() Kind {
	return Kind{Name: "slow calls", On: "calls", Waits: true, Delay: f.By + f.Jitter, Undo: "waiting calls go at once", Sentences: []Sentence{{
		Pattern: `{calls} from {from} to {to} are delayed by [{duration}(, give or take {duration})]{for}`,
		Means:   "calls wait before they go on",
		Examples: []string{
			`calls from "orders" to "payments" are delayed by 800ms`,
			`10% of calls from "orders" to "payments" are delayed by 800ms, give or take 200ms for 30s`,
			`only "POST /charge" calls from "orders" to "payments" are delayed by 2s for 10s`,
			`from the 100th to the 200th call from "orders" to "payments" are delayed by 1 second for 30s`,
			`the first 5 "GET /orders/{id}" calls with header "Tenant: acme" from "orders" to "payments" are delayed by 2s for 10s`,
			`only calls caused by "POST /orders" requests from "orders" to "payments" are delayed by 2s for 10s`,
		},
		Fault: func(a Args) Fault { return SlowCalls{By: a.Duration(3), Jitter: jitter(a, 3, 4), Pick: a.Pick(0)} },
	}}}
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
	Headers    []string // "Name: value", with Status
	Body       string   // with Status; "" means a short text that names the status
	Pick
}

// Kind implements Fault.
func (Answer) Kind() Kind {
	return Kind{Name: "answered calls", On: "calls", Alters: true, Hides: true, Undo: "the next call reaches the dependency", Sentences: []Sentence{{
		Pattern: `{calls} from {from} to {to} answer with status [{number}( and retry after {duration})( and the {headers})]{for}`,
		Means:   "calls are answered without the dependency",
		Examples: []string{
			`30% of calls from "orders" to "payments" answer with status 503 for 30s`,
			`calls from "orders" to "payments" answer with status 429 and retry after 2s for 30s`,
			`only calls with 10% of keys from "orders" to "payments" answer with status 500 for 30s`,
			`calls from "orders" to "payments" answer with status 503 and the header "X-Reason: maintenance" for 30s`,
		},
		Fault: func(a Args) Fault {
			return Answer{Status: a.Status(3), RetryAfter: seconds(a, 4), Headers: headers(a, 5), Pick: a.Pick(0)}
		},
	}, {
		Name:    "calls answered with a body",
		Pattern: `{calls} from {from} to {to} answer with status {number}( and retry after {duration})( and the {headers}) with this body{for}:`,
		Means:   "as before, and a doc string is the body",
		Doc:     true,
		Examples: []string{
			`calls from "orders" to "payments" answer with status 503 with this body:`,
			`calls from "orders" to "payments" answer with status 422 and the header "Content-Type: application/json" with this body for 30s:`,
		},
		Fault: func(a Args) Fault {
			return Answer{Status: a.Status(3), RetryAfter: seconds(a, 4), Headers: headers(a, 5), Body: body(a, 3), Pick: a.Pick(0)}
		},
	}, {
		Name:    "calls answered with a code",
		Pattern: `{calls} from {from} to {to} are answered with {text}( and retry after {duration}){for}`,
		Means:   "calls get a status of gRPC's without the dependency: UNAVAILABLE, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, ...",
		Examples: []string{
			`only "/shop.Payments/Charge" calls from "orders" to "payments" are answered with "UNAVAILABLE" for 30s`,
			`30% of calls from "orders" to "payments" are answered with "RESOURCE_EXHAUSTED" and retry after 2s for 30s`,
		},
		Fault: func(a Args) Fault { return Answer{Code: a.Text(3), RetryAfter: a.Duration(4), Pick: a.Pick(0)} },
	}}}
}

// Rule implements OnCalls.
func (f Answer) Rule() message.Rule {
	return f.rule(message.Rule{Action: message.Answer, Status: f.Status, Code: f.Code, RetryAfter: f.RetryAfter, Headers: f.Headers, Body: f.Body})
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
	if len(f.Headers) > 0 {
		s += " and the " + namedHeaders(f.Headers)
	}
	if f.Body != "" {
		s += " with this body:"
	}
	return s
}

// CorruptCalls changes one bit in the body of a call.
type CorruptCalls struct{ Pick }

// Kind implements Fault.
func (CorruptCalls) Kind() Kind {
	return Kind{Name: "corrupted calls", On: "calls", Alters: true, Damages: true, Undo: "the next call is left alone", Sentences: []Sentence{{
		Pattern:  `{calls} from {from} to {to} are corrupted{for}`,
		Means:    "a bit of each body is changed; its length stays right",
		Examples: []string{`1% of calls from "orders" to "payments" are corrupted for 30s`},
		Fault:    func(a Args) Fault { return CorruptCalls{a.Pick(0)} },
	}}}
}

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

// Kind implements Fault.
func (TruncateCalls) Kind() Kind {
	return Kind{Name: "truncated calls", On: "calls", Alters: true, Damages: true, Undo: "the next call is left alone", Sentences: []Sentence{{
		Pattern:  `{calls} from {from} to {to} are truncated{for}`,
		Means:    "each body ends early, and its length says so",
		Examples: []string{`only "POST /charge" calls from "orders" to "payments" are truncated for 30s`},
		Fault:    func(a Args) Fault { return TruncateCalls{a.Pick(0)} },
	}}}
}

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

// Kind implements Fault.
func (Twice) Kind() Kind {
	return Kind{Name: "twice", On: "calls", Undo: "a copy that waits leaves at once", Unnoticed: true, Sentences: []Sentence{{
		Pattern: `{calls} from {from} to {to} are delivered twice( and the second answer is returned)(, the copy [{duration}] late){for}`,
		Means:   "the dependency gets the call and a copy; the first answer is returned unless the second is asked for",
		Examples: []string{
			`20% of calls from "orders" to "payments" are delivered twice for 30s`,
			`calls from "orders" to "payments" are delivered twice and the second answer is returned for 30s`,
			`calls from "orders" to "payments" are delivered twice, the copy 2s late for 30s`,
		},
		Fault: func(a Args) Fault { return Twice{Second: second(a, 3), Late: a.Duration(3), Pick: a.Pick(0)} },
	}}}
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

// Kind implements Fault.
func (Reorder) Kind() Kind {
	return Kind{Name: "out of order", On: "calls", Waits: true, Undo: "the one that waits goes at once", Sentences: []Sentence{{
		Pattern:  `{calls} from {from} to {to} arrive out of order, up to [{duration}] late{for}`,
		Means:    "a call waits until another has passed it",
		Examples: []string{`50% of calls from "orders" to "payments" arrive out of order, up to 500ms late for 30s`},
		Fault:    func(a Args) Fault { return Reorder{Wait: a.Duration(3), Pick: a.Pick(0)} },
	}}}
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

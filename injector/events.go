package injector

import (
	"context"
	"fmt"

	"github.com/dustin/go-humanize/english"

	"github.com/firedrill-dev/firedrill/injector/message"
)

const strongerEvents = "fewer events, or a load whose answers are streams"

// CutReplies ends the connection of an answer after an event. Events are those of text/event-stream, chunks of other
// answers over HTTP/1.1, and messages of gRPC. Answers that are not streams, or end before, are left alone.
type CutReplies struct {
	Events uint64         // that arrive; at least 1
	Then   message.Ending // what happens to the connection; "" means reset, and held is StallReplies
	Pick
}

// Kind implements Fault.
func (CutReplies) Kind() Kind {
	return Kind{Name: "cut replies", On: "calls", Alters: true, Undo: "the next answer is left alone", Stronger: strongerEvents, Sentences: []Sentence{{
		Pattern: `{replies} from {to} to {from} are cut after [{number}] event(s)(, then {ending}){for}`,
		Means:   "a stream ends behind so many events of text/event-stream, chunks of HTTP/1.1, or messages of gRPC; the connection ends as said (reset)",
		Examples: []string{
			`replies from "payments" to "orders" are cut after 3 events for 30s`,
			`10% of replies from "payments" to "orders" are cut after 1 event, then closed for 30s`,
		},
		Fault: func(a Args) Fault {
			then := ending(a, 4)
			if then == message.EndHeld {
				a.Problem(4, "a stream that is held goes on when the fault is healed", "say: replies from ... stall after 3 events")
			}
			return CutReplies{Events: uint64(a.Count(3, 1)), Then: then, Pick: a.Pick(0)} //nolint:gosec // at least 1
		},
	}}}
}

// Rule implements OnCalls.
func (f CutReplies) Rule() message.Rule {
	return f.rule(message.Rule{Action: message.CutReply, Events: f.Events, EndWith: f.Then})
}

// Inject implements Fault.
func (f CutReplies) Inject(_ context.Context, t Target) (Heal, error) { return t.addRule(f.Rule()) }

// Say implements Fault.
func (f CutReplies) Say(from, to string) string {
	return fmt.Sprintf("%s are cut after %s%s", f.subject("replies", to, from), english.Plural(int(f.Events), "event", ""), then(f.Then)) //nolint:gosec // far below
}

// StallReplies holds back what follows an event of an answer until the fault is healed. Events are those of CutReplies.
type StallReplies struct {
	Events uint64 // that arrive; at least 1
	Pick
}

// Kind implements Fault.
func (StallReplies) Kind() Kind {
	return Kind{Name: "stalled replies", On: "calls", Waits: true, Undo: "what was held arrives", Stronger: strongerEvents, Sentences: []Sentence{{
		Pattern:  `{replies} from {to} to {from} stall after [{number}] event(s){for}`,
		Means:    "what follows so many events, counted as before, waits until the fault is healed",
		Examples: []string{`replies from "payments" to "orders" stall after 3 events for 30s`},
		Fault:    func(a Args) Fault { return StallReplies{Events: uint64(a.Count(3, 1)), Pick: a.Pick(0)} }, //nolint:gosec // at least 1
	}}}
}

// Rule implements OnCalls.
func (f StallReplies) Rule() message.Rule {
	return f.rule(message.Rule{Action: message.CutReply, Events: f.Events, EndWith: message.EndHeld})
}

// Inject implements Fault.
func (f StallReplies) Inject(_ context.Context, t Target) (Heal, error) { return t.addRule(f.Rule()) }

// Say implements Fault.
func (f StallReplies) Say(from, to string) string {
	return fmt.Sprintf("%s stall after %s", f.subject("replies", to, from), english.Plural(int(f.Events), "event", "")) //nolint:gosec // far below
}

package injector

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/injector/message"
)

// OnMessages is a fault on individual messages, for protocols that have messages instead of calls.
type OnMessages interface {
	OnCalls
	FromServer() Fault // the same fault on messages from the dependency
	Violation() string // the protocol whose guarantee the fault violates deliberately; "" if none
}

// Messages selects the messages that a fault acts on. The zero value selects all messages to the dependency.
type Messages struct {
	Pick
	Dir message.Dir
	// Violates names the protocol whose guarantee the fault may violate. Without it, such a fault is rejected.
	Violates string
}

func (m Messages) rule(r message.Rule) message.Rule {
	r = m.Pick.rule(r)
	r.Dir, r.AllowViolation = m.Dir, m.Violates != ""
	return r
}

// Violation implements OnMessages.
func (m Messages) Violation() string { return m.Violates }

// evenThough returns the end of a sentence that permits a violation.
func (m Messages) evenThough() string {
	if m.Violates == "" {
		return ""
	}
	return ", even though " + m.Violates + " never does this"
}

// subject returns the beginning of a sentence, which names the selected messages. An operation without an object is
// written in capitals, which distinguishes it from an object.
func (m Messages) subject(from, to string) string {
	if m.Dir == message.ToClient {
		from, to = to, from
	}
	if m.Match.Path == "" {
		m.Match.Method = strings.ToUpper(m.Match.Method)
	}
	return m.Pick.subject("messages", from, to)
}

// LoseMessages drops messages.
type LoseMessages struct {
	Then message.Ending // what happens to the connection, if there is one; "" means reset
	Messages
}

// Kind implements Fault.
func (LoseMessages) Kind() Kind {
	return Kind{Name: "lost messages", On: "messages", Hides: true, Undo: "the next message arrives; those held are delivered", Sentences: []Sentence{{
		Pattern: `{messages} from {from} to {to} are lost(, then [{ending}]){for}(, even though {protocol} never does this)`,
		Means:   "they never arrive; a connection, where there is one, ends as said (reset)",
		Examples: []string{
			`5% of messages from "orders" to "billing" are lost for 30s`,
			`only "A api.example.com" messages from "orders" to "dns" are lost for 30s`,
			`every 2nd of the messages from "billing" to "orders" are lost for 30s`,
			`only "orders.>" messages with header "Tenant: acme" from "orders" to "bus" are lost for 30s`,
			`from the 3rd to the 5th, messages with key "m-1" from "orders" to "bus" are lost for 30s`,
			`messages from "ledger" to "orders" are lost for 30s, even though postgres never does this`,
		},
		Fault: func(a Args) Fault { return LoseMessages{Then: ending(a, 3), Messages: messages(a)} },
	}}}
}

// Rule implements OnMessages.
func (f LoseMessages) Rule() message.Rule {
	return f.rule(message.Rule{Action: message.LoseRequest, EndWith: f.Then})
}

// Inject implements Fault.
func (f LoseMessages) Inject(_ context.Context, t Target) (Heal, error) { return t.addRule(f.Rule()) }

// Say implements Fault.
func (f LoseMessages) Say(from, to string) string {
	return f.subject(from, to) + " are lost" + then(f.Then) + f.evenThough()
}

// FromServer implements OnMessages.
func (f LoseMessages) FromServer() Fault { f.Dir = message.ToClient; return f }

// CorruptMessages changes one byte of a message.
type CorruptMessages struct{ Messages }

// Kind implements Fault.
func (f CorruptMessages) Kind() Kind {
	return Kind{Name: "corrupted messages", On: "messages", Alters: true, Damages: f.Dir == message.ToServer, Undo: "the next message is left alone", Sentences: []Sentence{{
		Pattern:  `{messages} from {from} to {to} are corrupted{for}`,
		Means:    "a byte of each is changed",
		Examples: []string{`messages from "orders" to "billing" are corrupted`},
		Fault:    func(a Args) Fault { return CorruptMessages{Messages{Pick: a.Pick(0)}} },
	}}}
}

// Rule implements OnMessages.
func (f CorruptMessages) Rule() message.Rule { return f.rule(message.Rule{Action: message.Corrupt}) }

// Inject implements Fault.
func (f CorruptMessages) Inject(_ context.Context, t Target) (Heal, error) {
	return t.addRule(f.Rule())
}

// Say implements Fault.
func (f CorruptMessages) Say(from, to string) string { return f.subject(from, to) + " are corrupted" }

// FromServer implements OnMessages.
func (f CorruptMessages) FromServer() Fault { f.Dir = message.ToClient; return f }

// TruncateMessages truncates messages.
type TruncateMessages struct{ Messages }

// Kind implements Fault.
func (f TruncateMessages) Kind() Kind {
	return Kind{Name: "truncated messages", On: "messages", Alters: true, Damages: f.Dir == message.ToServer, Undo: "the next message is left alone", Sentences: []Sentence{{
		Pattern:  `{messages} from {from} to {to} are truncated{for}`,
		Means:    "only the first half of each arrives",
		Examples: []string{`1% of messages from "orders" to "billing" are truncated for 30s`},
		Fault:    func(a Args) Fault { return TruncateMessages{Messages{Pick: a.Pick(0)}} },
	}}}
}

// Rule implements OnMessages.
func (f TruncateMessages) Rule() message.Rule { return f.rule(message.Rule{Action: message.Truncate}) }

// Inject implements Fault.
func (f TruncateMessages) Inject(_ context.Context, t Target) (Heal, error) {
	return t.addRule(f.Rule())
}

// Say implements Fault.
func (f TruncateMessages) Say(from, to string) string { return f.subject(from, to) + " are truncated" }

// FromServer implements OnMessages.
func (f TruncateMessages) FromServer() Fault { f.Dir = message.ToClient; return f }

// MessagesTwice delivers messages twice.
type MessagesTwice struct {
	Second bool          // return the second answer, if answers can be told apart; otherwise the first, or both
	Late   time.Duration // how much later the copy is sent
	Messages
}

// Kind implements Fault.
func (MessagesTwice) Kind() Kind {
	return Kind{Name: "messages twice", On: "messages", Undo: "a copy that waits leaves at once", Unnoticed: true, Sentences: []Sentence{{
		Pattern: `{messages} from {from} to {to} are delivered twice( and the second answer is returned)(, the copy [{duration}] late){for}(, even though {protocol} never does this)`,
		Means:   "they arrive a second time, at once or later",
		Examples: []string{
			`20% of messages from "orders" to "billing" are delivered twice for 30s`,
			`messages from "orders" to "billing" are delivered twice, the copy 2s late for 30s`,
			`messages from "cache" to "orders" are delivered twice for 30s, even though redis never does this`,
		},
		Fault: func(a Args) Fault {
			return MessagesTwice{Second: second(a, 3), Late: a.Duration(3), Messages: messages(a)}
		},
	}}}
}

// Rule implements OnMessages.
func (f MessagesTwice) Rule() message.Rule {
	return f.rule(message.Rule{Action: message.Twice, Second: f.Second, Late: f.Late})
}

// Inject implements Fault.
func (f MessagesTwice) Inject(_ context.Context, t Target) (Heal, error) { return t.addRule(f.Rule()) }

// Say implements Fault.
func (f MessagesTwice) Say(from, to string) string {
	return f.subject(from, to) + deliveredTwice(f.Second, f.Late) + f.evenThough()
}

// FromServer implements OnMessages.
func (f MessagesTwice) FromServer() Fault { f.Dir = message.ToClient; return f }

// ReorderMessages makes messages arrive out of order: a message is held until another one has passed it, for at most
// Wait.
type ReorderMessages struct {
	Wait time.Duration
	Messages
}

// Kind implements Fault.
func (ReorderMessages) Kind() Kind {
	return Kind{Name: "messages out of order", On: "messages", Undo: "the one that waits goes at once", Sentences: []Sentence{{
		Pattern: `{messages} from {from} to {to} arrive out of order, up to [{duration}] late{for}(, even though {protocol} never does this)`,
		Means:   "a message waits until another has passed it",
		Examples: []string{
			`50% of messages from "orders" to "billing" arrive out of order, up to 500ms late for 30s`,
			`messages from "ledger" to "orders" arrive out of order, up to 1s late for 30s, even though postgres never does this`,
		},
		Fault: func(a Args) Fault { return ReorderMessages{Wait: a.Duration(3), Messages: messages(a)} },
	}}}
}

// Rule implements OnMessages.
func (f ReorderMessages) Rule() message.Rule {
	return f.rule(message.Rule{Action: message.Reorder, Wait: f.Wait})
}

// Inject implements Fault.
func (f ReorderMessages) Inject(_ context.Context, t Target) (Heal, error) {
	return t.addRule(f.Rule())
}

// Say implements Fault.
func (f ReorderMessages) Say(from, to string) string {
	return f.subject(from, to) + " arrive out of order, up to " + Duration(f.Wait) + " late" + f.evenThough()
}

// FromServer implements OnMessages.
func (f ReorderMessages) FromServer() Fault { f.Dir = message.ToClient; return f }

// SlowMessages delays messages by By, give or take Jitter, uniformly distributed.
type SlowMessages struct {
	By, Jitter time.Duration
	Messages
}

// Kind implements Fault.
func (f SlowMessages) Kind() Kind {
	return Kind{Name: "slow messages", On: "messages", Delay: f.By + f.Jitter, Undo: "waiting messages go at once", Sentences: []Sentence{{
		Pattern:  `{messages} from {from} to {to} are delayed by [{duration}(, give or take {duration})]{for}`,
		Means:    "messages arrive later; a datagram alone, on a connection what is behind it too",
		Examples: []string{`messages from "orders" to "billing" are delayed by 200ms, give or take 50ms for 30s`},
		Fault: func(a Args) Fault {
			return SlowMessages{By: a.Duration(3), Jitter: jitter(a, 3, 4), Messages: Messages{Pick: a.Pick(0)}}
		},
	}}}
}

// Rule implements OnMessages.
func (f SlowMessages) Rule() message.Rule {
	return f.rule(message.Rule{Action: message.Delay, By: f.By, Jitter: f.Jitter})
}

// Inject implements Fault.
func (f SlowMessages) Inject(_ context.Context, t Target) (Heal, error) { return t.addRule(f.Rule()) }

// Say implements Fault.
func (f SlowMessages) Say(from, to string) string {
	return f.subject(from, to) + " are delayed by " + giveOrTake(f.By, f.Jitter)
}

// FromServer implements OnMessages.
func (f SlowMessages) FromServer() Fault { f.Dir = message.ToClient; return f }

// AnswerMessages answers messages with an error of the protocol. The dependency does not receive them.
type AnswerMessages struct {
	Code string // "SERVFAIL" (DNS), "LOADING" (Redis)
	Messages
}

// Kind implements Fault.
func (AnswerMessages) Kind() Kind {
	return Kind{Name: "answered messages", On: "messages", Alters: true, Hides: true, Undo: "the next message reaches the dependency", Sentences: []Sentence{{
		Pattern: `{messages} from {from} to {to} are answered with [{text}]{for}`,
		Means: "they get an error in the protocol's own words, without the dependency; DNS: SERVFAIL, NXDOMAIN, REFUSED, TC (ask again over TCP); " +
			"Redis: LOADING, OOM, READONLY, BUSY, ...; NATS: 503, ...; PostgreSQL: 57P01, ...; lines and lengths: anything",
		Examples: []string{
			`30% of messages from "orders" to "dns" are answered with "SERVFAIL" for 30s`,
			`only "INCR" messages from "orders" to "cache" are answered with "LOADING" for 30s`,
		},
		Fault: func(a Args) Fault { return AnswerMessages{Code: a.Text(3), Messages: Messages{Pick: a.Pick(0)}} },
	}}}
}

// Rule implements OnMessages.
func (f AnswerMessages) Rule() message.Rule {
	return f.rule(message.Rule{Action: message.Answer, Code: f.Code})
}

// Inject implements Fault.
func (f AnswerMessages) Inject(_ context.Context, t Target) (Heal, error) { return t.addRule(f.Rule()) }

// Say implements Fault.
func (f AnswerMessages) Say(from, to string) string {
	return fmt.Sprintf("%s are answered with %q", f.subject(from, to), f.Code)
}

// FromServer implements OnMessages.
func (f AnswerMessages) FromServer() Fault { f.Dir = message.ToClient; return f }

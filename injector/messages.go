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

// messageKinds returns the rows of faults on messages.
func messageKinds() []Kind {
	return []Kind{
		{Name: "answered messages", Hides: true, On: "messages", Means: "messages get an error in the protocol's own words, without the dependency", Undo: "the next message reaches the dependency", Value: AnswerMessages{Code: "SERVFAIL", Messages: Messages{Pick: Pick{Share: 0.3}}}},
		{Name: "corrupted messages", On: "messages", Means: "a byte of the message is changed", Undo: "the next message is left alone", Value: CorruptMessages{}},
		{Name: "lost messages", Hides: true, On: "messages", Means: "messages never arrive", Undo: "the next message arrives; those held are delivered", Value: LoseMessages{Messages: Messages{Pick: Pick{Share: 0.05}}}},
		{Name: "messages out of order", On: "messages", Means: "a message waits until another has passed it", Undo: "the one that waits goes at once", Value: ReorderMessages{Wait: 500 * time.Millisecond, Messages: Messages{Pick: Pick{Share: 0.5}}}},
		{Name: "messages twice", On: "messages", Means: "messages are delivered a second time", Undo: "a copy that waits leaves at once", Value: MessagesTwice{Messages: Messages{Pick: Pick{Share: 0.2}}}},
		{Name: "slow messages", On: "messages", Means: "messages arrive later; a datagram alone, on a connection what is behind it too", Undo: "waiting messages go at once", Value: SlowMessages{By: 200 * time.Millisecond, Jitter: 50 * time.Millisecond}},
		{Name: "truncated messages", On: "messages", Means: "only the first half of a message arrives", Undo: "the next message is left alone", Value: TruncateMessages{Messages: Messages{Pick: Pick{Every: 3}}}},
	}
}

// LoseMessages drops messages.
type LoseMessages struct {
	Then message.Ending // what happens to the connection, if there is one; "" means reset
	Messages
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

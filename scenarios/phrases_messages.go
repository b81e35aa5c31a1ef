package scenarios

import (
	"strings"

	"github.com/firedrill-dev/firedrill/injector"
)

// messageFaultPhrases are about messages: datagrams, and messages of protocols without calls. The first name is
// the sender, so each fault exists in both directions.
func messageFaultPhrases() []Phrase {
	return []Phrase{
		faultPhrase("slow messages", `{messages} from {name} to {name} are delayed by {duration}(, give or take {duration})`, "messages arrive later; a datagram alone, on a connection what is behind it too", []string{
			`messages from "orders" to "billing" are delayed by 200ms, give or take 50ms for 30s`,
		}, func(a args) Placed {
			return between(a, 1, 2, injector.SlowMessages{By: a.duration(3), Jitter: a.jitter(3, 4), Messages: a.messages(0)})
		}),
		allowViolation(faultPhrase("lost messages", `{messages} from {name} to {name} are lost(, then {ending})`, "they never arrive; a connection, where there is one, ends as said (reset)", []string{
			`5% of messages from "orders" to "billing" are lost for 30s`,
			`only "A api.example.com" messages from "orders" to "dns" are lost for 30s`,
			`every 2nd of the messages from "billing" to "orders" are lost for 30s`,
			`only "orders.>" messages with header "Tenant: acme" from "orders" to "bus" are lost for 30s`,
			`from the 3rd to the 5th, messages with key "m-1" from "orders" to "bus" are lost for 30s`,
			`messages from "ledger" to "orders" are lost for 30s, even though postgres never does this`,
		}, func(a args) Placed {
			return between(a, 1, 2, injector.LoseMessages{Then: a.ending(3), Messages: a.messagesViolating(0, 5)})
		})),
		allowViolation(faultPhrase("messages twice", `{messages} from {name} to {name} are delivered twice( and the second answer is returned)(, the copy {duration} late)`, "they arrive a second time, at once or later", []string{
			`20% of messages from "orders" to "billing" are delivered twice for 30s`,
			`messages from "orders" to "billing" are delivered twice, the copy 2s late for 30s`,
			`messages from "cache" to "orders" are delivered twice for 30s, even though redis never does this`,
		}, func(a args) Placed {
			return between(a, 1, 2, injector.MessagesTwice{Second: a.second(3), Late: a.duration(3), Messages: a.messagesViolating(0, 5)})
		})),
		allowViolation(faultPhrase("messages out of order", `{messages} from {name} to {name} arrive out of order, up to {duration} late`, "a message waits until another has passed it", []string{
			`50% of messages from "orders" to "billing" arrive out of order, up to 500ms late for 30s`,
			`messages from "ledger" to "orders" arrive out of order, up to 1s late for 30s, even though postgres never does this`,
		}, func(a args) Placed {
			return between(a, 1, 2, injector.ReorderMessages{Wait: a.duration(3), Messages: a.messagesViolating(0, 5)})
		})),
		faultPhrase("corrupted messages", `{messages} from {name} to {name} are corrupted`, "a byte of each is changed", []string{
			`messages from "orders" to "billing" are corrupted`,
		}, func(a args) Placed { return between(a, 1, 2, injector.CorruptMessages{Messages: a.messages(0)}) }),
		faultPhrase("truncated messages", `{messages} from {name} to {name} are truncated`, "only the first half of each arrives", []string{
			`1% of messages from "orders" to "billing" are truncated for 30s`,
		}, func(a args) Placed { return between(a, 1, 2, injector.TruncateMessages{Messages: a.messages(0)}) }),
		faultPhrase("answered messages", `{messages} from {name} to {name} are answered with {text}`, "they get an error in the protocol's own words, without the dependency; DNS: SERVFAIL, NXDOMAIN, REFUSED, TC (ask again over TCP); Redis: LOADING, OOM, READONLY, BUSY, ...; NATS: 503, ...; PostgreSQL: 57P01, ...; lines and lengths: anything", []string{
			`30% of messages from "orders" to "dns" are answered with "SERVFAIL" for 30s`,
			`only "INCR" messages from "orders" to "cache" are answered with "LOADING" for 30s`,
		}, func(a args) Placed {
			return between(a, 1, 2, injector.AnswerMessages{Code: a.quoted(3), Messages: a.messages(0)})
		}),
	}
}

// allowViolation adds the suffix by which a sentence breaks a guarantee of its protocol on purpose.
func allowViolation(p Phrase) Phrase {
	p.Pattern += "(, even though {protocol} never does this)"
	return p
}

// messages parses {messages}.
func (a args) messages(i int) injector.Messages { return injector.Messages{Pick: a.pick(i)} }

func (a args) messagesViolating(i, protocol int) injector.Messages {
	return injector.Messages{Pick: a.pick(i), Violates: a.value(protocol)}
}

// second reports whether the second answer is returned. late is the index of the copy's delay.
func (a args) second(late int) bool {
	second := strings.Contains(a.text, "the second answer is returned")
	if second && a.has(late) {
		a.r.addProblem(a.pos(late), "a copy that leaves late cannot answer", "leave out either `and the second answer is returned` or `, the copy ... late`")
	}
	return second
}

// topic parses what messages are about: "A api.example.com" is an operation and an object, "INCR" in capitals is
// an operation, "orders.>" is an object.
func topic(s string) (operation, object string) {
	if operation, object, both := strings.Cut(s, " "); both {
		return operation, strings.TrimSpace(object)
	}
	if strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == "" && strings.ToLower(s) != s {
		return s, ""
	}
	return "", s
}

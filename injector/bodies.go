package injector

import (
	"context"
	"strings"

	"github.com/firedrill-dev/firedrill/injector/message"
)

// ReplaceReplies replaces the bodies of answers. Status and headers stay, except for Content-Encoding, which is removed.
// Headers that describe the body, such as ETag, are not adapted. Answers without a body are left alone.
type ReplaceReplies struct {
	Body string
	Pick
}

// Kind implements Fault.
func (ReplaceReplies) Kind() Kind {
	return Kind{Name: "replaced replies", On: "calls", Alters: true, Undo: "the next answer is left alone", Sentences: []Sentence{{
		Pattern:  `{replies} from {to} to {from} have the body [{text}]{for}`,
		Means:    "each answer arrives with this body; its length says so",
		Examples: []string{`replies from "payments" to "orders" have the body "maintenance" for 30s`},
		Fault:    func(a Args) Fault { return ReplaceReplies{Body: a.Text(3), Pick: a.Pick(0)} },
	}, {
		Name:     "replies replaced by a doc string",
		Pattern:  `{replies} from {to} to {from} have this body{for}:`,
		Means:    "as before, and a doc string is the body",
		Doc:      true,
		Examples: []string{`only "GET /price" replies from "payments" to "orders" have this body for 30s:`},
		Fault:    func(a Args) Fault { return ReplaceReplies{Body: a.Doc(), Pick: a.Pick(0)} },
	}}}
}

// Rule implements OnCalls.
func (f ReplaceReplies) Rule() message.Rule {
	return f.rule(message.Rule{Action: message.ReplaceReply, Body: f.Body})
}

// Inject implements Fault.
func (f ReplaceReplies) Inject(_ context.Context, t Target) (Heal, error) { return t.addRule(f.Rule()) }

// Say implements Fault. A body that sentences cannot quote is left out.
func (f ReplaceReplies) Say(from, to string) string {
	if strings.ContainsAny(f.Body, "\"\r\n") {
		return f.subject("replies", to, from) + " have this body:"
	}
	return f.subject("replies", to, from) + ` have the body "` + f.Body + `"`
}

package injector

import (
	"context"
	"fmt"
	"time"

	"github.com/firedrill-dev/firedrill/injector/link"
)

// Refuse closes the link's port and resets live connections, as when the listening process ends. Datagrams are
// answered with ICMP, so that clients get ECONNREFUSED.
type Refuse struct{}

const reopened = "the same port is opened again"

// Kind implements Fault.
func (Refuse) Kind() Kind {
	return Kind{Name: "refuse", On: "connections", Hides: true, Unseen: true, Undo: reopened, Datagrams: reopened, Sentences: []Sentence{{
		Pattern:  `{to} refuses connections from {from}{for}`,
		Means:    "the port is closed: connection refused",
		Examples: []string{`"payments" refuses connections from "orders" for 15s`},
		Fault:    func(Args) Fault { return Refuse{} },
	}}}
}

// Inject implements Fault.
func (Refuse) Inject(_ context.Context, t Target) (Heal, error) {
	if t.Datagrams != nil {
		heal, err := t.Datagrams.Refuse(t.Count)
		return Heal(heal), err
	}
	return addToLink(t, (*link.Link).Refuse, t.Count)
}

// Say implements Fault.
func (Refuse) Say(from, to string) string {
	return fmt.Sprintf("%q refuses connections from %q", to, from)
}

// NoAccept makes new connections hang, as when a server does not call accept: the client's connect succeeds, but
// nothing is answered. Live connections are not affected.
type NoAccept struct{}

// Kind implements Fault.
func (NoAccept) Kind() Kind {
	return Kind{Name: "no accept", On: "connections", Hides: true, Unseen: true, Waits: true, Undo: "those that wait are served", Sentences: []Sentence{{
		Pattern:  `{to} accepts no connections from {from}{for}`,
		Means:    "new connections are established but receive no answer; open connections continue to work",
		Examples: []string{`"payments" accepts no connections from "orders" for 15s`},
		Fault:    func(Args) Fault { return NoAccept{} },
	}}}
}

// Inject implements Fault.
func (NoAccept) Inject(_ context.Context, t Target) (Heal, error) {
	return addToLink(t, (*link.Link).AcceptSlowly, link.SlowAccept{On: Conns{}.on(t)})
}

// Say implements Fault.
func (NoAccept) Say(from, to string) string {
	return fmt.Sprintf("%q accepts no connections from %q", to, from)
}

// SlowAccept delays the handling of new connections. Live connections are not affected.
type SlowAccept struct {
	By time.Duration // must be positive
	Conns
}

// Kind implements Fault.
func (SlowAccept) Kind() Kind {
	return Kind{Name: "slow accept", On: "connections", Waits: true, Undo: "those that wait are served", Sentences: []Sentence{{
		Pattern: `{new_connections} from {from} to {to} are accepted [{duration}] late{for}`,
		Means:   "they are established but wait for an answer; open connections continue to work",
		Examples: []string{
			`new connections from "orders" to "payments" are accepted 2s late for 15s`,
			`20% of new connections from "orders" to "payments" are accepted 2s late for 15s`,
		},
		Fault: func(a Args) Fault { return SlowAccept{By: a.Duration(3), Conns: a.Conns(0)} },
	}}}
}

// Inject implements Fault.
func (f SlowAccept) Inject(_ context.Context, t Target) (Heal, error) {
	if f.By <= 0 {
		return nil, fmt.Errorf("accept connections %v late: the delay must be positive; to accept none, inject NoAccept", f.By)
	}
	return addToLink(t, (*link.Link).AcceptSlowly, link.SlowAccept{On: f.on(t), By: f.By})
}

// Say implements Fault.
func (f SlowAccept) Say(from, to string) string {
	return between(f.noun("new connections"), from, to) + " are accepted " + Duration(f.By) + " late"
}

// StallTLS makes TLS handshakes of new connections hang: the client's first message is forwarded, but no answer
// arrives.
type StallTLS struct{ Conns }

// Kind implements Fault.
func (StallTLS) Kind() Kind {
	return Kind{Name: "stalled TLS", On: "connections", Unseen: true, Waits: true, Undo: "the answers arrive", Sentences: []Sentence{{
		Pattern: `{handshakes} from {from} to {to} stall{for}`,
		Means:   "new connections that begin a TLS handshake get no answer",
		Examples: []string{
			`TLS handshakes from "orders" to "payments" stall for 15s`,
			`20% of TLS handshakes from "orders" to "payments" stall for 15s`,
		},
		Fault: func(a Args) Fault { return StallTLS{a.Conns(0)} },
	}}}
}

// Inject implements Fault.
func (f StallTLS) Inject(_ context.Context, t Target) (Heal, error) {
	return addToLink(t, (*link.Link).StallTLS, f.on(t))
}

// Say implements Fault.
func (f StallTLS) Say(from, to string) string {
	return between(f.noun("TLS handshakes"), from, to) + " stall"
}

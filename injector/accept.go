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

// Inject implements Fault.
func (f StallTLS) Inject(_ context.Context, t Target) (Heal, error) {
	return addToLink(t, (*link.Link).StallTLS, f.on(t))
}

// Say implements Fault.
func (f StallTLS) Say(from, to string) string {
	return between(f.noun("TLS handshakes"), from, to) + " stall"
}

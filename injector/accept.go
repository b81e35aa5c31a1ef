package injector

import (
	"context"
	"fmt"
	"time"

	"github.com/firedrill-dev/firedrill/injector/link"
)

// Refuse closes the link's port (datagrams are answered with ICMP: connection refused) and resets its live connections, as the end of a listening process does.
type Refuse struct{}

// Inject implements Fault.
func (Refuse) Inject(_ context.Context, t Target) (Heal, error) {
	if t.Datagrams != nil {
		heal, err := t.Datagrams.Refuse(t.Count)
		return Heal(heal), err
	}
	return put(t, (*link.Link).Refuse, t.Count)
}

// Say implements Fault.
func (Refuse) Say(from, to string) string {
	return fmt.Sprintf("%q refuses connections from %q", to, from)
}

// NoAccept lets new connections hang, as behind a server that does not come to its accept: the client's connect succeeds and nobody answers.
// Live connections go on.
type NoAccept struct{}

// Inject implements Fault.
func (NoAccept) Inject(_ context.Context, t Target) (Heal, error) {
	return put(t, (*link.Link).AcceptSlowly, link.SlowAccept{On: Conns{}.on(t)})
}

// Say implements Fault.
func (NoAccept) Say(from, to string) string {
	return fmt.Sprintf("%q accepts no connections from %q", to, from)
}

// SlowAccept lets new connections wait before anybody answers on them. Live connections go on.
type SlowAccept struct {
	By time.Duration // above 0
	Conns
}

// Inject implements Fault.
func (f SlowAccept) Inject(_ context.Context, t Target) (Heal, error) {
	if f.By <= 0 {
		return nil, fmt.Errorf("accept connections %v late: the delay must be positive; to accept none, inject NoAccept", f.By)
	}
	return put(t, (*link.Link).AcceptSlowly, link.SlowAccept{On: f.on(t), By: f.By})
}

// Say implements Fault.
func (f SlowAccept) Say(from, to string) string {
	return between(f.some("new connections"), from, to) + " are accepted " + Duration(f.By) + " late"
}

// StallTLS lets TLS handshakes of new connections hang: the client's first message goes, and no answer arrives.
type StallTLS struct{ Conns }

// Inject implements Fault.
func (f StallTLS) Inject(_ context.Context, t Target) (Heal, error) {
	return put(t, (*link.Link).StallTLS, f.on(t))
}

// Say implements Fault.
func (f StallTLS) Say(from, to string) string {
	return between(f.some("TLS handshakes"), from, to) + " stall"
}

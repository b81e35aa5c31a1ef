package injector

import (
	"context"
	"fmt"

	"github.com/firedrill-dev/firedrill/injector/link"
)

// CutOff silences a link, in both directions or one; it heals, and held bytes arrive. Datagrams are not held: they are lost.
type CutOff struct{ Dir link.Dir }

// Inject implements Fault.
func (f CutOff) Inject(_ context.Context, t Target) (Heal, error) {
	if t.Datagrams != nil {
		heal, err := t.Datagrams.CutOff(link.Cut{On: t.on(), Dir: f.Dir})
		return Heal(heal), err
	}
	if err := t.onLink(); err != nil {
		return nil, err
	}
	heal, err := t.Link.CutOff(link.Cut{On: t.on(), Dir: f.Dir})
	return Heal(heal), err
}

// Say implements Fault.
func (f CutOff) Say(from, to string) string {
	switch f.Dir {
	case link.ToServer:
		return fmt.Sprintf("requests from %q never reach %q", from, to)
	case link.ToClient:
		return fmt.Sprintf("replies from %q never reach %q", to, from)
	default:
		return fmt.Sprintf("%q and %q are cut off from each other", from, to)
	}
}

// Refuse closes the link's port (datagrams are answered with ICMP: connection refused) and resets its live connections, as the end of a listening process does.
type Refuse struct{}

// Inject implements Fault.
func (Refuse) Inject(_ context.Context, t Target) (Heal, error) {
	if t.Datagrams != nil {
		heal, err := t.Datagrams.Refuse(t.Count)
		return Heal(heal), err
	}
	if err := t.onLink(); err != nil {
		return nil, err
	}
	heal, err := t.Link.Refuse(t.Count)
	return Heal(heal), err
}

// Say implements Fault.
func (Refuse) Say(from, to string) string {
	return fmt.Sprintf("%q refuses connections from %q", to, from)
}

// Reset resets connections: live ones at once, or after so many bytes; new ones too.
type Reset struct {
	Share      float64 // of connections; 0 means all
	AfterBytes int64
}

// Inject implements Fault.
func (f Reset) Inject(_ context.Context, t Target) (Heal, error) {
	if err := t.onLink(); err != nil {
		return nil, err
	}
	on := t.on()
	on.Share = f.Share
	heal, err := t.Link.Reset(link.Reset{On: on, AfterBytes: f.AfterBytes})
	return Heal(heal), err
}

// Say implements Fault.
func (f Reset) Say(from, to string) string {
	s := Pick{Share: f.Share}.subject("connections", from, to) + " are reset"
	if f.AfterBytes > 0 {
		s += " after " + Size(f.AfterBytes)
	}
	return s
}

package injector

import (
	"context"
	"fmt"

	"github.com/firedrill-dev/firedrill/injector/link"
)

// Conns selects the connections that a stream fault acts on. The zero value selects all. Connections are numbered
// from 1: first those that are live when the fault is injected, in order of acceptance, and then the new ones. A
// fault that acts on new connections only numbers only those.
type Conns struct {
	Share       float64 // share of connections, drawn by hash; 0 means all
	First, From uint64  // only up to the First-th, and only from the From-th connection on; 0 means no limit
}

func (c Conns) on(t Target) link.On {
	return link.On{ID: t.ID, Seed: t.Seed, Count: t.Count, Share: c.Share, First: c.First, From: c.From}
}

// Numbered reports whether connections are selected by number. Connections opened before the load, such as by a
// heartbeat, have the first numbers.
func (c Conns) Numbered() bool { return c.First > 0 || c.From > 1 }

// noun qualifies a plural noun with the selection: "20% of the first 50 connections".
func (c Conns) noun(noun string) string {
	switch {
	case c.From > 1 && c.First > 0:
		noun = fmt.Sprintf("the %s to the %s %s", ordinal(c.From), ordinal(c.First), noun)
	case c.From > 1:
		noun = fmt.Sprintf("all but the first %d %s", c.From-1, noun)
	case c.First > 0:
		noun = fmt.Sprintf("the first %d %s", c.First, noun)
	}
	if c.Share > 0 && c.Share < 1 {
		noun = percent(c.Share) + " of " + noun
	}
	return noun
}

// between returns the beginning of a sentence.
func between(what, from, to string) string { return fmt.Sprintf("%s from %q to %q", what, from, to) }

// addToLink adds a stream fault to the target's link.
func addToLink[F any](t Target, add func(*link.Link, F) (link.Heal, error), f F) (Heal, error) {
	if err := t.checkLink(); err != nil {
		return nil, err
	}
	heal, err := add(t.Link, f)
	return Heal(heal), err
}

// CutOff blackholes a link in one direction or both. Bytes are held and arrive after healing. Datagrams are lost.
type CutOff struct{ Dir link.Dir }

// Inject implements Fault.
func (f CutOff) Inject(_ context.Context, t Target) (Heal, error) {
	cut := link.Cut{On: Conns{}.on(t), Dir: f.Dir}
	if t.Datagrams != nil {
		heal, err := t.Datagrams.CutOff(cut)
		return Heal(heal), err
	}
	return addToLink(t, (*link.Link).CutOff, cut)
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

// Silence blackholes the selected connections. Other connections are not affected.
type Silence struct{ Conns }

// Inject implements Fault.
func (f Silence) Inject(_ context.Context, t Target) (Heal, error) {
	return addToLink(t, (*link.Link).CutOff, link.Cut{On: f.on(t)})
}

// Say implements Fault.
func (f Silence) Say(from, to string) string {
	return between(f.noun("connections"), from, to) + " fall silent"
}

// HalfOpen discards everything that is sent on live connections, while both sides still consider themselves
// connected. Healing resets these connections.
type HalfOpen struct{ Conns }

// Inject implements Fault.
func (f HalfOpen) Inject(_ context.Context, t Target) (Heal, error) {
	return addToLink(t, (*link.Link).HalfOpen, f.on(t))
}

// Say implements Fault.
func (f HalfOpen) Say(from, to string) string {
	return between(f.noun("connections"), from, to) + " are half-open"
}

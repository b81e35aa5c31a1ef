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

// Portion returns the share of the connections that are selected, from 0 to 1. A selection by number counts as all
// connections, since it is not known how many there are.
func (c Conns) Portion() float64 {
	if c.Share > 0 && c.Share < 1 {
		return c.Share
	}
	return 1
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

// Kind implements Fault.
func (CutOff) Kind() Kind {
	return Kind{Name: "cut off", On: "connections", Hides: true, Unseen: true, Waits: true, Undo: "what was held arrives", Datagrams: datagramsPass, Sentences: []Sentence{{
		Pattern:  `{from} and {to} are cut off from each other{for}`,
		Means:    "silence both ways; sockets stay open; on healing what was held arrives",
		Examples: []string{`"orders" and "payments" are cut off from each other for 15s`},
		Fault:    func(Args) Fault { return CutOff{} },
	}, {
		Name:     "cut off one way, requests",
		Pattern:  `requests from {from} never reach {to}{for}`,
		Means:    "silence on the way there",
		Examples: []string{`requests from "orders" never reach "payments" for 15s`},
		Fault:    func(Args) Fault { return CutOff{Dir: link.ToServer} },
	}, {
		Name:     "cut off one way, replies",
		Pattern:  `replies from {to} never reach {from}{for}`,
		Means:    "silence on the way back",
		Examples: []string{`replies from "payments" never reach "orders" for 15s`},
		Fault:    func(Args) Fault { return CutOff{Dir: link.ToClient} },
	}}}
}

// Inject implements Fault.
func (f CutOff) Inject(_ context.Context, t Target) (Heal, error) {
	cut := link.Cut{On: Conns{}.on(t), Dir: f.Dir}
	if t.Datagrams != nil {
		heal, err := t.Datagrams.CutOff(cut)
		return Heal(heal), err
	}
	return addToLink(t, (*link.Link).CutOff, cut)
}

// Reversed implements OneWay: a cut in both directions is the same from either end.
func (f CutOff) Reversed() (reversed Fault, ok bool) { return f, f.Dir == link.Both }

// datagramsPass is how a cut of datagrams is healed: nothing holds them.
const datagramsPass = "datagrams pass again, and none of those lost meanwhile comes"

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

// Kind implements Fault.
func (Silence) Kind() Kind {
	return Kind{Name: "silence", On: "connections", Waits: true, Undo: "what was held arrives", Sentences: []Sentence{{
		Pattern: `{connections} from {from} to {to} fall silent{for}`,
		Means:   "as if cut off, both ways, while the other connections go on; on healing what was held arrives",
		Examples: []string{
			`20% of connections from "orders" to "payments" fall silent for 15s`,
			`the first 3 connections from "orders" to "payments" fall silent for 15s`,
		},
		Fault: func(a Args) Fault { return Silence{a.Conns(0)} },
	}}}
}

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

// Kind implements Fault.
func (HalfOpen) Kind() Kind {
	return Kind{Name: "half-open", On: "connections", Hides: true, Undo: "those connections are reset, since some of their bytes are lost", Sentences: []Sentence{{
		Pattern:  `{connections} from {from} to {to} are half-open{for}`,
		Means:    "those that are live lose their other end without notice, and both sides believe themselves connected; new ones go through; healing resets them",
		Examples: []string{`connections from "orders" to "payments" are half-open for 15s`},
		Fault:    func(a Args) Fault { return HalfOpen{a.Conns(0)} },
	}}}
}

// Inject implements Fault.
func (f HalfOpen) Inject(_ context.Context, t Target) (Heal, error) {
	return addToLink(t, (*link.Link).HalfOpen, f.on(t))
}

// Say implements Fault.
func (f HalfOpen) Say(from, to string) string {
	return between(f.noun("connections"), from, to) + " are half-open"
}

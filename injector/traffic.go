package injector

import (
	"context"
	"time"

	"github.com/firedrill-dev/firedrill/injector/link"
)

// Way selects the traffic of a link that a fault acts on. The zero value selects all traffic in both directions.
type Way struct {
	Dir link.Dir
	Conns
}

// OneWay is a fault that can act in one direction. In its sentence the order of the names gives the direction:
// `one-way traffic from "payments" to "orders"` is what payments sends, whichever of the two depends on the other.
type OneWay interface {
	Fault
	// Reversed returns the fault with the opposite direction. ok is false if the fault acts in both directions.
	Reversed() (reversed Fault, ok bool)
}

func (w Way) reversed() (Way, bool) {
	switch w.Dir {
	case link.ToServer:
		w.Dir = link.ToClient
	case link.ToClient:
		w.Dir = link.ToServer
	default:
		return w, false
	}
	return w, true
}

// subject returns the beginning of a sentence, such as `one-way traffic on 20% of connections from "payments" to "orders"`.
func (w Way) subject(what, from, to string) string {
	if w.Dir == link.ToClient {
		from, to = to, from
	}
	if w.Dir != link.Both {
		what = "one-way " + what
	}
	if w.Conns != (Conns{}) {
		what += " on " + w.Conns.noun("connections")
	}
	return between(what, from, to)
}

// Bandwidth limits each connection to Rate bytes per second in each direction.
type Bandwidth struct {
	Rate int64
	Way
}

// Kind implements Fault.
func (Bandwidth) Kind() Kind {
	return Kind{Name: "bandwidth", On: "traffic", Waits: true, Undo: "what waits goes at once", Stronger: "a lower rate or larger messages", Sentences: []Sentence{{
		Pattern: `{traffic} from {from} to {to} is limited to [{size}] per second{for}`,
		Means:   "each connection carries so many bytes a second in each direction, or in one",
		Examples: []string{
			`traffic from "orders" to "payments" is limited to 64 KB per second for 30s`,
			`one-way traffic from "orders" to "payments" is limited to 64 KB per second for 30s`,
		},
		Fault: func(a Args) Fault { return Bandwidth{Rate: a.Size(3), Way: way(a, 0)} },
	}}}
}

// Inject implements Fault.
func (f Bandwidth) Inject(_ context.Context, t Target) (Heal, error) {
	return addToLink(t, (*link.Link).Limit, link.Bandwidth{On: f.on(t), Dir: f.Dir, Rate: f.Rate})
}

// Say implements Fault.
func (f Bandwidth) Say(from, to string) string {
	return f.subject("traffic", from, to) + " is limited to " + formatSize(f.Rate) + " per second"
}

// Reversed implements OneWay.
func (f Bandwidth) Reversed() (reversed Fault, ok bool) {
	f.Way, ok = f.reversed()
	return f, ok
}

// SharedBandwidth limits all connections together to Rate bytes per second in each direction.
type SharedBandwidth struct {
	Rate int64
	Way
}

// Kind implements Fault.
func (SharedBandwidth) Kind() Kind {
	return Kind{Name: "shared bandwidth", On: "traffic", Waits: true, Undo: "what waits goes at once", Stronger: "a lower rate or larger messages", Sentences: []Sentence{{
		Pattern:  `all {traffic} from {from} to {to} together is limited to [{size}] per second{for}`,
		Means:    "all connections together carry so many bytes a second in each direction, or in one",
		Examples: []string{`all traffic from "orders" to "payments" together is limited to 64 KB per second for 30s`},
		Fault:    func(a Args) Fault { return SharedBandwidth{Rate: a.Size(3), Way: way(a, 0)} },
	}}}
}

// Inject implements Fault.
func (f SharedBandwidth) Inject(_ context.Context, t Target) (Heal, error) {
	return addToLink(t, (*link.Link).Limit, link.Bandwidth{On: f.on(t), Dir: f.Dir, Rate: f.Rate, Shared: true})
}

// Say implements Fault.
func (f SharedBandwidth) Say(from, to string) string {
	return "all " + f.subject("traffic", from, to) + " together is limited to " + formatSize(f.Rate) + " per second"
}

// Reversed implements OneWay.
func (f SharedBandwidth) Reversed() (reversed Fault, ok bool) {
	f.Way, ok = f.reversed()
	return f, ok
}

// Sliced cuts traffic into pieces of Size bytes, each sent Apart after the previous one.
type Sliced struct {
	Size  int
	Apart time.Duration
	Way
}

// Kind implements Fault.
func (Sliced) Kind() Kind {
	return Kind{Name: "sliced traffic", On: "traffic", Undo: "what waits goes at once, in one piece", Unnoticed: true, Stronger: "smaller pieces", Sentences: []Sentence{{
		Pattern: `{traffic} from {from} to {to} is sliced into pieces of [{size}(, {duration} apart)]{for}`,
		Means:   "bytes arrive in small pieces, one behind the other or so far apart",
		Examples: []string{
			`traffic from "orders" to "payments" is sliced into pieces of 64 B, 10ms apart for 30s`,
			`one-way traffic from "payments" to "orders" is sliced into pieces of 64 B for 30s`,
		},
		Fault: func(a Args) Fault { return Sliced{Size: int(a.Size(3)), Apart: a.Duration(4), Way: way(a, 0)} },
	}}}
}

// Inject implements Fault.
func (f Sliced) Inject(_ context.Context, t Target) (Heal, error) {
	return addToLink(t, (*link.Link).Slice, link.Slices{On: f.on(t), Dir: f.Dir, Size: f.Size, Apart: f.Apart})
}

// Say implements Fault.
func (f Sliced) Say(from, to string) string {
	s := f.subject("traffic", from, to) + " is sliced into pieces of " + formatSize(int64(f.Size))
	if f.Apart > 0 {
		s += ", " + Duration(f.Apart) + " apart"
	}
	return s
}

// Reversed implements OneWay.
func (f Sliced) Reversed() (reversed Fault, ok bool) {
	f.Way, ok = f.reversed()
	return f, ok
}

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

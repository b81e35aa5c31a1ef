package injector

import (
	"context"
	"time"

	"github.com/firedrill-dev/firedrill/injector/link"
)

// Reset resets connections: live ones at once, or after so many bytes, or after a time; new ones too.
type Reset struct {
	AfterBytes int64 // in both directions together, from when the fault comes; not with After
	After      time.Duration
	Conns
}

// Inject implements Fault.
func (f Reset) Inject(_ context.Context, t Target) (Heal, error) {
	return put(t, (*link.Link).Reset, link.Reset{On: f.on(t), AfterBytes: f.AfterBytes, After: f.After})
}

// Say implements Fault.
func (f Reset) Say(from, to string) string {
	s := between(f.some("connections"), from, to) + " are reset"
	switch {
	case f.AfterBytes > 0:
		s += " after " + Size(f.AfterBytes)
	case f.After > 0:
		s += " after " + Duration(f.After)
	}
	return s
}

// CloseEarly ends connections in order, both ways, once so many bytes have passed in either direction.
type CloseEarly struct {
	AfterBytes int64 // from when the fault comes
	Conns
}

// Inject implements Fault.
func (f CloseEarly) Inject(_ context.Context, t Target) (Heal, error) {
	return put(t, (*link.Link).CloseAfter, link.Close{On: f.on(t), AfterBytes: f.AfterBytes})
}

// Say implements Fault.
func (f CloseEarly) Say(from, to string) string {
	return between(f.some("connections"), from, to) + " are closed after " + Size(f.AfterBytes)
}

// CloseLate lets the end of connections arrive By later, in each direction; bytes are on time.
type CloseLate struct {
	By time.Duration
	Conns
}

// Inject implements Fault.
func (f CloseLate) Inject(_ context.Context, t Target) (Heal, error) {
	return put(t, (*link.Link).CloseSlowly, link.SlowClose{On: f.on(t), By: f.By})
}

// Say implements Fault.
func (f CloseLate) Say(from, to string) string {
	return between(f.some("connections"), from, to) + " close " + Duration(f.By) + " late"
}

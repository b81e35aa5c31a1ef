package injector

import (
	"context"
	"time"

	"github.com/firedrill-dev/firedrill/injector/link"
)

// Reset resets live and new connections: at once, after a number of bytes, or after a delay.
type Reset struct {
	AfterBytes int64         // in both directions together, counted from the injection; 0 means not to wait for bytes
	After      time.Duration // cannot be combined with AfterBytes
	Conns
}

// Inject implements Fault.
func (f Reset) Inject(_ context.Context, t Target) (Heal, error) {
	return addToLink(t, (*link.Link).Reset, link.Reset{On: f.on(t), AfterBytes: f.AfterBytes, After: f.After})
}

// Say implements Fault.
func (f Reset) Say(from, to string) string {
	s := between(f.noun("connections"), from, to) + " are reset"
	switch {
	case f.AfterBytes > 0:
		s += " after " + formatSize(f.AfterBytes)
	case f.After > 0:
		s += " after " + Duration(f.After)
	}
	return s
}

// CloseEarly closes connections gracefully once AfterBytes bytes have passed in either direction.
type CloseEarly struct {
	AfterBytes int64 // counted from the injection
	Conns
}

// Inject implements Fault.
func (f CloseEarly) Inject(_ context.Context, t Target) (Heal, error) {
	return addToLink(t, (*link.Link).CloseAfter, link.EarlyClose{On: f.on(t), AfterBytes: f.AfterBytes})
}

// Say implements Fault.
func (f CloseEarly) Say(from, to string) string {
	return between(f.noun("connections"), from, to) + " are closed after " + formatSize(f.AfterBytes)
}

// CloseLate delays the close of connections by By, in each direction. Bytes are not delayed.
type CloseLate struct {
	By time.Duration
	Conns
}

// Inject implements Fault.
func (f CloseLate) Inject(_ context.Context, t Target) (Heal, error) {
	return addToLink(t, (*link.Link).CloseSlowly, link.SlowClose{On: f.on(t), By: f.By})
}

// Say implements Fault.
func (f CloseLate) Say(from, to string) string {
	return between(f.noun("connections"), from, to) + " close " + Duration(f.By) + " late"
}

package injector

import (
	"context"
	"fmt"
	"time"

	"github.com/firedrill-dev/firedrill/injector/link"
)

// SlowTraffic delays bytes in both directions by By, give or take Jitter (uniform), and keeps their order.
type SlowTraffic struct{ By, Jitter time.Duration }

// Inject implements Fault.
func (f SlowTraffic) Inject(_ context.Context, t Target) (Heal, error) {
	if err := t.onLink(); err != nil {
		return nil, err
	}
	heal, err := t.Link.Delay(link.Delay{On: t.on(), By: f.By, Jitter: f.Jitter})
	return Heal(heal), err
}

// Say implements Fault.
func (f SlowTraffic) Say(from, to string) string {
	return fmt.Sprintf("traffic from %q to %q is delayed by %s", from, to, giveOrTake(f.By, f.Jitter))
}

// Bandwidth limits each connection, in each direction, to Rate bytes per second.
type Bandwidth struct{ Rate int64 }

// Inject implements Fault.
func (f Bandwidth) Inject(_ context.Context, t Target) (Heal, error) {
	if err := t.onLink(); err != nil {
		return nil, err
	}
	heal, err := t.Link.Limit(link.Bandwidth{On: t.on(), Rate: f.Rate})
	return Heal(heal), err
}

// Say implements Fault.
func (f Bandwidth) Say(from, to string) string {
	return fmt.Sprintf("traffic from %q to %q is limited to %s per second", from, to, Size(f.Rate))
}

package injector

import (
	"context"
	"time"

	"github.com/firedrill-dev/firedrill/injector/link"
)

// SlowTraffic delays bytes by By with a Jitter distributed as Spread, and keeps their order.
type SlowTraffic struct {
	By, Jitter time.Duration
	Spread     link.Spread
	Way
}

// Inject implements Fault.
func (f SlowTraffic) Inject(_ context.Context, t Target) (Heal, error) {
	return addToLink(t, (*link.Link).Delay, link.Delay{On: f.on(t), Dir: f.Dir, By: f.By, Jitter: f.Jitter, Spread: f.Spread})
}

// Say implements Fault.
func (f SlowTraffic) Say(from, to string) string {
	s := f.subject("traffic", from, to) + " is delayed by " + giveOrTake(f.By, f.Jitter)
	if f.Jitter > 0 {
		s += map[link.Spread]string{link.Normal: ", normally distributed", link.Pareto: ", with a long tail"}[f.Spread]
	}
	return s
}

// Reversed implements OneWay.
func (f SlowTraffic) Reversed() (reversed Fault, ok bool) {
	f.Way, ok = f.reversed()
	return f, ok
}

// Ramp changes the delay of bytes linearly from Start to End during Over, after which it stays at End.
type Ramp struct {
	Start, End, Over time.Duration
	Way
}

// Inject implements Fault.
func (f Ramp) Inject(_ context.Context, t Target) (Heal, error) {
	return addToLink(t, (*link.Link).Delay, link.Delay{On: f.on(t), Dir: f.Dir, By: f.End, Ramp: link.Ramp{From: f.Start, Over: f.Over}})
}

// Say implements Fault.
func (f Ramp) Say(from, to string) string {
	return f.subject("latency", from, to) + " ramps from " + delay(f.Start) + " to " + delay(f.End) + " over " + Duration(f.Over)
}

// delay formats a delay as Duration does, and no delay as "0ms".
func delay(d time.Duration) string {
	if d == 0 {
		return "0ms"
	}
	return Duration(d)
}

// Reversed implements OneWay.
func (f Ramp) Reversed() (reversed Fault, ok bool) {
	f.Way, ok = f.reversed()
	return f, ok
}

// Wave alternates between Up, during which bytes are delayed by By, and Down, during which they are not delayed.
type Wave struct {
	By, Up, Down time.Duration
	Way
}

// Inject implements Fault.
func (f Wave) Inject(_ context.Context, t Target) (Heal, error) {
	return addToLink(t, (*link.Link).Delay, link.Delay{On: f.on(t), Dir: f.Dir, By: f.By, Wave: link.Wave{Up: f.Up, Down: f.Down}})
}

// Say implements Fault.
func (f Wave) Say(from, to string) string {
	return f.subject("latency", from, to) + " follows a square wave of " + Duration(f.By) + ", " + Duration(f.Up) + " on and " + Duration(f.Down) + " off"
}

// Reversed implements OneWay.
func (f Wave) Reversed() (reversed Fault, ok bool) {
	f.Way, ok = f.reversed()
	return f, ok
}

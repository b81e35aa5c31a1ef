package injector

import (
	"context"
	"time"

	"github.com/firedrill-dev/firedrill/injector/link"
)

// SlowTraffic delays bytes by By, give or take Jitter as Spread says, and keeps their order.
type SlowTraffic struct {
	By, Jitter time.Duration
	Spread     link.Spread
	Way
}

// Inject implements Fault.
func (f SlowTraffic) Inject(_ context.Context, t Target) (Heal, error) {
	return put(t, (*link.Link).Delay, link.Delay{On: f.on(t), Dir: f.Dir, By: f.By, Jitter: f.Jitter, Spread: f.Spread})
}

// Say implements Fault.
func (f SlowTraffic) Say(from, to string) string {
	s := f.from("traffic", from, to) + " is delayed by " + giveOrTake(f.By, f.Jitter)
	if f.Jitter > 0 {
		s += map[link.Spread]string{link.Normal: ", normally distributed", link.Pareto: ", with a long tail"}[f.Spread]
	}
	return s
}

// Turn implements OneWay.
func (f SlowTraffic) Turn() (turned Fault, ok bool) {
	f.Way, ok = f.turn()
	return f, ok
}

// Ramp lets the delay of bytes go evenly from Start to End over Over, and stay there.
type Ramp struct {
	Start, End, Over time.Duration
	Way
}

// Inject implements Fault.
func (f Ramp) Inject(_ context.Context, t Target) (Heal, error) {
	return put(t, (*link.Link).Delay, link.Delay{On: f.on(t), Dir: f.Dir, By: f.End, Ramp: link.Ramp{From: f.Start, Over: f.Over}})
}

// Say implements Fault.
func (f Ramp) Say(from, to string) string {
	return f.from("latency", from, to) + " ramps from " + delay(f.Start) + " to " + delay(f.End) + " over " + Duration(f.Over)
}

// delay is Duration, with "0ms" for none.
func delay(d time.Duration) string {
	if d == 0 {
		return "0ms"
	}
	return Duration(d)
}

// Turn implements OneWay.
func (f Ramp) Turn() (turned Fault, ok bool) {
	f.Way, ok = f.turn()
	return f, ok
}

// Wave delays bytes by By for Up and not at all for Down, in turn.
type Wave struct {
	By, Up, Down time.Duration
	Way
}

// Inject implements Fault.
func (f Wave) Inject(_ context.Context, t Target) (Heal, error) {
	return put(t, (*link.Link).Delay, link.Delay{On: f.on(t), Dir: f.Dir, By: f.By, Wave: link.Wave{Up: f.Up, Down: f.Down}})
}

// Say implements Fault.
func (f Wave) Say(from, to string) string {
	return f.from("latency", from, to) + " follows a square wave of " + Duration(f.By) + ", " + Duration(f.Up) + " on and " + Duration(f.Down) + " off"
}

// Turn implements OneWay.
func (f Wave) Turn() (turned Fault, ok bool) {
	f.Way, ok = f.turn()
	return f, ok
}

package injector

import (
	"context"
	"fmt"
	"time"

	"github.com/firedrill-dev/firedrill/injector/link"
)

// SlowTraffic delays bytes by By with a Jitter distributed as Spread, and keeps their order.
type SlowTraffic struct {
	By, Jitter time.Duration
	Spread     link.Spread
	Way
}

// Kind implements Fault.
func (f SlowTraffic) Kind() Kind {
	k := Kind{Name: "slow traffic", On: "traffic", Waits: true, Undo: "waiting bytes go at once", Sentences: []Sentence{{
		Pattern: `{traffic} from {from} to {to} is delayed by [{duration}(, give or take {duration})]{for}`,
		Means:   "bytes arrive later, in order, in each direction (a call and its answer: twice) or in one; delays are spread evenly",
		Examples: []string{
			`traffic from "orders" to "payments" is delayed by 50ms, give or take 20ms for 30s`,
			`one-way traffic from "payments" to "orders" is delayed by 50ms for 30s`,
			`traffic on 20% of connections from "orders" to "payments" is delayed by 50ms for 30s`,
		},
		Fault: func(a Args) Fault { return SlowTraffic{By: a.Duration(3), Jitter: jitter(a, 3, 4), Way: way(a, 0)} },
	}, {
		Name:    "slow traffic, spread",
		Pattern: `{traffic} from {from} to {to} is delayed by {duration}, give or take {duration}, {spread}{for}`,
		Means:   "as before, with delays that stray from the mean by so much as a standard deviation",
		Examples: []string{
			`traffic from "orders" to "payments" is delayed by 50ms, give or take 20ms, normally distributed for 30s`,
			`traffic from "orders" to "payments" is delayed by 50ms, give or take 20ms, with a long tail for 30s`,
		},
		Fault: func(a Args) Fault {
			spreads := map[string]link.Spread{"normally distributed": link.Normal, "with a long tail": link.Pareto}
			return SlowTraffic{By: a.Duration(3), Jitter: deviation(a, 3, 4), Spread: spreads[a.Value(5)], Way: way(a, 0)}
		},
	}}}
	if f.Spread == 0 {
		k.Delay = 2 * (f.By + f.Jitter) // there and back
	}
	return k
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

// Kind implements Fault.
func (f Ramp) Kind() Kind {
	return Kind{Name: "ramp", On: "traffic", Waits: true, Undo: "waiting bytes go at once",
		Takes: f.Over, Done: "the ramp comes to its end", Remedy: "let it rise or fall sooner, or say `for " + Duration(f.Over) + "` or longer", Sentences: []Sentence{{
			Pattern: `{latency} from {from} to {to} ramps from [{duration} to {duration} over {duration}]{for}`,
			Means:   "the delay of bytes, in each direction (a call and its answer: twice) or in one, grows or shrinks evenly and then stays",
			Examples: []string{
				`latency from "orders" to "payments" ramps from 0ms to 800ms over 20s for 30s`,
				`one-way latency from "orders" to "payments" ramps from 800ms to 0ms over 20s for 20s`,
			},
			Fault: ramp,
		}}}
}

// Inject implements Fault.
func (f Ramp) Inject(_ context.Context, t Target) (Heal, error) {
	return addToLink(t, (*link.Link).Delay, link.Delay{On: f.on(t), Dir: f.Dir, By: f.End, Ramp: link.Ramp{From: f.Start, Over: f.Over}})
}

// Say implements Fault.
func (f Ramp) Say(from, to string) string {
	return f.subject("latency", from, to) + " ramps from " + delay(f.Start) + " to " + delay(f.End) + " over " + Duration(f.Over)
}

// ramp builds a Ramp, whose start and end must differ.
func ramp(a Args) Fault {
	start, ok := a.Delay(3)
	end, too := a.Delay(4)
	if ok && too && start == end {
		a.Problem(3, fmt.Sprintf("from %s to %s nothing rises or falls", a.Value(3), a.Value(4)), "write two different delays, or say: traffic ... is delayed by 50ms")
	}
	return Ramp{Start: start, End: end, Over: a.Duration(5), Way: way(a, 0)}
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

// Kind implements Fault.
func (f Wave) Kind() Kind {
	return Kind{Name: "wave", On: "traffic", Waits: true, Undo: "waiting bytes go at once",
		Takes: f.Up + f.Down, Done: "one wave has passed", Remedy: "write shorter waves, or say `for " + Duration(f.Up+f.Down) + "` or longer", Sentences: []Sentence{{
			Pattern:  `{latency} from {from} to {to} follows a square wave of [{duration}, {duration} on and {duration} off]{for}`,
			Means:    "bytes are late, in each direction (a call and its answer: twice) or in one, for a while and on time for a while, in turn",
			Examples: []string{`latency from "orders" to "payments" follows a square wave of 500ms, 2s on and 3s off for 30s`},
			Fault: func(a Args) Fault {
				return Wave{By: a.Duration(3), Up: a.Duration(4), Down: a.Duration(5), Way: way(a, 0)}
			},
		}}}
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

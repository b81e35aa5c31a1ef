package scenarios

import (
	"fmt"
	"io/fs"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/scenarios/check"
)

// Builder makes an Experiment in Go. Its methods are the sentences' building blocks, and Build judges them as Parse judges a feature; a problem's
// place is the line of Go that called the method. A Builder serves once.
type Builder struct {
	d   *draft
	out complaints
}

// New begins an experiment.
func New(name string) *Builder {
	b := &Builder{}
	at := caller()
	b.d = newDraft(&Experiment{Name: name, ID: slug(name), Line: at.line}, at, &b.out)
	return b
}

// caller is the line of Go outside of this file that is asking.
func caller() place {
	var own string
	for skip := 0; ; skip++ {
		_, file, line, ok := runtime.Caller(skip)
		if !ok {
			return place{}
		}
		if own == "" {
			own = file
		}
		if file != own {
			return place{file: file, line: line}
		}
	}
}

// say begins a step.
func (b *Builder) say(keyword, format string, args ...any) place {
	at := caller()
	b.d.begins(keyword, fmt.Sprintf(format, args...), at)
	return at
}

// System describes what is drilled. See ReadSystem for one from a file.
func (b *Builder) System(s System) *Builder {
	at := b.say("Given", "the system described in %q", s.File)
	b.d.describe(at)
	b.d.once(&b.d.systemAt, at, "the system")
	b.d.described(at, s.File, s)
	b.d.spoken = true
	return b
}

// ReadSystem reads the system from a file; what is wrong with it is told by Build.
func (b *Builder) ReadSystem(fsys fs.FS, name string, handlers ...string) *Builder {
	at := b.say("Given", "the system described in %q", name)
	b.d.open = func(name string) (System, error) { return readSystem(fsys, name, handlers) }
	b.d.handlers = handlers
	b.d.readSystem(args{d: b.d, at: at, values: []string{name}, from: []int{0}})
	return b
}

// BlastRadius limits the services that faults may touch.
func (b *Builder) BlastRadius(services ...string) *Builder {
	b.d.radius(b.say("Given", "the blast radius is limited to %q", strings.Join(services, ", ")), services)
	return b
}

// StopBelow ends the run at once when success stays below ratio for that long.
func (b *Builder) StopBelow(ratio float64, d time.Duration) *Builder {
	b.d.stopBelow(b.say("Given", "the run stops at once if fewer than %s of requests succeed for %s", percent(ratio), injector.Duration(d)), StopRule{Ratio: ratio, For: d})
	return b
}

// Steady declares the steady state.
func (b *Builder) Steady(conditions ...check.Steady) *Builder {
	b.d.describe(b.say("Given", "the steady state is:"))
	b.d.Steady = append(b.d.Steady, conditions...)
	return b
}

// Load is what clients do. Shares that are all 0 become equal; Service, Marker and FallbackIsSuccess are filled in by Build where they are zero.
func (b *Builder) Load(l Load) *Builder {
	var routes []string
	for i := range l.Mix {
		routes = append(routes, strconv.Quote(l.Mix[i].Name()))
	}
	at := b.say("Given", "a steady load of %g requests per second on %s", l.Rate, strings.Join(routes, ", "))
	l.Mix = evenly(l.Mix)
	b.d.rate = &l
	b.d.load(at, l.Rate, l.Mix...)
	b.d.soundLoad(at)
	return b
}

// evenly shares equally what has no shares.
func evenly(mix []Route) []Route {
	mix = append([]Route(nil), mix...)
	for _, r := range mix {
		if r.Share != 0 {
			return mix
		}
	}
	for i := range mix {
		mix[i].Share = 1 / float64(len(mix))
	}
	return mix
}

// Baseline says how long the steady state is measured; 5 s when it is not called.
func (b *Builder) Baseline(d time.Duration) *Builder {
	b.d.baseline(b.say("Given", "a baseline is measured for %s", injector.Duration(d)), d)
	return b
}

// EffectsFrom says where applied effects are read: "GET /ledger".
func (b *Builder) EffectsFrom(route string) *Builder {
	at := b.say("Given", "applied effects are read from %q", route)
	if _, _, err := parseRoute(route); err != nil {
		what, hint := parts(err)
		b.d.blame(at, what, hint)
	}
	b.d.effects(at, route)
	return b
}

// Inject places a fault on a link, or, with from "", on the service to. It stays until it is healed; For heals it after a while.
func (b *Builder) Inject(from, to string, f injector.Fault) *Builder {
	return b.Together(Placed{From: from, To: to, Fault: f})
}

// Together places several faults at once.
func (b *Builder) Together(placed ...Placed) *Builder {
	text := "these faults run together:"
	if len(placed) == 1 {
		text = placed[0].Fault.Say(placed[0].From, placed[0].To)
	}
	b.d.inject(b.say("When", "%s", text), 0, append([]Placed(nil), placed...)...)
	return b
}

// Partition cuts services, or groups of them, off from each other.
func (b *Builder) Partition(f injector.Partition) *Builder { return b.Together(parted(f)) }

// For lets the last injection hold so long and then heals it.
func (b *Builder) For(d time.Duration) *Builder {
	at := caller()
	if b.d.step == nil {
		b.d.blame(at, "For has no injection before it", "call it right after Inject or Together")
		return b
	}
	in, ok := b.d.step.Do.(Inject)
	if !ok || d <= 0 {
		b.d.blame(at, "For needs an injection before it, and a time above 0", "call it right after Inject or Together")
		return b
	}
	if in.For == 0 {
		b.d.hold(len(in.Faults), d)
	}
	in.For = d
	b.d.step.Do = in
	text, colon := strings.CutSuffix(b.d.step.Text, ":")
	text, though, is := strings.Cut(text, ", even though ")
	b.d.step.Text = text + " for " + injector.Duration(d)
	if is {
		b.d.step.Text += ", even though " + though
	}
	if colon {
		b.d.step.Text += ":"
	}
	return b
}

// Wait lets time pass.
func (b *Builder) Wait(d time.Duration) *Builder {
	at := b.say("When", "%s pass", injector.Duration(d))
	if d <= 0 {
		b.d.blame(at, "a wait has to be above 0", "write 2*time.Second, say")
	}
	b.d.act(at, Wait{For: d})
	return b
}

// Heal ends the last fault that is live.
func (b *Builder) Heal() *Builder {
	b.d.act(b.say("When", "the fault is healed"), Heal{})
	return b
}

// HealAll ends every live fault, the last first.
func (b *Builder) HealAll() *Builder {
	b.d.act(b.say("When", "all faults are healed"), Heal{All: true})
	return b
}

// Restart ends a crash or a stop of a service.
func (b *Builder) Restart(service string) *Builder {
	b.d.revive(b.say("When", "%q starts again", service), service, "crash", "stop")
	return b
}

// Resume ends a hang of a service.
func (b *Builder) Resume(service string) *Builder {
	b.d.revive(b.say("When", "%q resumes", service), service, "hang")
	return b
}

// ChangeLoad moves the rate; over 0 is at once.
func (b *Builder) ChangeLoad(from, to float64, over time.Duration) *Builder {
	text := fmt.Sprintf("the load changes from %g to %g requests per second", from, to)
	if over > 0 {
		text += " over " + injector.Duration(over)
	}
	at := b.say("When", "%s", text)
	b.d.changeLoad(at, at, ChangeLoad{From: from, To: to, Over: over})
	return b
}

// StopLoad ends the load.
func (b *Builder) StopLoad() *Builder {
	b.d.stopLoad(b.say("When", "the load stops"))
	return b
}

// Confirm asks the facilitator.
func (b *Builder) Confirm(what string) *Builder {
	b.d.act(b.say("When", "the facilitator confirms %q", what), Confirm{What: what})
	return b
}

// Check asks. Everything is healed before the first check.
func (b *Builder) Check(checks ...check.Check) *Builder {
	for _, c := range checks {
		b.d.check(b.say("Then", "%s", c.String()), c)
	}
	return b
}

// Build judges the experiment as a whole. The error is of type Problems.
func (b *Builder) Build() (*Experiment, error) {
	b.d.finish()
	if err := b.out.err(); err != nil {
		return nil, err
	}
	return b.d.Experiment, nil
}

// soundLoad judges a load that was not said in a sentence.
func (d *draft) soundLoad(at place) {
	sum := 0.0
	for _, r := range d.Load.Mix {
		sum += r.Share
		if _, _, err := parseRoute(r.Name()); err != nil {
			what, hint := parts(err)
			d.blame(at, what, hint)
		}
	}
	switch {
	case len(d.Load.Mix) == 0:
		d.blame(at, "the load has no routes", "say what it asks for: Mix")
	case sum < 0.999 || sum > 1.001:
		d.blame(at, fmt.Sprintf("the shares sum to %s", percent(sum)), "they have to make 1")
	}
	if d.Load.Rate <= 0 {
		d.blame(at, "the load's rate has to be above 0", "set Rate, in requests per second")
	}
	if d.Load.KeyHeader != "" && !headerName(d.Load.KeyHeader) {
		d.blame(at, fmt.Sprintf("%q cannot be the name of a header", d.Load.KeyHeader), `write "Idempotency-Key"`)
	}
}

// percent is how sentences write a ratio.
func percent(ratio float64) string { return strconv.FormatFloat(ratio*100, 'g', 6, 64) + "%" }

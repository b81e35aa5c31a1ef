package scenarios

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// draft is an Experiment under construction. Sentences and the Go builder call the same methods, which say what is wrong where it was said;
// what can only be judged with the whole before one's eyes waits in later.
type draft struct {
	*Experiment
	out   *complaints
	begin place // the scenario
	step  *Step // the one being read; nil between steps
	stage stage
	later []func()

	systemAt, radiusAt, loadAt, baselineAt, keyAt, retryAt, giveUpAt, effectsAt place
	rate                                                                        *Load // collects what is said of the load before its sentence
	checkPlaces                                                                 []place
	live                                                                        []liveFault
	told                                                                        map[string]place // service or link -> where it was described
	spoken                                                                      bool             // some of them in sentences
	endings                                                                     []ending         // of TLS
	broken                                                                      bool             // the system file is wrong, so names cannot be judged
	wrong, before                                                               int              // complaints, and those before the step that is being read
	misread                                                                     bool             // there were some when all was read
	handlers                                                                    []string
	open                                                                        func(name string) (System, error)
}

// stage is how far a scenario has come: steps describe, then act, then check.
type stage int

const (
	describing stage = iota
	acting
	checking
)

// liveFault is an injection that no step has healed yet.
type liveFault struct {
	placed Placed
	at     place
	held   bool // something passes while it is live
	lasts  time.Duration
}

func newDraft(e *Experiment, begin place, out *complaints) *draft {
	return &draft{Experiment: e, out: out, begin: begin, rate: &Load{}, told: map[string]place{}}
}

func (d *draft) blame(at place, what, hint string) {
	d.wrong++
	d.out.add(at, what, hint)
}

// lacks complains of something that nobody said. It is silent when a sentence was not understood, since that may have said it.
func (d *draft) lacks(at place, what, hint string) {
	if !d.misread {
		d.out.add(at, what, hint)
	}
}

func (d *draft) after(f func()) { d.later = append(d.later, f) }

// describe notes a step that describes; it is too late for it once something acts.
func (d *draft) describe(at place) {
	if d.stage != describing {
		d.blame(at, "this comes too late: the load runs already", "say what is described before the first fault, wait or check")
	}
}

// once complains when something was said before, and notes where.
func (d *draft) once(where *place, at place, what string) bool {
	if *where != (place{}) {
		d.blame(at, what+" was said before, at "+where.String(), "say it once")
		return false
	}
	*where = at
	return true
}

// act notes a step that acts.
func (d *draft) act(at place, a Action) {
	if d.stage == checking {
		d.blame(at, "nothing can happen after the first check: everything is healed there and the load has ended", "move this step before the checks")
	}
	d.stage = max(d.stage, acting)
	d.step.Do = a
	d.track(at, a)
}

// check notes a step that asks.
func (d *draft) check(at place, c check.Check) {
	d.stage = checking
	d.step.IsCheck = true
	d.Checks = append(d.Checks, Check{Check: c, Step: d.step.Step})
	d.checkPlaces = append(d.checkPlaces, at)
}

// inject places faults. Crashes that repeat take their time, so they hold for it when nothing else is said.
func (d *draft) inject(at place, hold time.Duration, placed ...Placed) {
	for i := range placed {
		p := &placed[i]
		p.ID = fmt.Sprintf("fault-%d", len(d.injections())+i+1)
		if kind, ok := injector.KindOf(p.Fault); ok {
			p.Kind = kind.Name
		}
		if c, ok := p.Fault.(injector.Crash); ok && c.Times > 1 && hold == 0 {
			hold = time.Duration(c.Times) * c.Every
		}
	}
	d.act(at, Inject{Faults: placed, For: hold})
	n := len(d.Steps) - 1
	misread := d.wrong > d.before
	d.after(func() { d.settle(at, n, misread) })
}

// settle places a step's faults, now that the whole scenario is known. What was misread is not judged: it is not what was meant.
func (d *draft) settle(at place, step int, misread bool) {
	in := d.Steps[step].Do.(Inject)
	var placed []Placed
	for _, p := range in.Faults {
		placed = append(placed, d.spread(at, p)...)
	}
	for i := range placed {
		d.placedWell(at, &placed[i], misread)
	}
	in.Faults = placed
	d.Steps[step].Do = in
}

// track follows what is live, step by step.
func (d *draft) track(at place, a Action) {
	switch a := a.(type) {
	case Inject:
		for _, p := range a.Faults {
			d.double(at, p)
			d.live = append(d.live, liveFault{placed: p, at: at})
		}
		if a.For > 0 {
			d.hold(len(a.Faults), a.For)
		}
	case Wait:
		d.pass(a.For)
	case ChangeLoad:
		d.pass(a.Over)
	case Confirm:
		d.pass(longest) // as long as it takes
	case Heal:
		d.heal(at, a)
	}
}

// double complains of a second fault that cannot come on top of the first.
func (d *draft) double(at place, p Placed) {
	for _, l := range d.live {
		if p.From == "" && l.placed.From == "" && p.To == l.placed.To {
			d.blame(at, fmt.Sprintf("%q is down or hangs already, since %s", p.To, l.at), fmt.Sprintf("say first `%q starts again` or `%q resumes`", p.To, p.To))
		}
	}
}

// pass notes that time passes, or may.
func (d *draft) pass(t time.Duration) {
	for i := range d.live {
		d.live[i].held = true
		d.live[i].lasts += t
	}
}

// hold lets time pass and then heals the last n faults.
func (d *draft) hold(n int, t time.Duration) {
	d.pass(t)
	d.healed(len(d.live)-n, n)
}

// healed takes n faults from those that are live.
func (d *draft) healed(i, n int) {
	for _, l := range d.live[i : i+n] {
		d.longEnough(l)
	}
	d.live = slices.Delete(d.live, i, i+n)
}

func (d *draft) heal(at place, h Heal) {
	switch {
	case len(d.live) == 0:
		d.blame(at, "no fault is live here, so there is nothing to heal", "a fault that is said with `for 30s` heals by itself; without it, it stays live")
	case h.All:
		d.healed(0, len(d.live))
	case h.Service != "":
		i := slices.IndexFunc(d.live, func(l liveFault) bool { return l.placed.To == h.Service && l.placed.Kind == h.Kind })
		if i >= 0 {
			d.healed(i, 1)
		}
	default:
		d.healed(len(d.live)-1, 1)
	}
}

// revive is a heal of one service: "starts again" after a crash or a stop, "resumes" after a hang.
func (d *draft) revive(at place, service string, kinds ...string) {
	for _, l := range slices.Backward(d.live) {
		if l.placed.To == service && slices.Contains(kinds, l.placed.Kind) {
			d.act(at, Heal{Kind: l.placed.Kind, Service: service})
			return
		}
	}
	d.blame(at, fmt.Sprintf("%q runs here: no %s of it is live", service, strings.Join(kinds, " or ")), "a fault that is said with `for 30s` heals by itself; without it, it stays live")
	d.step.Do = Heal{Kind: kinds[0], Service: service}
}

// foreign notes a step of the user's own, which may take its time.
func (d *draft) foreign() {
	d.step.Foreign = true
	d.pass(longest)
}

// begins is the step that the next sentences are about.
func (d *draft) begins(keyword, text string, at place) {
	d.Steps = append(d.Steps, Step{Step: journal.Step{Keyword: keyword, Text: text, At: at.String()}})
	d.step, d.before = &d.Steps[len(d.Steps)-1], d.wrong
}

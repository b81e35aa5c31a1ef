package scenarios

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// resolver builds an Experiment. The sentences of feature files and the methods of Builder call the same methods
// of it, which report problems at the position of the sentence or call. Validation that needs the whole scenario
// is deferred.
type resolver struct {
	*Experiment
	vocabulary *Vocabulary
	out        *problemList
	begin      pos   // position of the scenario
	step       *Step // the current step; nil between steps
	stage      stage
	deferred   []func()

	systemAt, radiusAt, loadAt, baselineAt, keyAt, retryAt, giveUpAt, effectsAt pos
	settleAt, meansAt                                                           pos
	settleWithin                                                                time.Duration
	expects                                                                     map[string]pos // route -> position of its expected statuses
	rate                                                                        *Load          // collects settings of the load that precede its sentence
	checkPositions                                                              []pos
	live                                                                        []liveFault
	describedAt                                                                 map[string]pos // service or link -> position of its description
	fromSentences                                                               bool           // some services or links were described by sentences
	tlsSentences                                                                []tlsSentence  // sentences about TLS, applied at the end
	broken                                                                      bool           // the system file has problems, so names cannot be validated
	problems, problemsBefore                                                    int            // number of problems, in all and before the current step
	misread                                                                     bool           // there were problems before the final validation
	handlers                                                                    []string
	open                                                                        func(name string) (System, error)
}

// stage is the progress of a scenario: first steps describe, then they act, then they check.
type stage int

const (
	describing stage = iota
	acting
	checking
)

// liveFault is an injection that no step has healed yet.
type liveFault struct {
	placed Placed
	at     pos
	held   bool // time passes while it is live
	lasts  time.Duration
}

func newResolver(e *Experiment, begin pos, out *problemList, v *Vocabulary) *resolver {
	return &resolver{Experiment: e, vocabulary: v, out: out, begin: begin, rate: &Load{}, describedAt: map[string]pos{}}
}

func (r *resolver) addProblem(at pos, what, hint string) {
	r.problems++
	r.out.add(at, what, hint)
}

// addMissing reports something that is missing. It does nothing if a sentence was not understood, since that may
// have contained it.
func (r *resolver) addMissing(at pos, what, hint string) {
	if !r.misread {
		r.out.add(at, what, hint)
	}
}

func (r *resolver) atEnd(f func()) { r.deferred = append(r.deferred, f) }

// describe handles a step that describes, and reports a problem if the scenario already acts.
func (r *resolver) describe(at pos) {
	if r.stage != describing {
		r.addProblem(at, "this comes too late: the load runs already", "say what is described before the first fault, wait or check")
	}
}

// setOnce stores the position of a setting in where. If the setting was made before, it reports a problem and
// returns false.
func (r *resolver) setOnce(where *pos, at pos, what string) bool {
	if *where != (pos{}) {
		r.addProblem(at, what+" was said before, at "+where.String(), "say it once")
		return false
	}
	*where = at
	return true
}

// act adds the action of a step.
func (r *resolver) act(at pos, a Action) {
	if r.stage == checking {
		r.addProblem(at, "nothing can happen after the first check: everything is healed there and the load has ended", "move this step before the checks")
	}
	r.stage = max(r.stage, acting)
	r.step.Do = a
	r.track(at, a)
}

// check adds the check of a step.
func (r *resolver) check(at pos, c check.Check) {
	r.stage = checking
	r.step.IsCheck = true
	r.Checks = append(r.Checks, Check{Check: c, Step: r.step.Step})
	r.checkPositions = append(r.checkPositions, at)
}

// inject adds an injection of faults. If hold is 0, they last as long as their kind says.
func (r *resolver) inject(at pos, hold time.Duration, placed ...Placed) {
	for i := range placed {
		p := &placed[i]
		p.ID = fmt.Sprintf("fault-%d", len(r.injections())+i+1)
		kind := p.Fault.Kind()
		p.Kind = kind.Name
		if hold == 0 {
			hold = kind.Hold
		}
	}
	r.act(at, Inject{Faults: placed, For: hold})
	n := len(r.Steps) - 1
	misread := r.problems > r.problemsBefore
	r.atEnd(func() { r.placeFaults(at, n, misread) })
}

// placeFaults determines the targets of the faults of a step, after the whole scenario is known. If the step was
// misread, its faults are not validated: they are not what was intended.
func (r *resolver) placeFaults(at pos, step int, misread bool) {
	in := r.Steps[step].Do.(Inject)
	var placed []Placed
	for _, p := range in.Faults {
		placed = append(placed, r.expandFault(at, p)...)
	}
	for i := range placed {
		r.validateFault(at, &placed[i], misread)
	}
	in.Faults = placed
	r.Steps[step].Do = in
}

// track keeps the list of live faults up to date.
func (r *resolver) track(at pos, a Action) {
	switch a := a.(type) {
	case Inject:
		for _, p := range a.Faults {
			r.checkOverlap(at, p)
			r.live = append(r.live, liveFault{placed: p, at: at})
		}
		if a.For > 0 {
			r.holdThenHeal(len(a.Faults), a.For)
		}
	case Wait:
		r.elapse(a.For)
	case ChangeLoad:
		r.elapse(a.Over)
	case Confirm:
		r.elapse(longest) // of unknown duration
	case Heal:
		r.heal(at, a)
	}
}

// checkOverlap reports a fault on a service that already has one.
func (r *resolver) checkOverlap(at pos, p Placed) {
	for _, l := range r.live {
		if p.From == "" && l.placed.From == "" && p.To == l.placed.To {
			r.addProblem(at, fmt.Sprintf("%q is down or hangs already, since %s", p.To, l.at), fmt.Sprintf("say first `%q starts again` or `%q resumes`", p.To, p.To))
		}
	}
}

// elapse records that time passes, or may pass.
func (r *resolver) elapse(t time.Duration) {
	for i := range r.live {
		r.live[i].held = true
		r.live[i].lasts += t
	}
}

// holdThenHeal lets time pass and then heals the last n faults.
func (r *resolver) holdThenHeal(n int, t time.Duration) {
	r.elapse(t)
	r.healed(len(r.live)-n, n)
}

// healed removes n live faults, beginning with the i-th.
func (r *resolver) healed(i, n int) {
	for _, l := range r.live[i : i+n] {
		r.longEnough(l)
	}
	r.live = slices.Delete(r.live, i, i+n)
}

func (r *resolver) heal(at pos, h Heal) {
	switch {
	case len(r.live) == 0 && r.problems > 0: // an unknown sentence may have injected the fault
	case len(r.live) == 0:
		r.addProblem(at, "no fault is live here, so there is nothing to heal", "a fault that is said with `for 30s` heals by itself; without it, it stays live")
	case h.All:
		r.healed(0, len(r.live))
	case h.Service != "":
		i := slices.IndexFunc(r.live, func(l liveFault) bool { return l.placed.To == h.Service && l.placed.Kind == h.Kind })
		if i >= 0 {
			r.healed(i, 1)
		}
	default:
		r.healed(len(r.live)-1, 1)
	}
}

// healService heals the fault of one service that a sentence ends: "starts again" or "resumes".
func (r *resolver) healService(at pos, service, by string) {
	for _, l := range slices.Backward(r.live) {
		if l.placed.To == service && l.placed.Fault.Kind().EndedBy == by {
			r.act(at, Heal{Kind: l.placed.Kind, Service: service})
			return
		}
	}
	var kinds []string
	for _, k := range r.vocabulary.faults {
		if k.EndedBy == by {
			kinds = append(kinds, k.Name)
		}
	}
	if r.problems == 0 { // otherwise an unknown sentence may have injected the fault
		r.atEnd(func() {
			if r.serviceNamed(at, service) >= 0 {
				r.addProblem(at, fmt.Sprintf("%q runs here: no %s of it is live", service, strings.Join(kinds, " or ")), "a fault that is said with `for 30s` heals by itself; without it, it stays live")
			}
		})
	}
	r.step.Do = Heal{Service: service}
}

// addOwnStep adds a user-defined step, which may take any time.
func (r *resolver) addOwnStep(s step) {
	r.step.Foreign = true
	r.step.Own = &Own{Type: s.kind, Doc: s.doc}
	for _, row := range s.table {
		r.step.Own.Table = append(r.step.Own.Table, row.cells)
	}
	r.elapse(longest)
}

// addStep adds a step and makes it the current one.
func (r *resolver) addStep(keyword, text string, at pos) {
	r.Steps = append(r.Steps, Step{Step: journal.Step{Keyword: keyword, Text: text, At: at.String()}})
	r.step, r.problemsBefore = &r.Steps[len(r.Steps)-1], r.problems
}

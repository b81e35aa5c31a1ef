package scenarios

import (
	"fmt"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/feature"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
	"github.com/firedrill-dev/firedrill/scenarios/source"
	"github.com/firedrill-dev/firedrill/scenarios/system"
)

// resolver builds an Experiment in three passes:
//
//  1. The sentences of a feature file, or the methods of Builder, add steps and settings. Each is validated by itself.
//  2. resolve determines the services and links that sentences name. They may be described later than they are named.
//  3. validate examines the scenario as a whole, and completes settings that depend on several sentences.
type resolver struct {
	*Experiment
	vocabulary *Vocabulary
	reporter
	description
	settings
	timeline
	unresolved
}

// reporter collects the problems of a scenario.
type reporter struct {
	out                      *source.List
	problems, problemsBefore int  // number of problems, in all and before the current step
	misread                  bool // there were problems in the first pass
}

// description is how the system is described.
type description struct {
	begin         source.Pos            // position of the scenario
	systemAt      source.Pos            // of the system file
	describedAt   map[string]source.Pos // position of each service and link
	fromSentences bool                  // some services or links were described by sentences
	broken        bool                  // the system file has problems, so names cannot be resolved
	handlers      []string              // services that run in this process
	open          func(name string) (system.System, error)
}

// settings are the positions of sentences that may occur once, and what they set.
type settings struct {
	radiusAt, loadAt, baselineAt, keyAt, retryAt, giveUpAt, meansAt, effectsAt, settleAt source.Pos

	rate           *Load // collects settings of the load that precede its sentence
	settleWithin   time.Duration
	stopAt         []source.Pos // of the stop rules
	checkPositions []source.Pos
}

// unresolved is what the first pass leaves to the second one.
type unresolved struct {
	ready   []readySentence
	tls     []tlsSentence
	expects []expectation
	faults  []placement
	ended   []endedFault
}

// placement is a step that injects faults. If it was misread, its faults are not validated: they are not what was
// intended.
type placement struct {
	at      source.Pos
	step    int
	misread bool
}

// readySentence states how long a service may take until it is ready.
type readySentence struct {
	at      source.Pos
	service string
	within  time.Duration
}

func newResolver(e *Experiment, begin source.Pos, out *source.List, v *Vocabulary) *resolver {
	return &resolver{Experiment: e, vocabulary: v, reporter: reporter{out: out}, description: description{begin: begin, describedAt: map[string]source.Pos{}}, settings: settings{rate: &Load{}}}
}

func (r *reporter) addProblem(at source.Pos, what, hint string) {
	r.problems++
	r.out.Add(at, what, hint)
}

// addMissing reports something that is missing. It does nothing if a sentence was not understood, since that may
// have contained it.
func (r *reporter) addMissing(at source.Pos, what, hint string) {
	if !r.misread {
		r.out.Add(at, what, hint)
	}
}

// describe handles a step that describes, and reports a problem if the scenario already acts.
func (r *resolver) describe(at source.Pos) {
	if r.stage != describing {
		r.addProblem(at, "this comes too late: the load runs already", "say what is described before the first fault, wait or check")
	}
}

// setOnce stores the position of a setting in where. If the setting was made before, it reports a problem and
// returns false.
func (r *reporter) setOnce(where *source.Pos, at source.Pos, what string) bool {
	if *where != (source.Pos{}) {
		r.addProblem(at, what+" was said before, at "+where.String(), "say it once")
		return false
	}
	*where = at
	return true
}

// act adds the action of a step.
func (r *resolver) act(at source.Pos, a Action) {
	if r.stage == checking {
		r.addProblem(at, "nothing can happen after the first check: everything is healed there and the load has ended", "move this step before the checks")
	}
	r.stage = max(r.stage, acting)
	r.step.Do = a
	r.track(at, a)
}

// check adds the check of a step.
func (r *resolver) check(at source.Pos, c check.Check) {
	r.stage = checking
	r.step.IsCheck = true
	r.Checks = append(r.Checks, Check{Check: c, Step: r.step.Step})
	r.checkPositions = append(r.checkPositions, at)
}

// inject adds an injection of faults. If hold is 0, they last as long as their kind says.
func (r *resolver) inject(at source.Pos, hold time.Duration, placed ...Placed) {
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
	r.faults = append(r.faults, placement{at, len(r.Steps) - 1, r.problems > r.problemsBefore})
}

// addOwnStep adds a user-defined step, which may take any time.
func (r *resolver) addOwnStep(s feature.Step) {
	r.step.Foreign = true
	r.step.Own = &Own{Type: s.Kind, Doc: s.Doc}
	for _, row := range s.Table {
		r.step.Own.Table = append(r.step.Own.Table, row.Cells)
	}
	r.elapse(source.Longest)
}

// addStep adds a step and makes it the current one.
func (r *resolver) addStep(keyword, text string, at source.Pos) {
	r.Steps = append(r.Steps, Step{Step: journal.Step{Keyword: keyword, Text: text, At: at.String()}})
	r.step, r.problemsBefore = &r.Steps[len(r.Steps)-1], r.problems
}

package scenarios

import (
	"fmt"
	"time"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/protocols"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// Resolver builds an Experiment from statements, in three passes:
//
//  1. The sentences of a feature file, or the methods of Builder, begin steps and make statements: what the system
//     is, what happens, what is checked. Each is validated by itself.
//  2. Finish determines the services and links that the statements name. They may be described later than they are
//     named.
//  3. Finish then validates the scenario as a whole, and completes settings that depend on several statements.
//
// A statement belongs to the step that was begun last. Its position is where problems of it are reported.
type Resolver struct {
	*Experiment
	scope Scope
	reporter
	description
	settings
	timeline
	unresolved
}

// Scope is what statements can name besides what the scenario describes.
type Scope struct {
	Faults    []injector.Kind
	Protocols protocols.Table
	Handlers  []string // services that run in this process

	AllowTargets []string // further hosts for System.Allow
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
}

// settings are the positions of sentences that may occur once, and what they set.
type settings struct {
	radiusAt, timeoutAt, loadAt, baselineAt, keyAt, retryAt, giveUpAt, meansAt, settleAt source.Pos
	rowsAt, redirectsAt, cookiesAt, connectionsAt                                        source.Pos
	headersAt                                                                            []source.Pos // by index in Load.Headers
	policyAt                                                                             policyAt

	answersAt, unansweredAt source.Pos

	rate           *Load // collects settings of the load that precede its sentence
	naming         string
	own            map[string]*ownSettings // by name of the load
	copiesAt       source.Pos              // of the sentence that splits the load
	furtherAt      []source.Pos            // of the loads after the first
	effectsAt      effectsAt
	settleWithin   time.Duration
	stopAt         []source.Pos // of the stop rules
	checkPositions []source.Pos
	registersAt    []source.Pos // parallel to Experiment.Registers
}

// unresolved is what the first pass leaves to the second one.
type unresolved struct {
	ready   []readySentence
	tls     []tlsSentence
	expects []expectation
	faults  []placement
	ended   []endedFault
	asks    []ask

	findings []finding
}

// placement is a step that injects faults. If it was misread, its faults are not validated: they are not what was
// intended.
type placement struct {
	at      source.Pos
	step    int
	misread bool
	byLink  bool // From is the caller also of a fault on replies, whose sentence names the dependency first
}

// NewResolver returns a resolver for an experiment. begin is the position of the scenario, and problems are added
// to out.
func NewResolver(e *Experiment, begin source.Pos, out *source.List, scope Scope) *Resolver {
	return &Resolver{Experiment: e, scope: scope, reporter: reporter{out: out}, description: description{begin: begin, describedAt: map[string]source.Pos{}}, settings: settings{rate: &Load{}}}
}

// AddProblem reports a problem at a position: what is wrong, and what to do.
func (r *Resolver) AddProblem(at source.Pos, what codes.Message, hint string) {
	r.problems++
	r.out.Add(at, what, hint)
}

// addMissing reports something that is missing. It does nothing if a sentence was not understood, since that may
// have contained it.
func (r *Resolver) addMissing(at source.Pos, what codes.Message, hint string) {
	if !r.misread {
		r.out.Add(at, what, hint)
	}
}

// warn adds a warning.
func (r *Resolver) warn(at source.Pos, what codes.Message) {
	r.Warnings = append(r.Warnings, source.Problem{File: at.File, Line: at.Line, Col: at.Col, Text: at.Text, Code: what.Code().String(), What: what.String()})
}

// Describe handles a step that describes, and reports a problem if the scenario already acts.
func (r *Resolver) Describe(at source.Pos) {
	if r.stage != describing {
		r.AddProblem(at, codes.WrongMoment.Msgf("this comes too late: the load runs already"), "say what is described before the first fault, wait or check")
	}
}

// describeOnce is Describe and setOnce.
func (r *Resolver) describeOnce(where *source.Pos, at source.Pos, what string) bool {
	r.Describe(at)
	return r.setOnce(where, at, what)
}

// setOnce stores the position of a setting in where. If the setting was made before, it reports a problem and
// returns false.
func (r *Resolver) setOnce(where *source.Pos, at source.Pos, what string) bool {
	if *where != (source.Pos{}) {
		r.AddProblem(at, codes.Duplicate.Message(what+" was said before, at "+where.String()), "say it once")
		return false
	}
	*where = at
	return true
}

// Act adds the action of a step.
func (r *Resolver) Act(at source.Pos, a Action) {
	if r.stage == checking {
		r.AddProblem(at, codes.WrongMoment.Msgf("nothing can happen after the first check: everything is healed there and the load has ended"), "move this step before the checks")
	}
	r.stage = max(r.stage, acting)
	r.step.Do = a
	r.track(at, a)
}

// AddCheck adds the check of a step.
func (r *Resolver) AddCheck(at source.Pos, c check.Check) {
	r.stage = checking
	r.step.IsCheck = true
	r.Checks = append(r.Checks, Check{Check: r.ofLoad(c), Step: r.step.Step})
	r.checkPositions = append(r.checkPositions, at)
}

// Inject adds an injection of faults. If hold is 0, they last as long as their kind says.
func (r *Resolver) Inject(at source.Pos, hold time.Duration, placed ...Placed) {
	r.inject(placement{at: at}, hold, placed)
}

// InjectOnLinks is Inject for faults that do not come from sentences, but from the rows of a table or from Go: From is the
// caller, also of a fault on replies.
func (r *Resolver) InjectOnLinks(at source.Pos, hold time.Duration, placed ...Placed) {
	r.inject(placement{at: at, byLink: true}, hold, placed)
}

func (r *Resolver) inject(p placement, hold time.Duration, placed []Placed) {
	for i := range placed {
		one := &placed[i]
		if f, ok := one.Fault.(injector.Partition); ok {
			one.From, one.To = endsOf(f)
		}
		one.ID = fmt.Sprintf("fault-%d", len(r.injections())+i+1)
		kind := one.Fault.Kind()
		one.Kind = kind.Name
		if hold == 0 {
			hold = kind.Hold
		}
	}
	r.Act(p.at, Inject{Faults: placed, For: hold})
	p.step, p.misread = len(r.Steps)-1, r.StepFailed()
	r.faults = append(r.faults, p)
}

// MarkForeign makes the current step a user-defined one, which may take any time.
func (r *Resolver) MarkForeign(own Own) {
	r.step.Foreign, r.step.Own = true, &own
	r.elapse(source.Longest)
}

// SetPhrase sets the row of the current step's sentence.
func (r *Resolver) SetPhrase(name string) { r.step.Phrase = name }

// Misunderstood records that a problem of the scenario was reported elsewhere.
func (r *Resolver) Misunderstood() { r.problems++ }

// StepFailed reports whether the current step has a problem.
func (r *Resolver) StepFailed() bool { return r.problems > r.problemsBefore }

// AddStep adds a step and makes it the current one.
func (r *Resolver) AddStep(keyword, text string, at source.Pos) {
	r.Steps = append(r.Steps, Step{Step: journal.Step{Keyword: keyword, Text: text, At: at.String()}})
	r.step, r.problemsBefore = &r.Steps[len(r.Steps)-1], r.problems
}

package runner

import (
	"context"
	"errors"
	"fmt"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// drive carries out the steps in order, up to the first that fails. After that, finish still judges
// all checks.
func (s *session) drive() {
	returned := false
	defer func() {
		if !returned {
			s.fail(errors.New("a step exited its goroutine, as t.FailNow and t.Skip do, so its result is unknown: return an error instead"))
		}
	}()
	w := &ScenarioRun{s: s, ctx: s.withSystem()}
	if s.o.Drive != nil && s.e.File != "" {
		if err := s.o.Drive(w); err != nil {
			s.fail(err)
		}
	} else {
		w.runAll()
	}
	returned = true
}

// Driver carries out the steps of one scenario from a feature file instead of the runner. Package
// godogsteps provides one. An error means that the driver itself failed; it makes the scenario
// inconclusive.
type Driver func(*ScenarioRun) error

// ScenarioRun is a scenario whose steps are being carried out. Its methods are called from one goroutine.
type ScenarioRun struct {
	s       *session
	ctx     context.Context
	skipped bool // the current user-defined step must not run
}

// Experiment returns the scenario that is being carried out.
func (w *ScenarioRun) Experiment() *scenarios.Experiment { return w.s.e }

// Options returns the options of the run.
func (w *ScenarioRun) Options() *Options { return w.s.o }

// Context returns the context for user-defined steps. FromContext returns the running system from it.
func (w *ScenarioRun) Context() context.Context { return w.ctx }

// RunStep carries out step i, which must not be a user-defined step. If a check did not pass, the error is
// its reason.
func (w *ScenarioRun) RunStep(i int) error { return w.s.step(i) }

// BeginUserStep prepares the scenario for the user-defined step i: from the first When on it is under load,
// and from the first Then on it is healed and judged. BeginUserStep reports whether the step must run. It
// returns false if the scenario is over or its system could not be started.
func (w *ScenarioRun) BeginUserStep(i int) bool {
	switch w.s.reach(i).Own.Type {
	case "Action":
		w.s.startLoad()
	case "Outcome":
		w.s.conclude()
	}
	w.skipped = w.s.stopCause() != nil || w.s.o.DryRun && w.s.e.Steps[i].Own.Type != "Context"
	return !w.skipped
}

// EndUserStep records the result of the user-defined step i. An error is a failed check, except that a
// pending or skipped step, one that ended after the scenario was stopped, and a PanicError prove nothing: what the
// step met may be a consequence of the stop. A Then without an error is a check that passed.
func (w *ScenarioRun) EndUserStep(i int, err error) {
	if w.skipped {
		return
	}
	step := w.s.e.Steps[i].Step
	if err == nil {
		if w.s.e.Steps[i].Asks() {
			w.s.recordStep(journal.Event{Verdict: &journal.Verdict{Check: step.Text, Kind: check.OwnStep, Outcome: "passed"}}, step)
		}
		return
	}
	var panicked *PanicError
	if errors.As(err, &panicked) {
		w.s.fail(fmt.Errorf("%s: the step %q panicked: %w", step.At, step.Text, err))
		return
	}
	outcome, code := "failed", codes.Code(0)
	if unfinished(err) || w.s.ctx.Err() != nil {
		outcome, code = "inconclusive", codes.Unfinished
	}
	w.s.recordStep(journal.Event{Verdict: &journal.Verdict{
		Check: step.Text, Kind: check.OwnStep, Outcome: outcome, Observed: err.Error(), Reason: err.Error(), Code: code.String(),
	}}, step)
}

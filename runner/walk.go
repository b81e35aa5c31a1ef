package runner

import (
	"context"
	"errors"
	"fmt"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
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
	w := &Walk{s: s, ctx: context.WithValue(s.ctx, runningKey{}, &Running{system: s.system})}
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
type Driver func(*Walk) error

// Walk is a scenario whose steps are being carried out. Its methods are called from one goroutine.
type Walk struct {
	s       *session
	ctx     context.Context
	skipped bool // the current user-defined step must not run
}

// Experiment returns the scenario that is being carried out.
func (w *Walk) Experiment() *scenarios.Experiment { return w.s.e }

// Options returns the options of the run.
func (w *Walk) Options() *Options { return w.s.o }

// Context returns the context for user-defined steps. Of returns the running system from it.
func (w *Walk) Context() context.Context { return w.ctx }

// Do carries out step i, which must not be a user-defined step. If a check did not pass, the error is
// its reason.
func (w *Walk) Do(i int) error { return w.s.step(i) }

// Enter prepares the scenario for the user-defined step i: from the first When on it is under load,
// and from the first Then on it is healed and judged. Enter reports whether the step must run. It
// returns false if the scenario is over or its system could not be started.
func (w *Walk) Enter(i int) bool {
	switch w.s.e.Steps[i].Own.Type {
	case "Action":
		w.s.startLoad()
	case "Outcome":
		w.s.conclude()
	}
	w.skipped = w.s.stopCause() != nil
	return !w.skipped
}

// Leave records the result of the user-defined step i. An error is a failed check, except that a
// pending or skipped step and a Panicked prove nothing. A Then without an error is a check that
// passed.
func (w *Walk) Leave(i int, err error) {
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
	var panicked *Panicked
	if errors.As(err, &panicked) {
		w.s.fail(fmt.Errorf("%s: the step %q panicked: %w", step.At, step.Text, err))
		return
	}
	outcome := "failed"
	if unfinished(err) {
		outcome = "inconclusive"
	}
	w.s.recordStep(journal.Event{Verdict: &journal.Verdict{Check: step.Text, Kind: check.OwnStep, Outcome: outcome, Observed: err.Error(), Reason: err.Error()}}, step)
}

package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"runtime"
	"strings"

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
			s.fail(errors.New("a step ended its goroutine, as t.FailNow and t.Skip do, so its result is not known: let it return an error"))
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

// Panicked is the error of a step that panicked.
type Panicked struct {
	Value any
	At    string // file:line; "" if not known
}

// Error returns the value that the step panicked with, and where.
func (p *Panicked) Error() string {
	if p.At == "" {
		return fmt.Sprint(p.Value)
	}
	return fmt.Sprintf("%v, at %s", p.Value, p.At)
}

// panicPosition returns the file:line of the panic that is being recovered.
func panicPosition() string {
	frames := make([]uintptr, 64)
	all := runtime.CallersFrames(frames[:runtime.Callers(2, frames)])
	panicking := false
	for {
		f, more := all.Next()
		if panicking && !strings.HasPrefix(f.Function, "runtime.") {
			return fmt.Sprintf("%s:%d", f.File, f.Line)
		}
		panicking = panicking || f.Function == "runtime.gopanic"
		if !more {
			return ""
		}
	}
}

// unfinished reports whether an error is godog's ErrPending or ErrSkip. It compares their texts rather
// than linking godog, because godog's package initializer executes the first program named "go" in
// PATH.
func unfinished(err error) bool {
	for ; err != nil; err = errors.Unwrap(err) {
		if err.Error() == "step implementation is pending" || err.Error() == "skipped" {
			return true
		}
	}
	return false
}

// runAll carries out every step up to the first that fails.
func (w *Walk) runAll() {
	for i, step := range w.s.e.Steps {
		if !step.Foreign {
			if w.Do(i) != nil {
				return
			}
			continue
		}
		if !w.Enter(i) {
			return
		}
		err := w.callStep(i)
		w.Leave(i, err)
		if err != nil {
			return
		}
	}
}

// callStep calls the function of the user-defined step i.
func (w *Walk) callStep(i int) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &Panicked{Value: r, At: panicPosition()}
		}
	}()
	step := w.s.e.Steps[i]
	for _, own := range w.s.o.Steps {
		re, err := regexp.Compile(own.Pattern)
		if err != nil {
			return err // not reached: Parse rejects such a pattern
		}
		if m := re.FindStringSubmatch(step.Text); m != nil {
			values, err := arguments(w.ctx, reflect.TypeOf(own.Do), m[1:], step.Own)
			if err != nil {
				return err
			}
			return w.takeResults(reflect.ValueOf(own.Do).Call(values))
		}
	}
	return fmt.Errorf("no pattern of Options.Steps matches %q", step.Text)
}

// takeResults evaluates the results of a user's function. A context is passed on to the steps that
// follow.
func (w *Walk) takeResults(results []reflect.Value) error {
	for _, r := range results {
		switch v := r.Interface().(type) {
		case context.Context:
			w.ctx = v
		case error:
			return v
		}
	}
	return nil
}

type runningKey struct{}

// Running is the running system, for use in user-defined steps.
type Running struct{ system *system }

// Of returns the running system from a step's context. It returns nil outside a scenario and if the
// system could not be started.
func Of(ctx context.Context) *Running {
	r, _ := ctx.Value(runningKey{}).(*Running)
	if r == nil || r.system == nil {
		return nil
	}
	return r
}

// Address returns the host:port on which a service listens, or "" if the system has no such service.
func (r *Running) Address(service string) string { return r.system.addresses[service] }

// Link returns the address at which from reaches to through their link, or "" if there is no such
// link.
func (r *Running) Link(from, to string) string {
	addr, _ := r.system.link(from + " -> " + to)
	return addr
}

// mustRun reports whether a missing program is an error rather than a reason to skip the scenario.
func mustRun() bool { return os.Getenv("FIREDRILL_MUST_RUN") != "" }

// Package godogsteps carries out scenarios through godog, for test suites that need its hooks,
// godog.T, or steps that return further steps.
//
//	runner.Test(t, runner.Options{Steps: steps, Drive: godogsteps.Drive(hooks)})
//
// Without it the runner calls the functions of Options.Steps itself. It is a separate package because
// godog's package initializer executes the first program named "go" in PATH. That is acceptable in a
// test suite but not in the firedrill program.
package godogsteps

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/cucumber/godog"

	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios/language"
)

// Drive returns a driver that carries out scenarios through godog. Each initializer is called for each
// scenario, after Firedrill's sentences and Options.Steps are registered, and may add hooks. All
// user-defined steps must be in Options.Steps, since they have to be known before anything starts.
func Drive(initializers ...func(*godog.ScenarioContext)) runner.Driver {
	return func(w *runner.ScenarioRun) (err error) {
		defer func() {
			if r := recover(); r != nil { // godog panics at files it cannot read and steps it cannot register
				err = fmt.Errorf("godog panicked: %v", r)
			}
		}()
		e := w.Experiment()
		d := &driver{ScenarioRun: w, current: -1}
		suite := godog.TestSuite{
			Name: e.Name,
			ScenarioInitializer: func(sc *godog.ScenarioContext) {
				d.register(sc)
				for _, f := range initializers {
					f(sc)
				}
			},
			Options: &godog.Options{
				Format: "progress", Output: io.Discard, Strict: true, NoColors: true, Concurrency: 1, DefaultContext: w.Context(),
				FS: w.Options().FS, Paths: []string{fmt.Sprintf("%s:%d", e.File, e.Line)},
			},
		}
		suite.Run() // the result is ignored: the verdicts determine the outcome
		if d.current < 0 {
			return fmt.Errorf("run %s:%d: godog found no step in it", e.File, e.Line)
		}
		return nil
	}
}

// driver follows godog through one scenario.
type driver struct {
	*runner.ScenarioRun
	rowsSeen int // number of rows of the outline seen so far
	inRow    bool
	current  int // index of the current step
}

func (d *driver) register(sc *godog.ScenarioContext) {
	sc.Before(func(ctx context.Context, _ *godog.Scenario) (context.Context, error) {
		d.rowsSeen++
		row := d.Experiment().Row
		if d.inRow = row == 0 || row == d.rowsSeen; !d.inRow {
			return ctx, godog.ErrSkip
		}
		return ctx, nil
	})
	sc.StepContext().Before(func(ctx context.Context, _ *godog.Step) (context.Context, error) {
		if !d.inRow {
			return ctx, nil
		}
		if d.current++; d.onUserStep() && !d.BeginUserStep(d.current) {
			return ctx, godog.ErrSkip
		}
		return ctx, nil
	})
	sc.StepContext().After(func(ctx context.Context, _ *godog.Step, _ godog.StepResultStatus, err error) (context.Context, error) {
		if d.inRow && d.onUserStep() {
			d.EndUserStep(d.current, convertPanic(err))
		}
		return ctx, nil
	})
	for _, p := range cmp.Or(d.Options().Vocabulary, language.Standard()).Phrases() {
		for _, re := range p.Regexps() {
			sc.Step(re, func(context.Context) error { return d.RunStep(d.current) })
		}
	}
	for _, own := range d.Options().Steps {
		sc.Step(own.Pattern, own.Do)
	}
}

// onUserStep reports whether the current step is a user-defined one.
func (d *driver) onUserStep() bool {
	steps := d.Experiment().Steps
	return d.current >= 0 && d.current < len(steps) && steps[d.current].Foreign
}

// convertPanic converts godog's error for a recovered panic to a runner.PanicError.
func convertPanic(err error) error {
	for e := err; e != nil; e = errors.Unwrap(e) {
		if fmt.Sprintf("%T", e) == "*godog.traceError" {
			return &runner.PanicError{Value: err}
		}
	}
	return err
}

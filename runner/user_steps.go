package runner

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"runtime"
	"strings"
)

// PanicError is the error of a step that panicked.
type PanicError struct {
	Value any
	At    string // file:line; "" if not known
}

// Error returns the value that the step panicked with, and where.
func (p *PanicError) Error() string {
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
func (w *ScenarioRun) runAll() {
	for i, step := range w.s.e.Steps {
		if !step.Foreign {
			if w.RunStep(i) != nil {
				return
			}
			continue
		}
		if !w.BeginUserStep(i) {
			return
		}
		err := w.callStep(i)
		w.EndUserStep(i, err)
		if err != nil {
			return
		}
	}
}

// callStep calls the function of the user-defined step i.
func (w *ScenarioRun) callStep(i int) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &PanicError{Value: r, At: panicPosition()}
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
func (w *ScenarioRun) takeResults(results []reflect.Value) error {
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

package process

import (
	"context"
	"fmt"
)

// Result is how a command ended.
type Result struct {
	Status string // "exit status 0", "exit status 3", "signal: killed"
	Output string // the end of its output: the last 20 lines, at most 8 KiB
}

// OK reports whether the command exited with status 0.
func (r Result) OK() bool { return r.Status == "exit status 0" }

// Run runs a command to its end, and then ends every process that it has left running. If ctx ends first, it kills the
// command and returns the cause with the output so far. Of spec, it uses Name, Args, Env, Dir and Log: the output of
// each run is appended to Log. A status other than 0 is not an error.
func Run(ctx context.Context, spec Spec) (Result, error) {
	s, err := newService(spec)
	if err != nil {
		return Result{}, err
	}
	s.once = true
	r, err := s.launch()
	if err != nil {
		return Result{}, fmt.Errorf("run %q: %w", spec.Name, err)
	}
	select {
	case <-r.done:
		return Result{Status: r.status, Output: tail(spec.Log, r.from)}, nil
	case <-ctx.Done():
		err = s.kill(r)
		<-r.done
		if err == nil {
			err = context.Cause(ctx)
		}
		return Result{Status: r.status, Output: tail(spec.Log, r.from)}, fmt.Errorf("run %q: %w", spec.Name, err)
	}
}

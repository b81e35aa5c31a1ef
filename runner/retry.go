package runner

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// try is one attempt to run a scenario. number is 1, or 2 for a scenario that is run again alone; why
// is the reason that the first attempt proves nothing. retryOf is the ID of the failed scenario that it
// is a retry of, and repeatOf that of the scenario that it repeats. seed is 0 for the seed that its ID
// determines.
type try struct {
	number            int
	why               string
	retryOf, repeatOf string
	seed              uint64
}

// disturbed returns the reason why the scenario was inconclusive, if scenarios that ran in parallel
// may have caused it, and "" otherwise. Such reasons are a shortage of CPU, and a service that failed
// to start or exited because another took the same port or folder. Checks of the system itself are
// ignored, so that no verdict on the system is discarded. A scenario that used up its time gets no more.
func (s *session) disturbed() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end == nil || s.timedOut != nil {
		return ""
	}
	return busyMachine(s.history.Book().Scenarios[0], "load delivered", "baseline steady", "no trouble", "services stayed")
}

// busyMachine returns the reason why an inconclusive scenario may be conclusive on a less busy machine, or
// "": a check of one of the kinds did not pass, the load generator was late, or the runner did not run, which may also have
// been before the first request.
func busyMachine(h *journal.History, kinds ...string) string {
	if h.End == nil || h.End.Outcome != "inconclusive" {
		return ""
	}
	for _, v := range h.Verdicts {
		if v.Outcome != "passed" && slices.Contains(kinds, v.Kind) || v.Code == codes.RunnerPaused.String() {
			return v.Reason
		}
	}
	for _, w := range []journal.Window{journal.Before, journal.AtInjection, journal.During, journal.AtHealing, journal.After} {
		if why := h.Late(w); why != "" {
			return why
		}
	}
	return ""
}

// scenario runs one experiment, and again if it failed and Options.Retries allows it.
func (r *runState) scenario(ctx context.Context, e *scenarios.Experiment, j *job) {
	r.retries(ctx, e, r.attempt(ctx, e, j, try{number: 1, repeatOf: r.repeatOf[e.ID]}))
}

// attempt runs one experiment as soon as it is admitted, and again alone if other scenarios may have
// disturbed it. It returns the last session, or nil if none was started.
func (r *runState) attempt(ctx context.Context, e *scenarios.Experiment, j *job, first try) *session {
	runOnce := func(j *job, t try) (s *session) {
		if r.admission.wait(ctx, j) != nil {
			return nil
		}
		defer r.admission.release(j)
		if _, aborted := r.active(); aborted != nil {
			return nil
		}
		if why := r.late(e); why != "" {
			r.write(journal.Event{Note: &journal.Note{Text: why}})
			return nil
		}
		if r.o.BeforeScenario != nil {
			if err := r.o.BeforeScenario(ctx, e); err != nil {
				r.write(journal.Event{Note: &journal.Note{Text: fmt.Sprintf("%q was not started: %v", e.Name, err)}})
				return nil
			}
		}
		s = newSession(ctx, r, e, t)
		s.begin()
		defer s.finish()
		s.drive()
		return s
	}
	s := runOnce(j, first)
	if s == nil {
		return nil
	}
	if t, again := r.retryOf(ctx, s, j); again {
		t.retryOf, t.repeatOf, t.seed = first.retryOf, first.repeatOf, first.seed
		if second := runOnce(r.admission.queue(&job{alone: true}), t); second != nil {
			return second
		}
	}
	return s
}

// retryOf returns the second attempt of a scenario that has ended, and reports whether there is to be
// one.
func (r *runState) retryOf(ctx context.Context, s *session, j *job) (try, bool) {
	if ctx.Err() != nil || !r.admission.wasShared(j) {
		return try{}, false
	}
	why := s.disturbed()
	return try{number: 2, why: why}, why != ""
}

// dir returns the scenario's folder. It first renames the folder of an earlier attempt.
func (s *session) dir() string {
	dir := filepath.Join(s.run.dir, "scenarios", s.e.ID)
	if s.try.number > 1 {
		_ = os.Rename(dir, dir+".attempt-1")
	}
	return dir
}

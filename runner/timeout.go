package runner

import (
	"cmp"
	"fmt"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// watchTimeout ends the scenario at its time limit, if it has one. It returns before the scenario is judged.
func (s *session) watchTimeout() {
	limit := cmp.Or(s.e.Timeout, s.o.ScenarioTimeout)
	if limit <= 0 {
		return
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-s.quit:
	case <-s.ctx.Done():
	case <-timer.C:
		s.timeOut(limit)
	}
}

// timeOut ends the scenario, which is inconclusive unless an invariant is violated already, and heals everything.
func (s *session) timeOut(limit time.Duration) {
	s.mu.Lock()
	at := ""
	if s.reached.Text != "" {
		at = fmt.Sprintf(", at %s (%s)", s.reached.At, s.reached.Text)
	}
	why := fmt.Errorf("stopped at its time limit of %s, in the phase %q%s", check.Duration(limit), s.phase, at)
	s.timedOut = why
	s.mu.Unlock()
	s.record(journal.Event{Note: &journal.Note{Text: why.Error()}})
	s.record(journal.Event{TimedOut: &journal.TimedOut{Reason: why.Error()}})
	s.cancel(why)
}

// reach records that step i begins, and returns it.
func (s *session) reach(i int) scenarios.Step {
	step := s.e.Steps[i]
	s.mu.Lock()
	s.reached = step.Step
	s.mu.Unlock()
	return step
}

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
	began := time.Now()
	for left := limit; left > 0; left = limit - s.usedTime(began, time.Now()) {
		timer := time.NewTimer(max(left, 10*time.Millisecond))
		select {
		case <-timer.C:
			continue
		case <-s.quit:
		case <-s.ctx.Done():
		}
		timer.Stop()
		return
	}
	s.timeOut(limit)
}

// usedTime returns how much time the scenario, which began at some time, has used until now. That in which a person was
// asked does not count.
func (s *session) usedTime(began, now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.askedSince.IsZero() {
		now = s.askedSince
	}
	return now.Sub(began) - s.asked
}

// awaitPerson calls ask, which waits for a person.
func (s *session) awaitPerson(ask func() error) error {
	s.mu.Lock()
	s.askedSince = time.Now()
	s.mu.Unlock()
	err := ask()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked += time.Since(s.askedSince)
	s.askedSince = time.Time{}
	return err
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

package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// step runs step i. If a check did not pass, the error is its reason.
func (s *session) step(i int) (err error) {
	defer func() {
		if r := recover(); r != nil { // a user-defined fault or check, or a bug in the runner
			err = fmt.Errorf("%s: panic: %v", s.e.Steps[i].At, r)
			s.fail(err)
		}
	}()
	step := s.reach(i)
	if step.IsCheck {
		s.conclude()
		i := s.nextCheck
		s.nextCheck++
		if i >= len(s.verdicts) {
			return errors.New("not judged")
		}
		if v := s.verdicts[i]; v.Outcome != check.Passed {
			return fmt.Errorf("%s: %s", v.Outcome, v.Reason)
		}
		return nil
	}
	if step.Do == nil {
		return s.stopCause()
	}
	if _, asks := step.Do.(scenarios.Confirm); !asks { // the answer may take long: the baseline is measured after it
		s.startLoad()
	}
	if err := s.stopCause(); err != nil {
		return err
	}
	if err := s.act(step); err != nil {
		if s.ctx.Err() == nil {
			s.fail(fmt.Errorf("%s: %w", step.At, err))
		}
		return err
	}
	return nil
}

// act carries out an action.
func (s *session) act(step scenarios.Step) error {
	if s.o.DryRun {
		return s.dryAct(step)
	}
	switch action := step.Do.(type) {
	case scenarios.Inject:
		return s.inject(action, step.Step)
	case scenarios.Heal:
		return s.heal(action)
	case scenarios.Wait:
		return s.sleep(action.For, nil)
	case scenarios.RateChange:
		for _, r := range s.loadsOf(action.Of()) {
			if r.generator == nil {
				return errors.New("change the load: it is not running")
			}
			r.generator.Change(action)
		}
		s.enterPhase(s.phase)
		return s.sleep(action.Takes(), nil)
	case scenarios.SendRequests:
		s.loadsOf(action.Load)[0].generator.Send(action)
		return s.stopCause()
	case scenarios.StopLoad:
		s.endLoads(action.Load)
		return nil
	case scenarios.Ask:
		return s.ask(action, step.Step)
	case scenarios.RunCommand:
		return s.runCommand(action, step.Step)
	case scenarios.Confirm:
		return s.confirm(action.What, step.Step)
	}
	return fmt.Errorf("carry out %T: unknown action", step.Do)
}

func (s *session) confirm(prompt string, step journal.Step) error {
	note := "not confirmed, since nobody was asked: " + prompt
	if s.o.Confirm != nil {
		if err := s.awaitPerson(func() error { return s.o.Confirm(s.ctx, prompt) }); err != nil {
			return err
		}
		note = "confirmed: " + prompt
	}
	s.recordStep(journal.Event{Note: &journal.Note{Text: note}}, step)
	return nil
}

// sleep waits until d has elapsed, early is closed, or the session ends; only the last is an error.
func (s *session) sleep(d time.Duration, early <-chan struct{}) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-early:
		return nil
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	}
}

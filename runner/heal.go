package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// heal undoes the faults that a step names.
func (s *session) heal(do scenarios.Heal) error {
	s.mu.Lock()
	live, byHand := slices.Clone(s.live), s.healedByHand
	s.mu.Unlock()
	if !do.All { // the scenario means faults of its own
		live = slices.DeleteFunc(live, func(in *injection) bool { return in.by != "" })
	}
	var chosen []*injection
	switch {
	case do.All:
		chosen = live
	case do.Service != "":
		for _, in := range live {
			if in.From == "" && in.To == do.Service && (do.Kind == "" || in.Kind == do.Kind) {
				chosen = append(chosen, in)
			}
		}
		if len(chosen) == 0 && !byHand {
			return fmt.Errorf("heal %q: no such fault is live on it", do.Service)
		}
	case len(live) > 0: // the last one, with all its parts
		last := live[len(live)-1]
		chosen = slices.DeleteFunc(live, func(in *injection) bool { return journal.FaultID(in.ID) != journal.FaultID(last.ID) })
	case !byHand:
		return errors.New("heal the fault: no fault is live")
	}
	return s.healAll(chosen)
}

// liveInjections returns the live injections in order of injection.
func (s *session) liveInjections() []*injection {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.live)
}

// allPlaced returns all injections of the scenario, in order.
func (s *session) allPlaced() []*injection {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.placed)
}

// healAll heals injections, even when the run was interrupted: all targets at the same time, and on
// each the last fault first. Injections that are not live are ignored.
func (s *session) healAll(chosen []*injection) error {
	s.mu.Lock()
	chosen = slices.DeleteFunc(slices.Clone(chosen), func(in *injection) bool { return !slices.Contains(s.live, in) })
	s.live = slices.DeleteFunc(s.live, func(in *injection) bool { return slices.Contains(chosen, in) })
	s.mu.Unlock()
	if len(chosen) == 0 { // such as before the system has started
		return nil
	}
	errs := make([]error, len(chosen))
	s.countDials()
	usages := s.linkUsage()
	began := s.now() // the end of the requested outage, however long healing takes
	for _, in := range chosen {
		in.recording.Lock()
		s.freezeHits(in, usages)
		s.mu.Lock()
		in.healBegan = began
		s.mu.Unlock()
		in.recording.Unlock()
		in.markEnded(began)
	}
	forEachTarget(chosen, func(on []*injection) {
		for _, in := range slices.Backward(on) {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), s.healBound(in))
			err := catchPanic(func() error { return in.heal(ctx) })
			at := s.now()
			cancel()
			if err != nil {
				err = fmt.Errorf("heal %s: %w", in.sentence, err)
				errs[slices.Index(chosen, in)] = err
			}
			in.recording.Lock()
			in.healed, in.healErr, in.recorded = true, err, in.count.Tally()
			fact := in.journalFault("healed", s, err)
			in.seen, in.affected, in.background, in.shared = fact.Seen, fact.Affected, fact.Background, fact.Shared
			s.recordStep(journal.Event{At: at, Fault: fact}, in.step)
			in.recording.Unlock()
			close(in.done)
		}
	})
	return errors.Join(errs...)
}

// recordSettled records effects that injections still had after they were healed, and the final count
// of background traffic. A reply can be selected when its request arrives and arrive itself only after
// healing.
func (s *session) recordSettled() {
	for _, in := range s.allPlaced() {
		in.recording.Lock()
		fact := in.journalFault("settled", s, in.healErr)
		if in.healed && (!in.count.Tally().Equal(in.recorded) || fact.Background != in.background || fact.Shared != in.shared) {
			s.recordStep(journal.Event{Fault: fact}, in.step)
		}
		in.recording.Unlock()
	}
}

// healBound returns how long healing one fault may take. A service may need all of its readiness
// timeout to start.
func (s *session) healBound(in *injection) time.Duration {
	bound := leastHealBound
	for _, svc := range s.e.System.Services {
		if in.From == "" && svc.Name == in.To {
			bound = max(bound, svc.Ready.Within+leastHealBound/2)
		}
	}
	return bound
}

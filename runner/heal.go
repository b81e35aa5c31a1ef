package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// heal undoes what a step names.
func (s *session) heal(do scenarios.Heal) error {
	s.mu.Lock()
	live, handed := slices.Clone(s.live), s.handed
	s.mu.Unlock()
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
		if len(chosen) == 0 && !handed {
			return fmt.Errorf("heal %q: no such fault is live on it", do.Service)
		}
	case len(live) > 0: // the last one, with all its parts
		last := live[len(live)-1]
		chosen = slices.DeleteFunc(live, func(in *injection) bool { return journal.Whole(in.ID) != journal.Whole(last.ID) })
	case !handed:
		return errors.New("heal the fault: none is live")
	}
	return s.undo(chosen)
}

// lives are the live injections, in order.
func (s *session) lives() []*injection {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.live)
}

// undo heals injections, whatever became of the run: all targets at once, and on each the last first. Those that are not live are left alone.
func (s *session) undo(chosen []*injection) error {
	s.mu.Lock()
	chosen = slices.DeleteFunc(slices.Clone(chosen), func(in *injection) bool { return !slices.Contains(s.live, in) })
	s.live = slices.DeleteFunc(s.live, func(in *injection) bool { return slices.Contains(chosen, in) })
	s.mu.Unlock()
	errs := make([]error, len(chosen))
	together(chosen, func(on []*injection) {
		for _, in := range slices.Backward(on) {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), healBound)
			err := guarded(func() error { return in.heal(ctx) })
			at := s.now()
			cancel()
			if err != nil {
				err = fmt.Errorf("heal %s: %w", in.says, err)
				errs[slices.Index(chosen, in)] = err
			}
			in.told.Lock()
			in.healed, in.failed, in.tally = true, err, in.count.Tally()
			s.event(journal.Event{At: at, Fault: in.fact("healed", s, err)}, in.step)
			in.told.Unlock()
		}
	})
	at := s.now()
	for _, in := range chosen {
		in.ended(at)
	}
	return errors.Join(errs...)
}

// settle tells what injections still affected after they were healed: a reply is chosen to be lost when its request comes, and may come itself a moment later.
func (s *session) settle() {
	s.mu.Lock()
	placed := slices.Clone(s.placed)
	s.mu.Unlock()
	for _, in := range placed {
		in.told.Lock()
		if in.healed && in.count.Tally() != in.tally {
			s.event(journal.Event{Fault: in.fact("settled", s, in.failed)}, in.step)
		}
		in.told.Unlock()
	}
}

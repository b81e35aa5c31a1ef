package runner

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/runner/control"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
	"github.com/firedrill-dev/firedrill/scenarios/language"
)

// injectByHand injects the fault of a request into the scenario that runs.
func (r *runState) injectByHand(_ context.Context, id string, q control.Request) (control.Live, error) {
	sessions, aborted := r.active()
	switch {
	case aborted != nil:
		return control.Live{}, aborted
	case r.o.DryRun:
		return control.Live{}, errors.New("this is a dry run, which injects nothing")
	case len(sessions) == 0:
		return control.Live{}, errors.New("no scenario runs at the moment")
	case len(sessions) > 1:
		return control.Live{}, fmt.Errorf("%d scenarios run side by side, and it is not known which is meant: start the run with --parallel 1", len(sessions))
	}
	return sessions[0].injectByHand(id, q)
}

// injectByHand injects the fault of a request, from the first When of the scenario until it is healed and judged.
func (s *session) injectByHand(id string, q control.Request) (control.Live, error) {
	s.byHand.Lock()
	defer s.byHand.Unlock()
	s.mu.Lock()
	phase := s.phase
	s.mu.Unlock()
	if s.byHandOver || phase != "fault" {
		return control.Live{}, fmt.Errorf("%q is in its phase %q: a fault can be injected by hand in the phase \"fault\", from the first When until the first check", s.e.Name, phase)
	}
	if err := s.stopCause(); err != nil {
		return control.Live{}, err
	}
	in, err := s.readByHand(id, q)
	if err != nil {
		return control.Live{}, err
	}
	placed, err := s.apply(in, journal.Step{}, control.Person(q.By))
	if err != nil {
		return control.Live{}, err
	}
	if s.ctx.Err() != nil { // whoever heals everything then may have come before
		return control.Live{}, errors.Join(context.Cause(s.ctx), s.healAll(placed))
	}
	return control.Live{
		Sentence: placed[0].sentence, For: in.For, Ended: placed[0].done,
		Met:  func() (string, bool) { return s.met(placed) },
		Heal: func(why string) error { return s.healByHand(id, placed, why) },
	}, nil
}

// met describes what the parts of a fault affected so far, and reports whether they affected anything.
func (s *session) met(placed []*injection) (text string, acted bool) {
	var all []evidence.Tally
	for _, in := range placed {
		switch {
		case in.outage == nil:
			all = append(all, in.count.Tally())
		case s.e.Load == nil && len(in.outage.before) == 0:
			return "calls to it are not counted, since neither a load nor a link leads to it", true
		default:
			seen, affected := s.metOutage(in)
			all = append(all, evidence.Tally{Unit: in.unit, Seen: seen, Affected: affected})
		}
	}
	return evidence.Met(all...)
}

// metOutage returns what an outage of a service affected, up to now or until it was healed.
func (s *session) metOutage(in *injection) (seen, affected int64) {
	in.recording.Lock()
	defer in.recording.Unlock()
	if in.healed {
		return in.seen, in.affected
	}
	f := in.journalFault("counted", s, nil)
	return f.Seen, f.Affected
}

// readByHand reads the sentence of a request. The IDs of its faults are those of the request.
func (s *session) readByHand(id string, q control.Request) (scenarios.Inject, error) {
	vocabulary := s.o.Vocabulary
	if vocabulary == nil {
		vocabulary = language.Standard()
	}
	h := language.ByHand{Sentence: q.Sentence, UntilHeal: q.UntilHeal, Running: s.e, AllowTargets: s.o.AllowTargets}
	for _, in := range s.liveInjections() {
		h.Live = append(h.Live, in.Placed)
	}
	in, err := vocabulary.ReadByHand(h)
	for i, p := range in.Faults {
		in.Faults[i].ID = id + strings.TrimPrefix(p.ID, journal.FaultID(p.ID))
	}
	return in, err
}

// healByHand heals the parts of a fault, or waits until the scenario has healed them.
func (s *session) healByHand(id string, placed []*injection, why string) error {
	s.byHand.Lock()
	defer s.byHand.Unlock()
	select {
	case <-placed[0].done: // the scenario healed it
	default:
		s.record(journal.Event{Note: &journal.Note{Text: fmt.Sprintf("%s is healed, %s", id, why)}})
	}
	err := s.healAll(placed)
	for _, in := range placed {
		<-in.done
		if err == nil {
			err = in.healErr
		}
	}
	return err
}

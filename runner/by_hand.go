package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/runner/control"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
	"github.com/firedrill-dev/firedrill/scenarios/language"
)

// injectByHand injects the fault of a request into a scenario that runs.
func (r *runState) injectByHand(_ context.Context, id string, q control.Request) (control.Live, error) {
	sessions, aborted := r.active()
	switch {
	case aborted != nil:
		return control.Live{}, aborted
	case r.o.DryRun:
		return control.Live{}, errors.New("this is a dry run, which injects nothing")
	case len(sessions) == 0:
		return control.Live{}, errors.New("no scenario runs at the moment")
	}
	s, err := meant(sessions, q)
	if err != nil {
		return control.Live{}, err
	}
	return s.injectByHand(id, q)
}

// meant returns the scenario of a request: the one that it names or, without a name, the only one whose system has what the
// sentence names.
func meant(running []*session, q control.Request) (*session, error) {
	var these []*session
	var refused error
	for _, s := range running {
		switch {
		case q.Scenario != "":
			if q.Scenario == s.e.Name || q.Scenario == s.e.ID {
				these = append(these, s)
			}
		case len(running) == 1:
			these = running
		default:
			if _, err := s.readByHand("", q); errors.Is(err, language.ErrUnknownName) {
				refused = err
			} else {
				these = append(these, s)
			}
		}
	}
	switch {
	case len(these) == 1:
		return these[0], nil
	case len(these) > 1:
		return nil, fmt.Errorf("%d scenarios run side by side that this may be meant for: name one with --scenario: %s", len(these), namesOf(these))
	case q.Scenario != "":
		return nil, fmt.Errorf("no scenario %q runs: name one that does: %s", q.Scenario, namesOf(running))
	}
	return nil, fmt.Errorf("none of the %d scenarios that run side by side (%s) has what the sentence names: %w", len(running), namesOf(running), refused)
}

// namesOf lists the IDs of scenarios, with their names.
func namesOf(sessions []*session) string {
	var all []string
	for _, s := range sessions {
		all = append(all, fmt.Sprintf("%s (%q)", s.e.ID, s.e.Name))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
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
	if s.ctx.Err() != nil { // everything may have been healed just before this fault was live
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

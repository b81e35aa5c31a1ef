package runner

import (
	"fmt"
	"slices"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/runner/internal/effects"
	"github.com/firedrill-dev/firedrill/runner/internal/load"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// keyPrefix returns the prefix of the idempotency keys of this scenario.
func (s *session) keyPrefix() string {
	return load.KeyPrefix(s.run.short, uint32(evidence.Hash(0, uint64(s.try.number-1), s.e.ID)))
}

// trace returns how links recognize the messages that requests of the load cause.
func (s *session) trace() message.Trace {
	t := message.Trace{ID: load.TracePrefix(s.seed), KeyPrefix: s.keyPrefix() + "-"}
	if s.e.Load != nil {
		t.Route = func(n uint64) string { return load.RouteOf(s.e.Load, s.seed, n).Name() }
	}
	return t
}

// effectsBefore reads the effects that exist before the load, so that they are not attributed to it. A
// list that cannot be read is reported now rather than after the run.
func (s *session) effectsBefore() {
	if s.e.Effects == nil || s.e.Load == nil {
		return
	}
	l := effects.NewLedger(effects.Source{
		Trust: s.system.trust, Method: s.e.Effects.Method, URL: s.system.trust.URL(s.system.addresses[s.e.Effects.Service], s.e.Effects.Path),
		Run: s.run.short + "-", Scenario: s.keyPrefix() + "-", Alone: s.e.System.Whole(), Group: s.e.Effects.Group,
	})
	for began := s.now(); ; {
		err := l.ReadBefore(s.ctx)
		switch {
		case err == nil:
			s.ledger = l
			return
		case s.now()-began < effects.ReadRetryLimit && s.sleep(effects.MinReadInterval, nil) == nil:
			continue
		case s.ctx.Err() != nil:
			return
		}
		s.recordStep(journal.Event{Effects: &journal.Effects{Source: s.effectsSource(), Error: err.Error()}}, s.e.Effects.Step)
		s.fail(fmt.Errorf("read effects from %s before the load: %w", s.effectsSource(), err))
		return
	}
}

func (s *session) effectsSource() string { return s.e.Effects.Method + " " + s.e.Effects.Path }

// effects reads effects until they have settled, and records them.
func (s *session) effects() {
	if s.ledger == nil {
		return
	}
	w := s.ledger.NewWait(effects.Expected{
		Requests: s.requests(), Faults: s.injections(), Limit: s.e.Effects.Within(), Stated: s.e.Effects.Settle > 0,
		All: slices.ContainsFunc(s.e.Checks, func(c scenarios.Check) bool { return c.Kind().Needs.AllEffects }),
	}, s.now())
	for !w.ReadOnce(s.ctx, s.now()) {
		if s.sleep(w.Pause(s.now()), nil) != nil {
			break
		}
	}
	fact, all := w.Result()
	fact.Source, fact.Within = s.effectsSource(), s.e.Effects.Settle
	for _, one := range all {
		s.recordStep(journal.Event{Effect: &one}, s.e.Effects.Step)
	}
	s.recordStep(journal.Event{Effects: &fact}, s.e.Effects.Step)
}

// requests returns the keyed requests of the load so far.
func (s *session) requests() []journal.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.history.Book().Scenarios[0].Requests)
}

// injections returns the faults injected so far.
func (s *session) injections() []*journal.Injection {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.history.Book().Scenarios[0].Faults)
}

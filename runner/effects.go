package runner

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/process"
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
	for i, l := range s.e.Loads() {
		route := func(n uint64) string { return load.RouteOf(l, s.seedOf(i), n).Name() }
		if i == 0 {
			t.Route = route
			continue
		}
		t.Further = append(t.Further, message.Trace{ID: load.TracePrefix(s.seedOf(i)), KeyPrefix: s.keyPrefixOf(i) + "-", Route: route})
	}
	return t
}

// ledger is what one source of effects lists.
type ledger struct {
	*effects.Ledger
	source scenarios.EffectSource
}

// effectsBefore reads the effects that exist before the load, so that they are not attributed to it. A
// list that cannot be read is reported now rather than after the run.
func (s *session) effectsBefore() {
	if s.e.Effects == nil || s.e.Load == nil {
		return
	}
	for _, source := range s.e.Effects.Sources {
		reader, err := s.reader(source, s.e.Effects.Group)
		l := effects.NewLedger(effects.Source{Reader: reader, Run: s.run.short + "-", Scenario: s.keyPrefix() + "-", Alone: s.e.System.Whole(), Group: s.e.Effects.Group})
		if err == nil {
			err = s.retryRead(func() error { return l.ReadBefore(s.ctx) })
		}
		switch {
		case err == nil:
			s.ledgers = append(s.ledgers, ledger{l, source})
			continue
		case s.ctx.Err() != nil:
			return
		}
		s.ledgers = nil
		s.recordStep(journal.Event{Effects: &journal.Effects{Source: source.Name, Error: err.Error()}}, source.Step)
		s.fail(fmt.Errorf("read effects from %s before the load: %w", source.Name, err))
		return
	}
}

// reader returns the reader of a source. group is the field that a check groups its effects by, or "".
func (s *session) reader(source scenarios.EffectSource, group string) (effects.Reader, error) {
	if source.Declared() {
		return s.openSource(source.Name, group)
	}
	return effects.RouteReader(s.system.Trust, source.Method, s.system.Trust.URL(s.system.Addresses[source.Service], source.Path), group), nil
}

// retryRead calls read again for a while if it fails.
func (s *session) retryRead(read func() error) error {
	for began := s.now(); ; {
		err := read()
		if err == nil || s.now()-began >= effects.ReadRetryLimit || s.sleep(effects.MinReadInterval, nil) != nil {
			return err
		}
	}
}

// effects reads the effects of all sources until they have settled, and records them.
func (s *session) effects() {
	if len(s.ledgers) == 0 {
		return
	}
	known := s.facts()
	expected := effects.Expected{
		Requests: known.Requests, Faults: known.Faults, Limit: s.e.Effects.Within(), Stated: s.e.Effects.Settle > 0,
		All: slices.ContainsFunc(s.e.Checks, func(c scenarios.Check) bool { return c.Kind().Needs.AllEffects }),
	}
	expected.Pending = s.converge(expected.LoadEnded(s.now()) + expected.Limit)
	expected.Stated = expected.Stated || len(s.e.Effects.Once) > 0
	var waits, pending []*effects.Wait
	for _, l := range s.ledgers {
		waits = append(waits, l.NewWait(expected, s.now()))
	}
	for pending = slices.Clone(waits); len(pending) > 0; {
		pending = slices.DeleteFunc(pending, func(w *effects.Wait) bool { return w.ReadOnce(s.ctx, s.now()) })
		pause := time.Hour
		for _, w := range pending {
			pause = min(pause, w.Pause(s.now()))
		}
		if len(pending) > 0 && s.sleep(pause, nil) != nil {
			break
		}
	}
	for _, w := range pending {
		w.Pending = "the scenario was stopped before effects had settled"
	}
	for i, l := range s.ledgers {
		fact, all := waits[i].Result()
		fact.Source, fact.Within = l.source.Name, s.e.Effects.Settle
		for rows := range all.Events() {
			s.recordStep(journal.Event{EffectRows: rows}, l.source.Step)
		}
		s.recordStep(journal.Event{Effects: &fact}, l.source.Step)
	}
}

// converge waits until the conditions hold that show that all effects have arrived. It returns why they did not until
// the limit, or "".
func (s *session) converge(limit time.Duration) string {
	for _, c := range s.e.Effects.Once {
		met := effects.Condition{Holds: c.Met}
		if declared, ok := s.e.System.CommandNamed(c.Command); ok {
			met.Limit = declared.Limit()
		}
		var err error
		if met.Answer, err = s.condition(c); err != nil {
			return err.Error()
		}
		for !met.Once(s.ctx) {
			if s.now() >= limit || s.sleep(effects.MinReadInterval, nil) != nil {
				return fmt.Sprintf("%s was awaited until %s after the load: %s", c, s.e.Effects.Within(), met.Missing())
			}
		}
	}
	return ""
}

// condition returns the function that asks what a condition is about.
func (s *session) condition(c scenarios.Convergence) (func(context.Context) (string, error), error) {
	switch {
	case c.Command != "":
		return func(ctx context.Context) (string, error) { return s.commandOutput(ctx, c.Command) }, nil
	case c.Source == "":
		return effects.Body(s.system.Trust, c.Method, s.system.Trust.URL(s.system.Addresses[c.Service], c.Path)), nil
	}
	r, err := s.openSource(c.Source, "")
	if err == nil && r.Answer == nil {
		err = fmt.Errorf("effects source %q has no query", c.Source)
	}
	return r.Answer, err
}

// commandOutput runs a command of the system and returns its output, without white space around it.
func (s *session) commandOutput(ctx context.Context, name string) (string, error) {
	spec, _, err := s.system.CommandSpec(name)
	if err != nil {
		return "", err
	}
	result, err := process.Run(ctx, spec)
	switch {
	case err != nil:
		return "", err
	case !result.OK():
		return "", fmt.Errorf("%s: %s", result.Status, result.Output)
	}
	return strings.TrimSpace(result.Output), nil
}

// facts returns what is known of the scenario so far, with all keyed requests that have ended. Faults may still change.
func (s *session) facts() *journal.History {
	s.flush(0)
	s.mu.Lock()
	defer s.mu.Unlock()
	h := *s.history.Book().Scenarios[0]
	h.Faults = slices.Clone(h.Faults)
	return &h
}

package runner

import (
	"errors"
	"fmt"
	"time"

	"github.com/firedrill-dev/firedrill/runner/internal/load"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// warmUp is how long the load runs before the baseline begins, so that connections are open and caches
// are filled.
const warmUp = time.Second

// startLoad starts the load and measures the baseline. Only the first call has an effect.
func (s *session) startLoad() {
	if s.loadStarted || s.stopCause() != nil {
		return
	}
	s.loadStarted = true
	if s.e.Load == nil {
		s.fold.baseline = 0
		s.enterPhase("fault")
		return
	}
	if s.effectsBefore(); s.stopCause() != nil {
		return
	}
	if s.sumsBefore(); s.stopCause() != nil {
		return
	}
	if s.agreementsBefore(); s.stopCause() != nil {
		return
	}
	s.client = load.NewClient(s.ctx, load.Config{
		Load: s.e.Load, Env: s.run.secrets, KeyPrefix: s.keyPrefix(), Seed: s.seed, Trust: s.system.trust, Address: s.system.clientAddress, Kinds: s.run.o.loadKinds(),
		Started: func(n uint64, due time.Time) { s.fold.started(n, s.client.Route(n).Name(), s.run.journal.Since(due)) },
		Ended:   s.finished,
	})
	s.measureIdle()
	s.load = load.Start(s.ctx, s.e.Load, s.client, peak(s.e))
	if s.e.Load.Shape == scenarios.Counted {
		s.fold.mu.Lock()
		s.fold.baseline = s.now()
		s.fold.mu.Unlock()
		s.enterPhase("fault")
		return
	}
	if s.sleep(warmUp, nil) != nil {
		return
	}
	s.fold.mu.Lock()
	s.fold.baseline = s.now()
	s.fold.mu.Unlock()
	s.enterPhase("baseline")
	before := s.linkUsage()
	if s.sleep(s.e.Baseline, nil) == nil {
		s.baselineUse = map[string]usage{}
		for name, u := range s.linkUsage() {
			s.baselineUse[name] = u.since(before[name])
		}
		s.enterPhase("fault")
		s.gate()
	}
}

// gate prevents injections if the baseline is not within the steady state.
func (s *session) gate() {
	if !s.injectsFaults() {
		return
	}
	s.flush(s.now())
	s.mu.Lock()
	v := check.Ask(check.BaselineSteady{Steady: s.e.Steady}, s.history.Book().Scenarios[0])
	s.mu.Unlock()
	reason := v.Reason
	if overdue, sent := s.fold.overdue(s.now()); reason == "" && overdue*100 > sent {
		reason = fmt.Sprintf("the baseline was not steady: %d of its %d requests were still unanswered at its end, and had already taken longer than any other", overdue, sent)
	}
	if reason == "" {
		return
	}
	s.record(journal.Event{Gate: &journal.Gate{Reason: reason}})
	s.halt(errors.New(reason + "; nothing was injected"))
}

// finished folds a completed request of the load.
func (s *session) finished(e load.Result) {
	w := s.fold.request(e, s.run.journal.Since(e.Due), s.run.journal.Since(e.End))
	s.recordOperations(e, w)
	if e.Key == "" || e.Unsent && e.Wire == 0 { // no row for a request that was never sent
		return
	}
	s.bodies.add(e.Key, e.Body)
	s.record(journal.Event{Request: e.JournalRequest(s.run.journal.Since, w)})
}

func (s *session) endLoad() {
	if s.load == nil {
		return
	}
	l := s.load.End(func(n uint64, due time.Time) { s.fold.unsent(s.client.Route(n).Name(), s.run.journal.Since(due)) })
	s.load = nil
	s.meanRate = float64(l.Sent) / max(l.Took.Seconds(), time.Millisecond.Seconds())
	s.record(journal.Event{Load: &l})
}

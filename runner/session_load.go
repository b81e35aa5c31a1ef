package runner

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/runner/internal/load"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// warmUp is how long the load runs before the baseline begins, so that connections are open and caches
// are filled.
const warmUp = time.Second

// runningLoad is a load while the session runs.
type runningLoad struct {
	*scenarios.Load
	client    *load.Client
	generator *load.Generator // nil once the load has ended
	meanRate  float64         // requests per second, once the load has ended
}

// clientConfig returns the configuration of a client that sends the requests of the i-th load. Each load has its own seed
// and key prefix, so that requests with the same number are told apart.
func (s *session) clientConfig(i int, address func(service string) string) load.Config {
	return load.Config{Load: s.e.Loads()[i], Env: s.run.secrets, KeyPrefix: s.keyPrefixOf(i), Seed: s.seedOf(i), Trust: s.system.Trust, Address: address, Kinds: s.run.o.loadKinds(), Knows: s.knows(s.run.secrets)}
}

// seedOf returns the seed of the i-th load.
func (s *session) seedOf(i int) uint64 {
	if i == 0 {
		return s.seed
	}
	return evidence.Hash(s.seed, uint64(i), "load")
}

// keyPrefixOf returns the prefix of the idempotency keys of the i-th load.
func (s *session) keyPrefixOf(i int) string {
	if i == 0 {
		return s.keyPrefix()
	}
	return load.FurtherPrefix(s.keyPrefix(), i)
}

// loadsOf returns the load with a name or, for "", all loads.
func (s *session) loadsOf(name string) []*runningLoad {
	return slices.DeleteFunc(slices.Clone(s.loads), func(r *runningLoad) bool { return name != "" && r.Name != name })
}

// running reports whether a load has not ended.
func (s *session) running() bool {
	return slices.ContainsFunc(s.loads, func(r *runningLoad) bool { return r.generator != nil })
}

// startLoad starts the load and measures the baseline. Only the first call has an effect.
func (s *session) startLoad() {
	if s.loadStarted || s.stopCause() != nil {
		return
	}
	s.loadStarted = true
	if s.e.Load == nil {
		s.aggregator.BeginBaseline(0)
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
	for i, l := range s.e.Loads() {
		r := &runningLoad{Load: l}
		cfg := s.clientConfig(i, s.system.ClientAddress)
		cfg.Started = func(n uint64, due time.Time) {
			s.aggregator.Started(l.Name, n, r.client.Route(n).Name(), s.run.journal.Since(due))
		}
		cfg.Ended = s.finished
		r.client = load.NewClient(s.withSystem(), cfg)
		s.loads = append(s.loads, r)
	}
	s.measureIdle()
	for _, r := range s.loads {
		r.generator = load.Start(s.ctx, r.Load, r.client, peakOf(s.e, r.Load))
	}
	if s.e.Counted() {
		s.aggregator.BeginBaseline(s.now())
		s.enterPhase("fault")
		return
	}
	if s.sleep(warmUp, nil) != nil {
		return
	}
	s.aggregator.BeginBaseline(s.now())
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
	if overdue, sent := s.aggregator.Overdue(s.now()); reason == "" && overdue*100 > sent {
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
	w := s.aggregator.Request(e, s.run.journal.Since(e.Due), s.run.journal.Since(e.End))
	s.recordOperations(e, w)
	if e.Key == "" || e.Unsent && e.Wire == 0 { // no row for a request that was never sent
		return
	}
	s.bodies.add(e.Key, e.Body)
	s.addRequest(*e.JournalRequest(s.run.journal.Since, w))
}

// addRequest adds a keyed request to those that are written together: as many as an event holds, or those of a
// second.
func (s *session) addRequest(r journal.Request) {
	s.unwritten.mu.Lock()
	s.unwritten.rows.Add(r)
	full := s.unwritten.rows.Full()
	s.unwritten.mu.Unlock()
	if full {
		s.flush(0)
	}
}

// unwritten holds the keyed requests that are not in the journal yet.
type unwritten struct {
	mu   sync.Mutex
	rows journal.RequestRows
}

// writeRequests writes the keyed requests that are not in the journal yet. The caller holds flushing.
func (s *session) writeRequests() {
	s.unwritten.mu.Lock()
	all := s.unwritten.rows
	s.unwritten.rows = journal.RequestRows{}
	s.unwritten.mu.Unlock()
	for rows := range all.Events() {
		s.record(journal.Event{RequestRows: rows})
	}
}

// endLoads ends the load with a name or, for "", all that run.
func (s *session) endLoads(name string) {
	var all sync.WaitGroup
	results := make([]*journal.Load, len(s.loads))
	for i, r := range s.loads {
		if r.generator == nil || name != "" && r.Name != name {
			continue
		}
		all.Go(func() {
			l := r.generator.End(func(n uint64, due time.Time) {
				s.aggregator.Unsent(r.Name, r.client.Copy(n), r.client.Route(n).Name(), s.run.journal.Since(due))
			})
			results[i] = &l
		})
	}
	all.Wait()
	s.flush(0)
	for i, l := range results {
		if l == nil {
			continue
		}
		s.loads[i].generator = nil
		s.loads[i].meanRate = float64(l.Sent) / max(l.Took.Seconds(), time.Millisecond.Seconds())
		s.record(journal.Event{Load: l})
	}
}

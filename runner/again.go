package runner

import (
	"context"
	"fmt"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// repetitions returns each experiment n times, one after the other, and the ID of the first one for each of the others. The
// first keeps its ID and its name; the seeds follow from the IDs.
func repetitions(es []*scenarios.Experiment, n int) (all []*scenarios.Experiment, of map[string]string) {
	of = map[string]string{}
	for _, e := range es {
		all = append(all, e)
		for i := 2; i <= n; i++ {
			again := renamed(e, fmt.Sprintf("repeat-%d", i), fmt.Sprintf("repetition %d of %d", i, n))
			all = append(all, again)
			of[again.ID] = e.ID
		}
	}
	return all, of
}

// renamed returns a copy of the experiment, with additions to its ID and its name.
func renamed(e *scenarios.Experiment, id, name string) *scenarios.Experiment {
	c := *e
	c.ID, c.Name = e.ID+"--"+id, fmt.Sprintf("%s (%s)", e.Name, name)
	return &c
}

// retries runs a scenario that failed again, at most Options.Retries times, until it passes: first with the same seed, and
// then with others. Each is a scenario of its own in the journal, so that no failure is lost.
func (r *runState) retries(ctx context.Context, e *scenarios.Experiment, s *session) {
	for n := 1; n <= r.o.Retries && ctx.Err() == nil && s != nil && s.outcome() == "failed"; n++ {
		t, name := try{number: 1, retryOf: e.ID}, fmt.Sprintf("retry %d, with a new seed", n)
		if n == 1 {
			t.seed, name = s.seed, "retry 1, with the same seed"
		}
		again := renamed(e, fmt.Sprintf("retry-%d", n), name)
		s = r.attempt(ctx, again, r.admission.queue(jobOf(again, &r.o)), t)
	}
}

// outcome returns the outcome of a session that has finished.
func (s *session) outcome() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.history.Book().Scenarios[0]
	h.End = s.end
	return check.ScenarioOutcome(h)
}

// late returns why a scenario must not start, since it would exceed Options.MaxDuration, or "".
func (r *runState) late(e *scenarios.Experiment) string {
	left := r.o.MaxDuration - r.journal.Now()
	if r.o.MaxDuration == 0 || e.Estimate() <= left {
		return ""
	}
	return fmt.Sprintf("%q was not started: it takes about %s, and %s of the longest duration of %s are left", e.Name, check.Duration(e.Estimate().Round(time.Second)), check.Duration(max(0, left.Round(time.Second))), check.Duration(r.o.MaxDuration))
}

// seedFor returns the seed of an attempt to run an experiment.
func (r *runState) seedFor(e *scenarios.Experiment, t try) uint64 {
	if t.seed != 0 {
		return t.seed
	}
	return evidence.Hash(r.seed, 0, e.ID)
}

// recordExpired makes a scenario fail whose quarantine has expired, so that it is mended, or given up, or has a reason
// for more time.
func (s *session) recordExpired() {
	q := s.e.Quarantine
	s.record(journal.Event{Verdict: &journal.Verdict{
		Check: "the quarantine of the scenario has not expired", Kind: "quarantine", Outcome: "failed", Observed: "its last day was " + q.Until,
		Reason: fmt.Sprintf("%s had until %s to mend it: remove the tag @quarantine, or name a later day in the system file", q.Owner, q.Until),
	}})
}

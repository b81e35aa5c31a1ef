package runner

import (
	"fmt"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// tick runs once a second. It records the current state, so that it is in the journal even if the run
// is killed, and checks the stop rules.
func (s *session) tick() {
	every := time.NewTicker(time.Second)
	defer every.Stop()
	done := s.ctx.Done()
	for {
		select {
		case <-s.quit:
			return
		case <-done: // heal at once, even if a user-defined step is blocking the scenario
			done = nil
			if err := s.healAll(s.liveInjections()); err != nil {
				s.fail(err)
			}
			continue
		case <-every.C:
		}
		s.foldDials()
		t := s.fold.tick(time.Second)
		s.mu.Lock()
		t.Phase = s.phase
		s.mu.Unlock()
		live := s.liveInjections()
		for i, in := range live {
			if i == 0 || journal.FaultID(in.ID) != journal.FaultID(live[i-1].ID) {
				t.Faults = append(t.Faults, in.sentence)
			}
			s.recordCounts(in)
		}
		s.record(journal.Event{Tick: &t})
		s.flush(s.now())
		s.checkStopRules()
	}
}

// flush writes the slices that ended before a time, and keyed requests. When it returns, those that a concurrent call
// was writing are in the history, too.
func (s *session) flush(before time.Duration) {
	s.flushing.Lock()
	defer s.flushing.Unlock()
	s.writeRequests()
	for _, e := range s.fold.flush(before) {
		s.record(e)
	}
}

// checkStopRules ends the scenario if a stop rule fires.
func (s *session) checkStopRules() {
	for _, rule := range s.e.Stop {
		if share, failing := s.breached(rule, s.now()); failing {
			err := fmt.Errorf("stopped: fewer than %v%% of requests succeeded for %v (%.1f%%)", 100*rule.Ratio, rule.For, 100*share)
			s.mu.Lock()
			if s.stopped == nil {
				s.stopped = err
			}
			s.mu.Unlock()
			s.cancel(err)
		}
	}
}

// breached reports whether the condition of a stop rule has held for its whole duration until now, and
// returns the share of requests that succeeded. If the runner itself was paused for more than a tenth
// of that time, it reports false, since no request ends while the runner does not run.
func (s *session) breached(rule scenarios.StopRule, now time.Duration) (share float64, failing bool) {
	s.fold.mu.Lock()
	began := s.fold.baseline
	s.fold.mu.Unlock()
	if now-rule.For < began || s.watchdog.paused(now-rule.For, now) > rule.For/10 {
		return 0, false
	}
	return s.fold.failing(now, rule.For, rule.Ratio)
}

package runner

import (
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// tick runs once a second. It records the current state, so that it is in the journal even if the run
// is killed. When the session is canceled, it heals at once.
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
		t.Stop = s.stopMeters()
		s.record(journal.Event{Tick: &t})
		s.flush(s.now())
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

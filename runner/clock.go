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
		s.countDials()
		t := s.aggregator.Tick(time.Second)
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
	for _, e := range s.aggregator.Flush(before) {
		s.record(e)
	}
}

// countDials counts the dials that failed since its last call. A caller whose dial fails has still made
// a call. countDials is called each second, and before a fault window begins or ends.
func (s *session) countDials() {
	if s.system == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.countedDials == nil {
		s.countedDials = map[string]int64{}
	}
	now := s.now()
	for name, l := range s.system.Links {
		o := l.Outage()
		n := o.Refused + o.Unreached
		s.aggregator.FailedDials(name, n-s.countedDials[name], s.dialsCountedAt, now)
		s.countedDials[name] = n
	}
	s.dialsCountedAt = now
}

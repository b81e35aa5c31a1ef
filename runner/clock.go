package runner

import (
	"fmt"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// tick tells the live picture each second, writes what is known by then, so that a run that is killed leaves it behind, and watches the stop rules.
func (s *session) tick() {
	every := time.NewTicker(time.Second)
	defer every.Stop()
	over := s.ctx.Done()
	for {
		select {
		case <-s.quit:
			return
		case <-over: // heal at once, though a step of the user's own may hold the drill
			over = nil
			if err := s.undo(s.lives()); err != nil {
				s.fail(err)
			}
			continue
		case <-every.C:
		}
		t := s.fold.tick(time.Second)
		s.mu.Lock()
		t.Phase = s.phase
		s.mu.Unlock()
		live := s.lives()
		for i, in := range live {
			if i == 0 || journal.Whole(in.ID) != journal.Whole(live[i-1].ID) {
				t.Faults = append(t.Faults, in.says)
			}
			s.counted(in)
		}
		s.tell(journal.Event{Tick: &t})
		s.flush(s.now())
		s.watch()
	}
}

func (s *session) flush(before time.Duration) {
	for _, e := range s.fold.flush(before) {
		s.tell(e)
	}
}

// watch ends the scenario when a stop rule says so.
func (s *session) watch() {
	for _, rule := range s.e.Stop {
		s.fold.mu.Lock()
		began := s.fold.baseline
		s.fold.mu.Unlock()
		from := s.now() - rule.For
		if from < began {
			continue
		}
		if ratio, ok := s.fold.success(from); ok && ratio < rule.Ratio {
			err := fmt.Errorf("stopped: fewer than %v%% of requests succeeded for %v (%.1f%%)", 100*rule.Ratio, rule.For, 100*ratio)
			s.mu.Lock()
			if s.stopped == nil {
				s.stopped = err
			}
			s.mu.Unlock()
			s.cancel(err)
		}
	}
}

package runner

import (
	"fmt"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// tick tells the live picture each second, flushes complete slices, and watches the stop rules.
func (s *session) tick() {
	every := time.NewTicker(time.Second)
	defer every.Stop()
	patience := 30 * time.Second
	if s.e.Load != nil {
		patience = newClient(s.ctx, s.e.Load, "", 0, nil, nil).patience() + 2*time.Second
	}
	for _, rule := range s.e.Stop {
		patience = max(patience, rule.For+2*time.Second) // it asks the fold
	}
	for {
		select {
		case <-s.quit:
			return
		case <-every.C:
		}
		t := s.fold.tick(time.Second)
		s.mu.Lock()
		t.Phase = s.phase
		for i, in := range s.live {
			if i == 0 || journal.Whole(in.ID) != journal.Whole(s.live[i-1].ID) {
				t.Faults = append(t.Faults, in.says)
			}
		}
		s.mu.Unlock()
		s.tell(journal.Event{Tick: &t})
		s.flush(s.now() - patience)
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

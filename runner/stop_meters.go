package runner

import "github.com/firedrill-dev/firedrill/scenarios/journal"

// watchStopMeters sets the conditions of the stop rules while they are watched.
func (s *session) watchStopMeters(conditions []stopCondition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopConditions = conditions
}

// stopMeters returns how near each stop rule is, while they are watched.
func (s *session) stopMeters() []journal.StopMeter {
	s.mu.Lock()
	conditions := s.stopConditions
	s.mu.Unlock()
	var all []journal.StopMeter
	for i, c := range conditions {
		m := journal.StopMeter{Rule: s.e.Stop[i].String(), For: s.e.Stop[i].For}
		if c.far != nil {
			m.Held, m.Now = c.far(s.now())
			m.Held = min(m.Held, m.For)
		}
		all = append(all, m)
	}
	return all
}

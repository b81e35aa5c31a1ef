package runner

import (
	"github.com/firedrill-dev/firedrill/runner/internal/load"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// recordOperations records a request that writes or reads a register, or that puts into a queue or takes from it.
func (s *session) recordOperations(e load.Result, w journal.Window) {
	register := s.e.RegisterOf(e.Route)
	if register == nil {
		return
	}
	var written *string
	if e.Route == register.Write {
		body := s.loadsOf(e.Load)[0].client.Body(e.N)
		written = &body
	}
	if register.Queue && written == nil {
		for _, o := range e.Takes(register.Name, s.run.journal.Since, w) {
			s.record(journal.Event{Operation: o})
		}
		return
	}
	for _, o := range e.Operations(register.Name, written, s.run.journal.Since, w) {
		s.record(journal.Event{Operation: o})
	}
}

package runner

import (
	"github.com/firedrill-dev/firedrill/runner/internal/load"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// recordOperations records a request that writes or reads a register, that puts into a queue or takes from it, or that is
// about an element of a set.
func (s *session) recordOperations(e load.Result, w journal.Window) {
	register := s.e.RegisterOf(e.Route)
	if register == nil {
		return
	}
	client, since := s.loadsOf(e.Load)[0].client, s.run.journal.Since
	var all []*journal.Operation
	switch {
	case register.Remove != "":
		value := map[string]string{register.Write: journal.InSet, register.Remove: journal.NotInSet}[e.Route]
		all = e.OnSet(register.Name, client.Element(e.N), value, since, w)
	case e.Route == register.Write:
		body := client.Body(e.N)
		all = e.Operations(register.Name, &body, since, w)
	case register.Queue:
		all = e.Takes(register.Name, since, w)
	default:
		all = e.Operations(register.Name, nil, since, w)
	}
	for _, o := range all {
		s.record(journal.Event{Operation: o})
	}
}

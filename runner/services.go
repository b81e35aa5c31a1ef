package runner

import (
	"fmt"

	"github.com/firedrill-dev/firedrill/injector/process"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// serviceChanged records a change in the life of a service. A service that exits unexpectedly after it
// was ready makes the scenario inconclusive. If it exits before that, starting it fails with an error.
func (s *session) serviceChanged(service string, e process.Event) {
	if e.What == process.Exited && e.Ready && process.LeaseEnded() == nil {
		s.halt(fmt.Errorf("service %q exited unexpectedly: %s", service, e.Detail))
	}
	s.record(journal.Event{At: s.run.journal.Since(e.At), Process: &journal.Process{Service: service, What: e.What, PID: e.PID, Detail: e.Detail, Log: e.Log}})
}

// reclaim stops the processes and removes the files of earlier runs that were killed. failures are
// recorded as notes: they matter only to a service that needs the same port or path, and such a
// service will fail to start.
func (r *runState) reclaim() {
	notes, err := process.Reclaim()
	if err != nil {
		notes = append(notes, err.Error())
	}
	for _, text := range notes {
		r.write(journal.Event{Note: &journal.Note{Text: text}})
	}
}

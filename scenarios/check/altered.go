package check

import (
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// alteredForClients returns the faults that changed the contents of requests of the load or of their answers, or made them
// up.
func alteredForClients(h *journal.History) (all []*journal.Injection) {
	for _, in := range h.Faults {
		if in.Alters && in.Affected > 0 && strings.HasPrefix(in.On, "clients -> ") {
			all = append(all, in)
		}
	}
	return all
}

// damaging returns the faults that changed the contents of requests of the load on their way, and how many of them.
func damaging(h *journal.History) (all []*journal.Injection, affected int64) {
	for _, in := range alteredForClients(h) {
		if in.Damages {
			all, affected = append(all, in), affected+in.Affected
		}
	}
	return all, affected
}

// liveIn returns the first of some faults that was live at some time between two moments, or nil.
func liveIn(faults []*journal.Injection, from, to time.Duration) *journal.Injection {
	for _, in := range faults {
		if in.LiveBetween(from, to) {
			return in
		}
	}
	return nil
}

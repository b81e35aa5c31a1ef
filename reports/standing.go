package reports

import (
	"fmt"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// standing is what a scenario counts for, beside its outcome.
type standing struct {
	Flaky       bool   // it failed, and passed when it was run again
	RetryOf     string // ID of the scenario that it was a retry of; "" if it was none
	Quarantined bool   // a failure does not fail the run
}

func standingOf(b *journal.Book, h *journal.History) standing {
	first := h
	for _, other := range b.Scenarios {
		if h.RetryOf != "" && other.ID == h.RetryOf {
			first = other
		}
	}
	return standing{Flaky: OutcomeOf(b, first) == "flaky", RetryOf: h.RetryOf, Quarantined: first.Quarantine != nil}
}

// badges returns the standing in a few words.
func (s standing) badges() (all []string) {
	if s.Flaky {
		all = append(all, "flaky")
	}
	if s.RetryOf != "" {
		all = append(all, "retry")
	}
	if s.Quarantined {
		all = append(all, "quarantine")
	}
	return all
}

// group is a part of the list of scenarios.
type group struct {
	Title, Note string // "" if the list has no other parts
	Scenarios   []*scenario
}

// groups divides scenarios, which are sorted, into those that did not pass, those that are flaky or in quarantine, and the
// others. Where nothing is flaky or in quarantine, all are one group.
func groups(all []*scenario) []group {
	parts := []group{
		{Title: "Did not pass"},
		{Title: "Flaky", Note: "failed, and passed when run again: the run fails, unless --allow-flaky was given"},
		{Title: "In quarantine", Note: "known to fail and to be mended by the named owner in time: a failure does not fail the run until then"},
		{Title: "Passed or skipped"},
	}
	special := false
	for _, s := range all {
		i := 3
		switch {
		case s.Standing.Quarantined:
			i, special = 2, true
		case s.Standing.Flaky:
			i, special = 1, true
		case s.Open():
			i = 0
		}
		parts[i].Scenarios = append(parts[i].Scenarios, s)
	}
	if !special {
		return []group{{Scenarios: all}}
	}
	var found []group
	for _, g := range parts {
		if len(g.Scenarios) > 0 {
			found = append(found, g)
		}
	}
	return found
}

// quarantineProperties describe the quarantine of a scenario for programs.
func quarantineProperties(h *journal.History) (all []property) {
	q := h.Quarantine
	if q == nil {
		return nil
	}
	all = []property{{"quarantine.owner", plain(q.Owner)}, {"quarantine.until", plain(q.Until)}}
	if q.Reason != "" {
		all = append(all, property{"quarantine.reason", plain(q.Reason)})
	}
	return all
}

// standingNote describes the standing of a scenario in a sentence for each fact.
func standingNote(b *journal.Book, h *journal.History) (all []string) {
	s := standingOf(b, h)
	if s.RetryOf != "" {
		all = append(all, fmt.Sprintf("a retry of %s, which failed", s.RetryOf))
	}
	if s.Flaky && s.RetryOf == "" {
		all = append(all, "flaky: it failed, and passed when it was run again")
	}
	if note := quarantineNote(h); note != "" {
		all = append(all, note)
	}
	return all
}

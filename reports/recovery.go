package reports

import (
	"cmp"
	"slices"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// recoveries returns the recovery from each fault of a scenario, none if no request was due outside of the faults: such a
// scenario, as with a counted load, has nothing to return to.
func recoveries(h *journal.History) []check.Recovery {
	if h.Total(journal.Before, "").Sent+h.Total(journal.Between, "").Sent+h.Total(journal.After, "").Sent == 0 {
		return nil
	}
	return check.Recoveries(h)
}

// Recovered describes the worst of the recoveries in a few words, or returns "–" if there is none. It returns "" if that is
// not known.
func (s *scenario) Recovered() string {
	if len(s.Recoveries) == 0 {
		return "–"
	}
	order := []string{check.Recovered, check.NotKnown, check.NotRecovered}
	worst := slices.MaxFunc(s.Recoveries, func(a, b check.Recovery) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Outcome), slices.Index(order, b.Outcome)), cmp.Compare(a.Took, b.Took))
	})
	switch worst.Outcome {
	case check.Recovered:
		return recoveredAfter(worst.Took)
	case check.NotKnown:
		return ""
	}
	return worst.Outcome
}

// Unrecovered reports whether the list has a scenario of which it is not known whether the system recovered.
func (v view) Unrecovered() bool {
	return slices.ContainsFunc(v.Scenarios, func(s *scenario) bool { return s.Recovered() == "" })
}

// recoveredAfter formats the time of a recovery, of which less than a tenth of a second was not measured.
func recoveredAfter(d time.Duration) string {
	if d < 100*time.Millisecond {
		return "at once"
	}
	return "after " + check.Duration(d)
}

package reports

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// fact is one condition of a valid scenario.
type fact struct{ Outcome, Label, Observed string }

// validityFacts judges the implied checks for which the journal has no verdict, as in an aborted run, and lists
// problems of the runner itself.
func validityFacts(h *journal.History) []fact {
	var all []fact
	ask := func(c check.Check, known bool) {
		judged := func(v journal.Verdict) bool { return v.Kind == check.KindOf(c) }
		if known && !slices.ContainsFunc(h.Verdicts, judged) {
			v := check.Ask(c, h)
			all = append(all, fact{v.Outcome.String(), c.String(), cmp.Or(v.Observed, v.Reason)})
		}
	}
	ask(check.LoadDelivered{}, h.Load != nil)
	ask(check.NotRepeated{}, h.Load != nil)
	ask(check.FaultsActed{}, len(h.Faults) > 0)
	ask(check.EffectsSettled{}, h.EffectsRead != nil)
	return append(all, runnerFacts(h)...)
}

// runnerFacts lists problems of the runner itself: its pauses, and requests that its load generator could not
// send.
func runnerFacts(h *journal.History) []fact {
	var all []fact
	if n := len(h.Pauses); n > 0 {
		long := slices.MaxFunc(h.Pauses, func(a, b journal.Pause) int { return cmp.Compare(a.Took, b.Took) })
		observed := fmt.Sprintf("for %s from %s", ms(long.Took), at(long.From))
		if n > 1 {
			observed = fmt.Sprintf("%d times, the longest %s", n, observed)
		}
		all = append(all, fact{"inconclusive", "the runner was paused", observed})
	}
	if h.Load == nil {
		return all
	}
	for _, why := range slices.Sorted(maps.Keys(h.Load.GeneratorErrors)) {
		all = append(all, fact{"inconclusive", "not sent by the load generator", fmt.Sprintf("%s requests: %s", check.Count(h.Load.GeneratorErrors[why]), why)})
	}
	return all
}

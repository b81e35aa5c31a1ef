package reports

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// fact is one measure of whether the result of a drill can be trusted.
type fact struct{ Outcome, Says, Observed string }

// trustFacts judges the implied checks for which the journal has no verdict, as in an aborted run, and lists
// problems of the runner itself.
func trustFacts(h *journal.History) []fact {
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
		observed := fmt.Sprintf("for %s from %s on", ms(long.Took), at(long.From))
		if n > 1 {
			observed = fmt.Sprintf("%d times, the longest %s", n, observed)
		}
		all = append(all, fact{"inconclusive", "the runner itself stood still", observed})
	}
	if h.Load == nil {
		return all
	}
	for _, why := range slices.Sorted(maps.Keys(h.Load.Own)) {
		all = append(all, fact{"inconclusive", "not sent by the load generator", fmt.Sprintf("%s requests: %s", check.Count(h.Load.Own[why]), why)})
	}
	return all
}

// maxAnomalies limits the size of the page; the journal has all anomalies.
const maxAnomalies = 100

// newLedger summarizes the keyed requests and lists the keys whose effects violate the rules. It returns nil if no
// request had a key.
func newLedger(h *journal.History) *ledger {
	if len(h.Requests) == 0 {
		return nil
	}
	l := &ledger{Keys: len(h.Requests), Effects: len(h.Effects), Read: h.EffectsRead}
	effects := map[string][]string{}
	for _, e := range h.Effects {
		effects[e.Key] = append(effects[e.Key], e.ID)
	}
	known := map[string]bool{}
	for _, r := range h.Requests {
		known[r.Key] = true
		n := len(effects[r.Key])
		switch {
		case r.Reads:
			l.Reads++
		case r.Outcome == "acknowledged":
			l.Acknowledged++
		case r.Outcome == "refused":
			l.Refused++
		default:
			l.Ambiguous++
		}
		switch {
		case n > 1:
			l.anomaly("applied twice", r.Key, effects[r.Key], attempts(r))
		case r.Reads || h.EffectsRead == nil || h.EffectsRead.Error != "":
		case n == 0 && r.Outcome == "acknowledged":
			l.anomaly("lost", r.Key, nil, attempts(r))
		case n == 1 && r.Outcome == "refused":
			l.anomaly("refused and applied", r.Key, effects[r.Key], attempts(r))
		}
	}
	for _, e := range h.Effects {
		if !known[e.Key] {
			known[e.Key] = true
			l.anomaly("without a request", e.Key, effects[e.Key], "")
		}
	}
	return l
}

func (l *ledger) anomaly(what, key string, effects []string, attempts string) {
	if len(l.Anomalies) == maxAnomalies {
		l.More++
		return
	}
	l.Anomalies = append(l.Anomalies, []string{what, key, strings.Join(effects, ", "), attempts})
}

func attempts(r journal.Request) string {
	var all []string
	for _, a := range r.Attempts {
		end := a.Error
		if a.Status != 0 {
			end = fmt.Sprint(a.Status)
		}
		all = append(all, fmt.Sprintf("%s %s after %s", at(a.At), end, ms(a.Took)))
	}
	return strings.Join(all, "; ")
}

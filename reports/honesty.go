package reports

import (
	"fmt"
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// fact is one measure of whether a drill can be trusted.
type fact struct{ Outcome, Says, Observed string }

// honesty measures what the implied checks have not judged, as in a run that was cut short.
func honesty(h *journal.History) []fact {
	var all []fact
	add := func(kind string, good bool, says, observed string, args ...any) {
		if kind != "" && slices.ContainsFunc(h.Verdicts, func(v journal.Verdict) bool { return v.Kind == kind }) {
			return // the implied check says it
		}
		o := "passed"
		if !good {
			o = "inconclusive"
		}
		all = append(all, fact{o, says, fmt.Sprintf(observed, args...)})
	}
	if l := h.Load; l != nil {
		add("load delivered", l.Unsent == 0 && l.Error == "", "load as intended", "%s of %s requests sent; 99%% at most %s late", check.Count(l.Sent), check.Count(l.Intended), ms(l.SlipP99))
		add("not repeated", l.Wire == l.Attempts, "no hidden repetitions", "%s attempts asked for, %s on the wire", check.Count(l.Attempts), check.Count(l.Wire))
	}
	if len(h.Faults) > 0 {
		acted, all := 0, h.Wholes()
		for _, in := range all {
			if in.Affected > 0 {
				acted++
			}
		}
		add("faults acted", acted == len(all), "faults acted", "%d of %d", acted, len(all))
	}
	if r := h.EffectsRead; r != nil {
		observed := fmt.Sprintf("%s from %s", check.Count(r.Count), r.Source)
		if r.Error != "" {
			observed = r.Error
		}
		add("", r.Error == "", "effects could be read", "%s", observed)
	}
	return all
}

// maxAnomalies bounds the page; the journal has all.
const maxAnomalies = 100

// newLedger sums the keyed requests up and lists the keys whose effects break the rules; nil where no request had a key.
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
		switch r.Outcome {
		case "acknowledged":
			l.Acknowledged++
		case "refused":
			l.Refused++
		default:
			l.Ambiguous++
		}
		switch {
		case n > 1:
			l.anomaly("applied twice", r.Key, effects[r.Key], attempts(r))
		case h.EffectsRead == nil || h.EffectsRead.Error != "":
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

package check

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// readsEffects reports whether a check is about the effects that a source lists.
func readsEffects(c Check) bool {
	_, settled := c.(EffectsSettled)
	return settled || c.Kind().Needs.Effects
}

// bySource judges each source of effects by itself. The check fails if it fails for one of them, and passes only if it
// passes for all. The verdict names the sources.
func bySource(c Check, h *journal.History) Verdict {
	var all Verdict
	var observed, reasons []string
	worst := Passed
	for i, one := range h.BySource() {
		v := c.Judge(one)
		source := "a source that was not read"
		if one.EffectsRead != nil {
			source = one.EffectsRead.Source
		}
		observed = append(observed, fmt.Sprintf("%s: %s", source, v.Observed))
		reason := fmt.Sprintf("%s: %s", source, cmp.Or(v.Doubt.String(), v.Reason))
		switch rank := [...]int{Passed: 0, Inconclusive: 1, Failed: 2}; {
		case v.Outcome > Failed:
			return v // reported by Ask
		case v.Outcome == Passed:
		case rank[v.Outcome] > rank[worst]:
			worst, reasons, all.Doubt = v.Outcome, []string{reason}, v.Doubt
		case v.Outcome == worst:
			reasons = append(reasons, reason)
		}
		for _, d := range v.Details {
			all.Details = append(all.Details, fmt.Sprintf("%s: %s", source, d))
		}
		if i == 0 {
			all.Expected, all.Window = v.Expected, v.Window
		}
		all.Evidence = append(all.Evidence, v.Evidence...)
	}
	all.Doubt = all.Doubt.Wrap("%s", strings.Join(reasons, "; "))
	all.Outcome, all.Observed, all.Reason = worst, strings.Join(observed, "; "), strings.Join(reasons, "; ")
	all.Details, all.Evidence = all.Details[:min(10, len(all.Details))], unique(all.Evidence)
	return all
}

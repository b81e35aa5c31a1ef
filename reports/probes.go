package reports

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// maxChanges is how many changes of the answers of a probe are listed.
const maxChanges = 10

// probeTable lists the probes: how often each was asked, and when its answer changed. For numbers it lists the range.
func probeTable(h *journal.History) (rows [][]string) {
	by := map[string][]journal.Observation{}
	var names []string
	for _, o := range h.Observations {
		if by[o.Probe] == nil {
			names = append(names, o.Probe)
		}
		by[o.Probe] = append(by[o.Probe], o)
	}
	for _, name := range names {
		all := by[name]
		rows = append(rows, []string{name, fmt.Sprintf("%s times, every %s", check.Count(len(all)), check.Duration(all[0].Every)), probeAnswers(all)})
	}
	return rows
}

// probeAnswers describes the answers of a probe.
func probeAnswers(all []journal.Observation) string {
	var parts []string
	number := false
	var least, most float64
	last := ""
	for _, o := range all {
		state := cmp.Or(o.Local, o.Unanswered, map[bool]string{true: "yes", false: "no"}[o.Yes])
		if o.Value != nil {
			if state = "a number"; !number || *o.Value < least {
				least = *o.Value
			}
			if !number || *o.Value > most {
				most = *o.Value
			}
			number = true
		}
		if state != last {
			last = state
			parts = append(parts, state+" from "+at(o.Asked))
		}
	}
	if n := len(parts); n > maxChanges {
		parts = append(parts[:maxChanges], fmt.Sprintf("and %d more changes", n-maxChanges))
	}
	text := strings.Join(parts, "; ")
	if number {
		text += fmt.Sprintf("; %s to %s", strconv.FormatFloat(least, 'f', -1, 64), strconv.FormatFloat(most, 'f', -1, 64))
	}
	return text
}

package reports

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Finding is something that has to change: a person noted it, or a scenario failed.
type Finding struct {
	journal.Finding
	N        int              // 1, 2, ... in order of time
	At       time.Duration    // since the run began
	By       string           // who noted it; "" if a scenario failed
	Scenario *journal.History // that failed, or that had begun last when it was noted; nil if none had
}

// severityOfFailure is the severity of a failed scenario whose card says none.
const severityOfFailure = "high"

// Findings returns the findings of a run. Their owners are those of the cards unless others were named.
func Findings(b *journal.Book) (all []Finding) {
	cards := cardsOf(b)
	add := func(h *journal.History, notes []journal.TimedNote) {
		for _, n := range notes {
			if n.Finding != nil {
				all = append(all, Finding{Finding: *n.Finding, At: n.At, By: n.By, Scenario: cmp.Or(h, begunBefore(b, n.At))})
			}
		}
	}
	add(nil, b.Notes)
	for _, h := range b.Scenarios {
		add(h, h.Notes)
		if what := failureOf(h); what != "" {
			c := cards[h.ID]
			all = append(all, Finding{Finding: journal.Finding{What: what, Severity: cmp.Or(c.Severity, severityOfFailure), Retest: c.Retest}, At: h.Ended, Scenario: h})
		}
	}
	slices.SortStableFunc(all, func(a, b Finding) int { return cmp.Compare(a.At, b.At) })
	for i := range all {
		f := &all[i]
		f.N = i + 1
		if f.Scenario != nil {
			f.Owner = cmp.Or(f.Owner, cards[f.Scenario.ID].Owner)
		}
	}
	return all
}

// scenarioName returns the name of the scenario of a finding, or "".
func (f Finding) scenarioName() string {
	if f.Scenario == nil {
		return ""
	}
	return f.Scenario.Name
}

// cardsOf returns the cards of a game day, by scenario.
func cardsOf(b *journal.Book) map[string]journal.Card {
	cards := map[string]journal.Card{}
	notes := b.Notes
	for _, h := range b.Scenarios {
		notes = slices.Concat(notes, h.Notes)
	}
	for _, n := range notes {
		if n.Day != nil {
			for _, c := range n.Day.Cards {
				cards[c.Scenario] = c
			}
		}
	}
	return cards
}

// begunBefore returns the scenario that had begun last at a time, or nil.
func begunBefore(b *journal.Book, at time.Duration) (last *journal.History) {
	for _, h := range b.Scenarios {
		if h.Began <= at {
			last = h
		}
	}
	return last
}

// failureOf describes how a scenario failed, or a stop rule ended it. It returns "" if neither happened.
func failureOf(h *journal.History) string {
	var failed []string
	for _, v := range FailedChecks(h) {
		failed = append(failed, v.Check+": "+cmp.Or(v.Observed, v.Reason))
	}
	switch {
	case len(failed) == 0 && h.End != nil && h.End.Code == codes.Stopped.String():
		return h.End.Reason
	case len(failed) == 0:
		return ""
	case len(failed) > 1:
		return fmt.Sprintf("%s (and %s)", failed[0], things(len(failed)-1, "further check"))
	}
	return failed[0]
}

// FailedChecks returns the checks of a scenario that failed. If faults were injected by hand, which makes other checks
// inconclusive, these are included if they would have failed.
func FailedChecks(h *journal.History) (all []journal.Verdict) {
	for _, v := range h.Verdicts {
		withFaultsByHand := v.Outcome == "inconclusive" && v.Code == codes.InjectedByHand.String() && v.Withheld == "failed"
		if !v.Finding && !isImplied(v) && (v.Outcome == "failed" || withFaultsByHand) {
			all = append(all, v)
		}
	}
	return all
}

// hypothesis returns whether the hypothesis of a card held.
func hypothesis(h *journal.History) string {
	switch {
	case failureOf(h) != "":
		return "did not hold"
	case outcome(h) == check.Passed.String():
		return "held"
	}
	return "not known"
}

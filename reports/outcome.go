package reports

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// ranks lists the outcomes from best to worst.
var ranks = []string{"skipped", "passed", "inconclusive", "flaky", "failed", "stopped", "interrupted"}

// countOutcomes describes how many scenarios had which outcome, worst first, and how many were not run.
func countOutcomes(b *journal.Book, paint func(outcome, text string) string) []string {
	counts, inQuarantine, found := map[string]int{}, 0, 0
	for _, h := range b.Scenarios {
		switch o := OutcomeOf(b, h); {
		case h.RetryOf != "":
		case quarantined(h, o):
			inQuarantine++
		default:
			counts[o]++
			if foundAsExpected(h) && o == "passed" {
				found++
			}
		}
	}
	var parts []string
	for _, o := range slices.Backward(ranks) {
		if n := counts[o]; n > 0 {
			parts = append(parts, paint(o, fmt.Sprintf("%d %s", n, o)))
		}
		if o == "passed" && found > 0 {
			parts[len(parts)-1] += fmt.Sprintf(" (%d of them a finding, as expected)", found)
		}
	}
	if inQuarantine > 0 {
		parts = append(parts, fmt.Sprintf("%d did not pass in quarantine", inQuarantine))
	}
	if len(parts) == 0 {
		parts = []string{"no scenario ran"}
	}
	if n := len(b.NotRun()); n > 0 {
		parts = append(parts, fmt.Sprintf("%d not run", n))
	}
	return parts
}

// foundAsExpected reports whether a scenario passed since a check failed that is known to fail.
func foundAsExpected(h *journal.History) bool {
	return outcome(h) == "passed" && slices.ContainsFunc(h.Verdicts, func(v journal.Verdict) bool { return v.Finding })
}

// skipped returns how many scenarios were skipped.
func skipped(b *journal.Book) (n int) {
	for _, h := range b.Scenarios {
		if outcome(h) == "skipped" {
			n++
		}
	}
	return n
}

// OutcomeOf returns the outcome of a scenario that is no retry, together with its retries: "flaky" if it failed, and then
// passed; otherwise the worst of all.
func OutcomeOf(b *journal.Book, h *journal.History) string {
	worst, passed := slices.Index(ranks, outcome(h)), false
	for _, retry := range b.Scenarios {
		if retry.RetryOf == h.ID {
			worst, passed = max(worst, slices.Index(ranks, outcome(retry))), passed || outcome(retry) == "passed"
		}
	}
	switch {
	case worst < 0: // a journal that was not written by this program
		return "inconclusive"
	case passed && ranks[worst] == "failed":
		return "flaky"
	}
	return ranks[worst]
}

// countRepetitions describes for each scenario that was repeated how often it had which outcome.
func countRepetitions(b *journal.Book) (lines []string) {
	counts := map[string]map[string]int{} // by ID, of a scenario together with its repetitions
	add := func(id, outcome string) {
		if counts[id] == nil {
			counts[id] = map[string]int{}
		}
		counts[id][outcome]++
	}
	for _, h := range b.Scenarios {
		if h.RetryOf != "" {
			continue
		}
		o := OutcomeOf(b, h)
		if add(h.ID, o); h.RepeatOf != h.ID {
			add(h.RepeatOf, o)
		}
	}
	for _, first := range b.Scenarios {
		var parts []string
		all := 0
		for _, o := range ranks {
			if n := counts[first.ID][o]; n > 0 {
				parts = append(parts, fmt.Sprintf("%d %s", n, o))
				all += n
			}
		}
		if all > 1 {
			lines = append(lines, fmt.Sprintf("%s: of %d repetitions %s", first.Name, all, strings.Join(parts, ", ")))
		}
	}
	return lines
}

// quarantined reports whether a scenario with an outcome does not count, because it is in quarantine.
func quarantined(h *journal.History, outcome string) bool {
	return h.Quarantine != nil && slices.Contains([]string{"failed", "flaky", "inconclusive"}, outcome)
}

// onlyQuarantine reports whether no scenario of a run counts, because all are in quarantine.
func onlyQuarantine(b *journal.Book) bool {
	counts := func(h *journal.History) bool { return h.RetryOf == "" && !quarantined(h, OutcomeOf(b, h)) }
	return len(b.Scenarios) > 0 && !slices.ContainsFunc(b.Scenarios, counts)
}

// quarantineNote describes the quarantine of a scenario, or returns "" if it has none.
func quarantineNote(h *journal.History) string {
	q := h.Quarantine
	if q == nil {
		return ""
	}
	note := fmt.Sprintf("in quarantine until %s, to be mended by %s: a failure does not fail the run", q.Until, q.Owner)
	if q.Reason != "" {
		note += " (" + q.Reason + ")"
	}
	return note
}

// notStarted returns how many scenarios were not started for lack of time.
func notStarted(b *journal.Book) int {
	if b.Run.MaxDuration == 0 {
		return 0
	}
	return len(b.NotRun())
}

// Outcome returns the worst outcome of the scenarios of a run; see OutcomeOf. A run without scenarios is inconclusive. So
// is a run that was aborted or in which a scenario was skipped, or not started for lack of time, unless another outcome is
// worse. The run can allow skipped and flaky scenarios. A scenario in quarantine does not count unless it passed or was
// stopped.
func Outcome(b *journal.Book) string {
	if b.End != nil && b.End.Outcome == "interrupted" {
		return "interrupted"
	}
	worst := -1
	for _, h := range b.Scenarios {
		if h.RetryOf != "" {
			continue
		}
		o := OutcomeOf(b, h)
		switch {
		case quarantined(h, o):
			continue
		case o == "flaky" && b.Run.AllowFlaky:
			o = "passed"
		}
		worst = max(worst, slices.Index(ranks, o))
	}
	if worst <= 0 || ranks[worst] == "passed" && (abortReason(b) != "" || notStarted(b) > 0 || skipped(b) > 0 && !b.Run.AllowSkipped) {
		return "inconclusive"
	}
	return ranks[worst]
}

// outcome returns the outcome of a scenario. A scenario that never ended is inconclusive, whatever its verdicts
// are.
func outcome(h *journal.History) string {
	if h.End == nil {
		return "inconclusive"
	}
	return check.ScenarioOutcome(h)
}

// unfinishedReason returns why a scenario did not pass, apart from its verdicts. aborted is the reason of abortReason.
// explained reports whether a verdict did not pass. It returns "" if there is nothing to add.
func unfinishedReason(aborted string, h *journal.History, explained bool) string {
	switch o := outcome(h); {
	case o == "passed" || o == "skipped":
		return ""
	case h.End == nil && aborted != "":
		return aborted
	case h.End == nil:
		return "the journal does not contain the end of the scenario"
	case h.End.Reason != "":
		return h.End.Reason
	case !explained:
		return "the scenario is " + o + ", and no check gives a reason"
	}
	return ""
}

// endsBy reports whether a verdict gives the reason for which its scenario ended, such as the time limit, so that it is
// shown once. end is the text of the end, which also says what was healed.
func endsBy(h *journal.History, v journal.Verdict, end string) bool {
	return v.Outcome == outcome(h) && v.Outcome != "passed" && v.Reason != "" && strings.HasPrefix(end, v.Reason)
}

// unjudgedReason returns why a run did not pass, apart from the reasons of its scenarios: it was aborted, some or all
// scenarios were skipped, or it has none. It returns "" for a run that passed.
func unjudgedReason(b *journal.Book) string { return unjudged(b).String() }

// unjudged is unjudgedReason with its code.
func unjudged(b *journal.Book) codes.Message {
	o := Outcome(b)
	if o == "passed" {
		return codes.Message{}
	}
	if reason := abortReason(b); reason != "" {
		return codes.Unfinished.Message(reason)
	}
	if n := notStarted(b); n > 0 {
		return codes.Unfinished.Msgf("%d of %d scenarios were not started, since they would have ended after the longest duration of %s: allow more time, or choose fewer", n, len(b.Run.Plan), check.Duration(b.Run.MaxDuration))
	}
	if n := skipped(b); n > 0 && n < len(b.Scenarios) {
		return codes.Skipped.Msgf("%d of %d scenarios were skipped, so the run is incomplete: install what they need, exclude them with --tags or --name, or accept the gap with --allow-skipped", n, len(b.Scenarios))
	}
	if ready(b) {
		return codes.Skipped.Message("this was a dry run: nothing would prevent the scenarios; nothing was injected, so nothing was judged")
	}
	if onlyQuarantine(b) {
		return codes.NoCheck.Message("the run is " + o + ": no scenario outside of quarantine was judged")
	}
	return codes.NoCheck.Message("the run is " + o + ": no scenario ran to its end")
}

// ready reports whether a run was a dry run in which nothing would prevent the scenarios.
func ready(b *journal.Book) bool {
	return b.Run.DryRun && len(b.Scenarios) > 0 && skipped(b) == len(b.Scenarios) && abortReason(b) == "" && notStarted(b) == 0
}

// abortReason says that the journal of a run has no end, and how far it goes, or returns "" if it is complete.
func abortReason(b *journal.Book) string {
	if b.End != nil && b.Broken == "" {
		return ""
	}
	var last time.Duration
	for _, h := range b.Scenarios {
		last = max(last, h.Ended)
	}
	text := fmt.Sprintf("the run was killed, or is not over: this report is limited to what its journal holds until +%.1fs", last.Seconds())
	if b.Broken != "" {
		text += " (" + b.Broken + ")"
	}
	return text
}

// rerunNote describes why a scenario was run again, or returns "" if it was not.
func rerunNote(h *journal.History) string {
	if h.RerunReason == "" {
		return ""
	}
	return fmt.Sprintf("run again alone (attempt %d), since it was inconclusive beside other scenarios: %s", h.Attempt, h.RerunReason)
}

// position returns the position of a verdict's step, or that of the scenario for an implied verdict.
func position(h *journal.History, v journal.Verdict) string {
	if v.Step != "" {
		return v.Step
	}
	if h.File == "" {
		return h.Name
	}
	return fmt.Sprintf("%s:%d", h.File, h.Line)
}

// isImplied reports whether a verdict is that of an implied check.
func isImplied(v journal.Verdict) bool {
	k, _ := check.KindNamed(v.Kind)
	return k.Implied
}

package reports

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

//go:embed page.html
var page string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"upper": strings.ToUpper, "icon": func(o string) string { return icons[o] }, "ms": ms, "at": at, "percent": percent, "shares": shares, "times": times,
	"join": func(s []string) string { return strings.Join(s, ", ") }, "count": func(n int64) string { return check.Count(n) }, "size": size,
}).Parse(page))

// view is the data of the page.
type view struct {
	Run       journal.Run
	Outcome   string
	Aborted   string
	NotRun    []journal.Planned
	Notes     []journal.TimedNote
	Took      time.Duration
	Counts    []string
	Rerun     string
	Why       []card
	Scenarios []scenario
}

// card describes a check that did not pass.
type card struct {
	N        int // 1, 2, ...
	Scenario *journal.History
	Verdict  journal.Verdict
	Position string // file:line
}

// scenario is a section of the page.
type scenario struct {
	*journal.History
	Outcome   string
	Finding   bool // it passed since a check failed that is known to fail
	RerunNote string
	Took      time.Duration
	Steps     []step
	Implied   []journal.Verdict // of the implied checks
	Charts    []chart
	Figures   []figures
	Errors    [][]string
	Overall   []figures // of all routes: before, during and after
	Validity  []fact    // beyond Implied
	Ledgers   []*ledger // one for each source of effects
	Messages  [][]string
	LinkRows  [][]string
	ProbeRows [][]string
	FirstCard int // number of its first card; 0 if it has none
}

// step is a line of the feature with its verdict, if it has one.
type step struct {
	journal.Step
	Verdict *journal.Verdict
}

// writeHTML writes the report for people: one self-contained file, readable without style sheets and scripts.
func writeHTML(w io.Writer, b *journal.Book) error {
	v := view{Run: b.Run, Outcome: Outcome(b), Aborted: abortReason(b), NotRun: b.NotRun(), Notes: b.Notes, Rerun: rerun(b)}
	v.Counts = countOutcomes(b, func(_, text string) string { return text })
	for i, h := range b.Scenarios {
		v.Took = max(v.Took, h.Ended)
		v.Scenarios = append(v.Scenarios, newScenario(h, i))
	}
	for i := range v.Scenarios { // worst first: failed checks before inconclusive ones
		v.addCards(&v.Scenarios[i], "failed")
	}
	for i := range v.Scenarios {
		v.addCards(&v.Scenarios[i], "inconclusive")
	}
	if reason := unjudgedReason(b); len(v.Why) == 0 && reason != "" {
		v.Why = []card{{N: 1, Verdict: journal.Verdict{Check: "the run is complete", Outcome: v.Outcome, Reason: reason}}}
	}
	return writeVisible(w, journal.Visible, func(w io.Writer) error { return pageTemplate.Execute(w, v) })
}

// addCards adds cards for the verdicts of a scenario that have the given outcome.
func (v *view) addCards(s *scenario, outcome string) {
	if s.Outcome == "skipped" {
		return
	}
	for _, verdict := range s.Verdicts {
		if verdict.Outcome == outcome {
			v.addCard(s, verdict)
		}
	}
	if outcome == "inconclusive" {
		if reason := unfinishedReason(v.Aborted, s.History, s.FirstCard > 0); reason != "" {
			v.addCard(s, journal.Verdict{Check: "the scenario runs to its end", Outcome: s.Outcome, Reason: reason})
		}
	}
}

func (v *view) addCard(s *scenario, verdict journal.Verdict) {
	v.Why = append(v.Why, card{len(v.Why) + 1, s.History, verdict, position(s.History, verdict)})
	if s.FirstCard == 0 {
		s.FirstCard = len(v.Why)
	}
}

// rerun returns the command that repeats the run.
func rerun(b *journal.Book) string {
	if len(b.Run.Command) == 0 {
		return ""
	}
	words := []string{"firedrill"}
	for i, word := range b.Run.Command[1:] {
		if strings.HasPrefix(word, "--seed") {
			continue
		}
		if i > 0 && b.Run.Command[i] == "--seed" {
			continue
		}
		if strings.ContainsAny(word, " \t\"'$&|;<>()*?@") {
			word = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
		words = append(words, word)
	}
	return strings.Join(append(words, fmt.Sprintf("--seed %d", b.Run.Seed)), " ")
}

func newScenario(h *journal.History, n int) scenario {
	s := scenario{History: h, Outcome: outcome(h), Finding: foundAsExpected(h), RerunNote: rerunNote(h), Took: h.Ended - h.Began, Figures: newFigures(h)}
	for _, w := range windows {
		s.Overall = append(s.Overall, figuresOf(h, w, ""))
	}
	verdicts := map[string][]journal.Verdict{}
	for _, v := range h.Verdicts {
		if isImplied(v) {
			s.Implied = append(s.Implied, v)
			continue
		}
		verdicts[v.Step] = append(verdicts[v.Step], v)
	}
	for _, line := range h.Steps {
		st := step{Step: line}
		if of := verdicts[line.At]; len(of) > 0 {
			st.Verdict = &of[0]
			verdicts[line.At] = of[1:]
		}
		s.Steps = append(s.Steps, st)
	}
	s.Charts = charts(h, fmt.Sprintf("c%d", n))
	s.Errors = errorTable(h)
	s.Messages = messageOutcomes(h)
	s.LinkRows = linkTable(h)
	s.ProbeRows = probeTable(h)
	s.Ledgers, s.Validity = newLedgers(h), validityFacts(h)
	return s
}

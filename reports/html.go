package reports

import (
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// The page is one file for each section, beside its style sheet and its script, which only adds to what can be read without it.
//
//go:embed page
var pageFiles embed.FS

var pageTemplate = template.Must(template.New("page.html").Funcs(template.FuncMap{
	"upper": strings.ToUpper, "icon": func(o string) string { return icons[o] }, "ms": ms, "at": at, "percent": percent, "shares": shares, "times": times,
	"join": func(s []string) string { return strings.Join(s, ", ") }, "count": func(n int64) string { return check.Count(n) }, "size": size,
	"things": things, "rules": rules, "affected": affected, "recoveredAfter": recoveredAfter, "badges": standing.badges,
	"style":  func() template.CSS { return template.CSS(pageFile("style.css")) }, //nolint:gosec // a constant
	"script": func() template.JS { return template.JS(pageFile("script.js")) },   //nolint:gosec // a constant
	"digest": scriptDigest,
}).ParseFS(pageFiles, "page/*.html"))

// scriptDigest returns the digest by which the policy of the page allows its script, and no other.
func scriptDigest() string {
	sum := sha256.Sum256([]byte(pageFile("script.js")))
	return base64.StdEncoding.EncodeToString(sum[:])
}

func pageFile(name string) string {
	content, err := pageFiles.ReadFile("page/" + name)
	if err != nil {
		panic(err) // it is embedded
	}
	return string(content)
}

// view is the data of the page.
type view struct {
	Run       journal.Run
	Outcome   string
	Aborted   string
	NotRun    []journal.Planned
	Notes     []journal.TimedNote
	Day       *gameDay // nil if it was none
	Took      time.Duration
	Counts    []string
	Rerun     string
	Why       []card
	Grid      []gridRow
	Scenarios []*scenario // the worst first
	Groups    []group     // of Scenarios
	Systems   []*topology
	Against   *Against          // the earlier run that this one is compared with; nil if there is none
	Changes   []changedScenario // from the earlier run, what needs attention first
	Keys      []swatch          // of all legends, each once
	Shared    *shared           // drawings of several charts
}

// Listed returns how many scenarios the list has, those included that were not run.
func (v view) Listed() int { return len(v.Scenarios) + len(v.NotRun) }

// scenario is a section of the page.
type scenario struct {
	*journal.History
	Earlier    *journal.History // the same scenario in the run that this one is compared with; nil if there is none
	Slug       string           // "c3": a short id within the page
	Outcome    string
	Finding    bool // it passed since a check failed that is known to fail
	RerunNote  string
	Took       time.Duration
	Steps      []step
	Implied    []journal.Verdict // of the implied checks
	Moments    []moment          // the worst moments, which the charts mark
	From, To   float64           // the ends of the time axis of the charts, in seconds
	Charts     []chart
	Table      chartTable // the figures of the charts
	Figures    []figures
	Recoveries []check.Recovery
	Errors     [][]string
	Overall    []figures // of all routes: before, during and after
	Validity   []fact    // beyond Implied
	Ledgers    []*ledger // one for each source of effects
	Messages   [][]string
	LinkRows   [][]string
	ProbeRows  [][]string

	ProcessLines []string

	FirstCard int // number of its first card; 0 if it has none

	Standing standing
	Notices  []string // what Standing means
}

// Open reports whether the section is open when the page is opened.
func (s *scenario) Open() bool { return s.Outcome != "passed" && s.Outcome != "skipped" }

// step is a line of the feature with its verdict, if it has one.
type step struct {
	journal.Step
	Verdict *journal.Verdict
}

// gridRow is a kind of fault with the scenarios that injected it, the worst first.
type gridRow struct {
	Kind      string
	Scenarios []*scenario
}

// writeHTML writes the report for people: one self-contained file, readable without style sheets and scripts.
func writeHTML(w io.Writer, b *journal.Book) error { return writePage(w, b, nil) }

// writePage writes the report for people, compared with an earlier run unless that is nil.
func writePage(w io.Writer, b *journal.Book, against *Against) error {
	v := view{Run: b.Run, Outcome: Outcome(b), Aborted: abortReason(b), NotRun: b.NotRun(), Notes: b.Notes, Day: newGameDay(b), Rerun: rerun(b), Against: against, Shared: &shared{}}
	v.Counts = countOutcomes(b, func(_, text string) string { return text })
	for i, h := range b.Scenarios {
		v.Took = max(v.Took, h.Ended)
		s := newScenario(h.Remembering(), i, against.find(h.ID))
		s.Standing, s.Notices = standingOf(b, h), standingNote(b, h)
		v.Scenarios = append(v.Scenarios, s)
	}
	v.Why = cards(v.Aborted, v.Scenarios)
	if reason := unjudgedReason(b); len(v.Why) == 0 && reason != "" {
		v.Why = []card{incompleteRun(v.Outcome, reason)}
	}
	for _, s := range v.Scenarios { // after the cards, whose moments they mark
		s.Charts = charts(s.History, s.Slug, s.Moments, s.Earlier, v.Shared)
		a := newAxis(s.History)
		s.From, s.To = a.from.Seconds(), a.to.Seconds()
	}
	slices.SortStableFunc(v.Scenarios, func(a, b *scenario) int { return worseFirst(a.Outcome, b.Outcome) })
	v.Groups = groups(v.Scenarios)
	v.Changes = against.changes(v.Scenarios)
	v.Grid = newGrid(v.Scenarios)
	v.Systems = newTopologies(b.Scenarios)
	v.Keys = shareKeys(v.Scenarios)
	return writeVisible(w, func(page string) string { return journal.Visible(lighten(page)) }, func(w io.Writer) error { return pageTemplate.Execute(w, v) })
}

// incompleteRun returns the card of a run that is not passed although no scenario has a card.
func incompleteRun(outcome, text string) card {
	v := journal.Verdict{Check: "the run is complete", Outcome: outcome, Reason: text}
	return card{N: 1, Outcome: outcome, Places: []*place{{Verdicts: []reason{{v, "", ""}}}}}
}

// worseFirst orders outcomes: what needs attention first, then what passed, then what was skipped.
func worseFirst(a, b string) int {
	return cmp.Compare(slices.Index(ranks, b), slices.Index(ranks, a))
}

// shareKeys numbers what legends show, so that each is drawn once.
func shareKeys(all []*scenario) (keys []swatch) {
	for _, s := range all {
		for _, c := range s.Charts {
			for i := range c.Legend {
				k := &c.Legend[i]
				same := func(other swatch) bool { return other.Colour == k.Colour && other.Dash == k.Dash && other.Box == k.Box }
				n := slices.IndexFunc(keys, same)
				if n < 0 {
					n = len(keys)
					keys = append(keys, swatch{Key: n + 1, Colour: k.Colour, Dash: k.Dash, Box: k.Box})
				}
				k.Key = n + 1
			}
		}
	}
	return keys
}

// newGrid lists the kinds of faults with their scenarios, by name.
func newGrid(all []*scenario) []gridRow {
	by := map[string][]*scenario{}
	for _, s := range all {
		for _, in := range s.CombinedFaults() {
			if of := by[in.Kind]; len(of) == 0 || of[len(of)-1] != s {
				by[in.Kind] = append(of, s)
			}
		}
	}
	var rows []gridRow
	for kind, of := range by {
		rows = append(rows, gridRow{kind, of})
	}
	slices.SortFunc(rows, func(a, b gridRow) int {
		return cmp.Or(worseFirst(a.Scenarios[0].Outcome, b.Scenarios[0].Outcome), strings.Compare(a.Kind, b.Kind))
	})
	return rows
}

// rerun returns the command that repeats the run: of a Go test, in the folder of its package.
func rerun(b *journal.Book) string {
	if len(b.Run.Command) == 0 {
		return ""
	}
	if ofTest := func(word string) bool { return strings.HasPrefix(word, "-test.") }; slices.ContainsFunc(b.Run.Command, ofTest) {
		words := fmt.Sprintf("FIREDRILL_SEED=%d go test -count=1", b.Run.Seed)
		for _, word := range b.Run.Command {
			if run, ok := strings.CutPrefix(word, "-test.run="); ok {
				words += " -run " + journal.ShellWord(run)
			}
		}
		return words
	}
	words := []string{"firedrill"}
	for i, word := range b.Run.Command[1:] {
		if strings.HasPrefix(word, "--seed") {
			continue
		}
		if i > 0 && b.Run.Command[i] == "--seed" {
			continue
		}
		words = append(words, journal.ShellWord(word))
	}
	return strings.Join(append(words, fmt.Sprintf("--seed %d", b.Run.Seed)), " ")
}

func newScenario(h *journal.History, n int, earlier *journal.History) *scenario {
	s := &scenario{History: h, Earlier: earlier, Slug: fmt.Sprintf("s%d", n+1), Outcome: outcome(h), Finding: foundAsExpected(h), RerunNote: rerunNote(h), Took: h.Ended - h.Began, Figures: newFigures(h)}
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
	s.Table = newChartTable(h, earlier)
	s.Errors = errorTable(h)
	s.Recoveries = recoveries(h)
	s.Messages = messageOutcomes(h)
	s.LinkRows = linkTable(h)
	s.ProbeRows = probeTable(h)
	s.ProcessLines = processLines(h)
	s.Ledgers, s.Validity = newLedgers(h), validityFacts(h)
	return s
}

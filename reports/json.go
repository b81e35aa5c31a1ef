package reports

import (
	"encoding/json"
	"io"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// document is the content of report.json. Durations are in nanoseconds. Schema describes it for other programs.
type document struct {
	Schema    int                `json:"schema"`
	Run       journal.Run        `json:"run"`
	Outcome   string             `json:"outcome"`
	Reason    string             `json:"reason,omitempty"`  // why the run did not pass, apart from its scenarios
	Code      string             `json:"code,omitempty"`    // of the reason, see package codes
	Aborted   string             `json:"aborted,omitempty"` // why the journal of the run has no end: it was killed, or is not over
	Scenarios []documentScenario `json:"scenarios"`

	NotRun   []journal.Planned `json:"not_run,omitempty"`  // planned scenarios that never began
	Findings []documentFinding `json:"findings,omitempty"` // of a run in which people took part
}

// documentFinding is a finding, with the ID of its scenario.
type documentFinding struct {
	Number int `json:"number"` // 1, 2, ... in order of time: that of gameday export --finding
	journal.Finding
	At       time.Duration `json:"at"`           // since the run began
	By       string        `json:"by,omitempty"` // who noted it; left out if a scenario failed
	Scenario string        `json:"scenario,omitempty"`
}

func newDocumentFinding(f Finding) documentFinding {
	d := documentFinding{Number: f.N, Finding: f.Finding, At: f.At, By: f.By}
	if f.Scenario != nil {
		d.Scenario = f.Scenario.ID
	}
	return d
}

// documentScenario is one scenario of a document.
type documentScenario struct {
	ID          string               `json:"id"`
	Name        string               `json:"name"`
	File        string               `json:"file,omitempty"`
	Line        int                  `json:"line,omitempty"`
	Tags        []string             `json:"tags,omitempty"`
	Outcome     string               `json:"outcome"`
	Reason      string               `json:"reason,omitempty"`
	Code        string               `json:"code,omitempty"`         // of the reason, see package codes
	Attempt     int                  `json:"attempt,omitempty"`      // 1, or 2 if it was run again alone
	RerunReason string               `json:"rerun_reason,omitempty"` // the reason for running it again
	RetryOf     string               `json:"retry_of,omitempty"`     // ID of the scenario that failed, and was run again as this one
	RepeatOf    string               `json:"repeat_of,omitempty"`    // ID of the scenario that this one repeats
	Flaky       bool                 `json:"flaky,omitempty"`        // it failed, and passed when it was run again, or is such a retry
	Quarantine  *journal.Quarantine  `json:"quarantine,omitempty"`   // its failure does not fail the run
	Took        time.Duration        `json:"took"`
	Verdicts    []documentVerdict    `json:"verdicts"`
	Faults      []*journal.Injection `json:"faults,omitempty"`
	Tasks       []journal.Task       `json:"tasks,omitempty"` // what steps asked and ran
	Links       []journal.Traffic    `json:"links,omitempty"`
	Load        *journal.Load        `json:"load,omitempty"`   // of all loads together
	Loads       []journal.Load       `json:"loads,omitempty"`  // by themselves, if they have names
	Pauses      []journal.Pause      `json:"pauses,omitempty"` // pauses of the runner itself
	Windows     []figures            `json:"windows,omitempty"`
	Recoveries  []check.Recovery     `json:"recoveries,omitempty"` // one for each fault
}

// documentVerdict is a verdict with the position of its step.
type documentVerdict struct {
	journal.Verdict
	At      string `json:"at"`
	Implied bool   `json:"implied,omitempty"`
}

// figures summarizes a window and a load or a route; if both are empty, all requests.
type figures struct {
	Window   journal.Window `json:"window"`
	Load     string         `json:"load,omitempty"`
	Route    string         `json:"route,omitempty"`
	Sent     int            `json:"sent"`
	Good     int            `json:"good"`                // successes by the scenario's definition
	InFlight int            `json:"in_flight,omitempty"` // in flight when the fault was healed, and not included elsewhere; see journal.History.Total
	P50      time.Duration  `json:"p50"`
	P95      time.Duration  `json:"p95"`
	P99      time.Duration  `json:"p99"`
	Max      time.Duration  `json:"max"`

	Intervals intervals `json:"intervals"`
}

// intervals holds the lower and upper ends of the 95% confidence intervals of figures, for requests that are independent
// of each other. Where too few requests are slower than a percentile, its upper end is the slowest request.
type intervals struct {
	Good [2]float64       `json:"good"` // as a share of those sent
	P50  [2]time.Duration `json:"p50"`
	P95  [2]time.Duration `json:"p95"`
	P99  [2]time.Duration `json:"p99"`
}

func intervalsOf(t journal.Totals, good int) (i intervals) {
	i.Good[0], i.Good[1] = check.RatioInterval(good, t.Sent)
	for percentile, ends := range map[float64]*[2]time.Duration{50: &i.P50, 95: &i.P95, 99: &i.P99} {
		ends[0], ends[1], _ = check.QuantileInterval(t.Latency, percentile)
	}
	return i
}

// writeJSON writes report.json.
func writeJSON(w io.Writer, b *journal.Book) error {
	doc := document{Schema: SchemaVersion, Run: b.Run, Outcome: Outcome(b), Aborted: abortReason(b), Scenarios: []documentScenario{}, NotRun: b.NotRun()}
	if why := unjudged(b); !why.None() && (len(causes(b)) == 0 || abortReason(b) != "") {
		doc.Reason, doc.Code = why.String(), why.Code().String()
	}
	for _, h := range b.Scenarios {
		s := documentScenario{
			ID: h.ID, Name: h.Name, File: h.File, Line: h.Line, Tags: h.Tags, Outcome: outcome(h), Attempt: h.Attempt, RerunReason: h.RerunReason, Took: h.Ended - h.Began,
			Verdicts: []documentVerdict{}, Faults: h.Faults, Tasks: h.Tasks, Links: h.Traffic, Load: h.Load, Pauses: h.Pauses, Windows: newFigures(h), Recoveries: recoveries(h),
		}
		s.RetryOf, s.RepeatOf, s.Flaky, s.Quarantine = h.RetryOf, h.RepeatOf, standingOf(b, h).Flaky, h.Quarantine
		if len(h.LoadNames) > 0 {
			s.Loads = h.Loads
		}
		if h.End != nil {
			s.Reason, s.Code = h.End.Reason, h.End.Code
		} else {
			s.Code = codes.Unfinished.String()
		}
		for _, v := range h.Verdicts {
			s.Verdicts = append(s.Verdicts, documentVerdict{v, position(h, v), isImplied(v)})
		}
		doc.Scenarios = append(doc.Scenarios, s)
	}
	if day := newGameDay(b); day != nil {
		for _, f := range day.Findings {
			doc.Findings = append(doc.Findings, newDocumentFinding(f))
		}
	}
	return writeVisible(w, journal.VisibleJSON, func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(doc)
	})
}

// newFigures summarizes each window for all requests, for each load with a name, and for each route if there are several.
func newFigures(h *journal.History) []figures {
	names := append([]string{""}, routes(h)...)
	if len(names) == 2 {
		names = names[1:]
	}
	var all []figures
	for _, name := range h.LoadNames {
		for _, w := range allWindows {
			if f := figuresOf(h.OfLoad(name), w, ""); f.Sent+f.InFlight > 0 {
				f.Load = name
				all = append(all, f)
			}
		}
	}
	for _, route := range names {
		for _, w := range allWindows {
			if f := figuresOf(h, w, route); f.Sent+f.InFlight > 0 {
				all = append(all, f)
			}
		}
	}
	return all
}

// windows are those that people compare. allWindows has all but the warm-up; requests in flight at healing are included
// in During.
var (
	windows    = []journal.Window{journal.Before, journal.During, journal.After}
	allWindows = []journal.Window{journal.Before, journal.AtInjection, journal.During, journal.Between, journal.After}
)

func figuresOf(h *journal.History, w journal.Window, route string) figures {
	t := h.Total(w, route)
	q := func(p float64) time.Duration { return journal.Quantile(t.Latency, p) }
	return figures{w, "", route, t.Sent, h.Good(t), t.InFlight, q(50), q(95), q(99), q(100), intervalsOf(t, h.Good(t))}
}

func routes(h *journal.History) []string {
	var names []string
	seen := map[string]bool{}
	for _, s := range h.Samples {
		if !seen[s.Route] {
			seen[s.Route] = true
			names = append(names, s.Route)
		}
	}
	return names
}

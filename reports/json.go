package reports

import (
	"encoding/json"
	"io"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Document is the content of report.json. Durations are in nanoseconds.
type Document struct {
	Schema    int        `json:"schema"`
	Run       any        `json:"run"`
	Outcome   string     `json:"outcome"`
	CutShort  string     `json:"cut_short,omitempty"`
	Scenarios []Scenario `json:"scenarios"`

	NotRun []journal.Planned `json:"not_run,omitempty"` // planned scenarios that never began
}

// Scenario is one scenario in report.json.
type Scenario struct {
	ID       string               `json:"id"`
	Name     string               `json:"name"`
	File     string               `json:"file,omitempty"`
	Line     int                  `json:"line,omitempty"`
	Tags     []string             `json:"tags,omitempty"`
	Outcome  string               `json:"outcome"`
	Reason   string               `json:"reason,omitempty"`
	Attempt  int                  `json:"attempt,omitempty"` // 1, or 2 if it was run again alone
	Why      string               `json:"why,omitempty"`     // the reason for running it again
	Took     time.Duration        `json:"took"`
	Verdicts []Judged             `json:"verdicts"`
	Faults   []*journal.Injection `json:"faults,omitempty"`
	Links    []journal.Traffic    `json:"links,omitempty"`
	Load     *journal.Load        `json:"load,omitempty"`
	Pauses   []journal.Pause      `json:"pauses,omitempty"` // pauses of the runner itself
	Windows  []Figures            `json:"windows,omitempty"`
}

// Judged is a verdict with the position of its step.
type Judged struct {
	journal.Verdict
	At      string `json:"at"`
	Implied bool   `json:"implied,omitempty"`
}

// Figures summarizes a window and a route; an empty route means all routes.
type Figures struct {
	Window journal.Window `json:"window"`
	Route  string         `json:"route,omitempty"`
	Sent   int            `json:"sent"`
	Good   int            `json:"good"`            // successes by the scenario's definition
	Apart  int            `json:"apart,omitempty"` // in flight when the fault was healed, and not included elsewhere; see journal.History.Total
	P50    time.Duration  `json:"p50"`
	P95    time.Duration  `json:"p95"`
	P99    time.Duration  `json:"p99"`
	Max    time.Duration  `json:"max"`
}

// JSON writes report.json.
func JSON(w io.Writer, b *journal.Book) error {
	doc := Document{Schema: 1, Run: b.Run, Outcome: Outcome(b), CutShort: abortReason(b), Scenarios: []Scenario{}, NotRun: b.NotRun()}
	for _, h := range b.Scenarios {
		s := Scenario{
			ID: h.ID, Name: h.Name, File: h.File, Line: h.Line, Tags: h.Tags, Outcome: outcome(h), Attempt: h.Attempt, Why: h.Why, Took: h.Ended - h.Began,
			Verdicts: []Judged{}, Faults: h.Faults, Links: h.Traffic, Load: h.Load, Pauses: h.Pauses, Windows: figures(h),
		}
		if h.End != nil {
			s.Reason = h.End.Reason
		}
		for _, v := range h.Verdicts {
			s.Verdicts = append(s.Verdicts, Judged{v, position(h, v), isImplied(v)})
		}
		doc.Scenarios = append(doc.Scenarios, s)
	}
	return writeVisible(w, journal.VisibleJSON, func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(doc)
	})
}

// figures summarizes each window for all routes and, if there are several, for each route.
func figures(h *journal.History) []Figures {
	names := append([]string{""}, routes(h)...)
	if len(names) == 2 {
		names = names[1:]
	}
	var all []Figures
	for _, route := range names {
		for _, w := range allWindows {
			if f := figuresOf(h, w, route); f.Sent+f.Apart > 0 {
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

func figuresOf(h *journal.History, w journal.Window, route string) Figures {
	t := h.Total(w, route)
	q := func(p float64) time.Duration { return journal.Quantile(t.Latency, p) }
	return Figures{w, route, t.Sent, h.Good(t), t.Apart, q(50), q(95), q(99), q(100)}
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

package reports

import (
	"encoding/json"
	"io"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Document is report.json. Durations are nanoseconds.
type Document struct {
	Schema    int        `json:"schema"`
	Run       any        `json:"run"`
	Outcome   string     `json:"outcome"`
	CutShort  string     `json:"cut_short,omitempty"`
	Scenarios []Scenario `json:"scenarios"`
}

// Scenario is one scenario of report.json.
type Scenario struct {
	ID       string               `json:"id"`
	Name     string               `json:"name"`
	File     string               `json:"file,omitempty"`
	Line     int                  `json:"line,omitempty"`
	Tags     []string             `json:"tags,omitempty"`
	Outcome  string               `json:"outcome"`
	Reason   string               `json:"reason,omitempty"`
	Took     time.Duration        `json:"took"`
	Verdicts []Judged             `json:"verdicts"`
	Faults   []*journal.Injection `json:"faults,omitempty"`
	Links    []journal.Traffic    `json:"links,omitempty"`
	Load     *journal.Load        `json:"load,omitempty"`
	Windows  []Figures            `json:"windows,omitempty"`
}

// Judged is a verdict with its place.
type Judged struct {
	journal.Verdict
	At      string `json:"at"`
	Implied bool   `json:"implied,omitempty"`
}

// Figures sums a window and a route up; the empty route is all of them.
type Figures struct {
	Window journal.Window `json:"window"`
	Route  string         `json:"route,omitempty"`
	Sent   int            `json:"sent"`
	Good   int            `json:"good"`
	P50    time.Duration  `json:"p50"`
	P95    time.Duration  `json:"p95"`
	P99    time.Duration  `json:"p99"`
	Max    time.Duration  `json:"max"`
}

// JSON writes report.json.
func JSON(w io.Writer, b *journal.Book) error {
	doc := Document{Schema: 1, Run: b.Run, Outcome: Outcome(b), CutShort: cutShort(b), Scenarios: []Scenario{}}
	for _, h := range b.Scenarios {
		s := Scenario{ID: h.ID, Name: h.Name, File: h.File, Line: h.Line, Tags: h.Tags, Outcome: outcome(h), Took: h.Ended - h.Began, Verdicts: []Judged{}, Faults: h.Faults, Links: h.Traffic, Load: h.Load, Windows: figures(h)}
		if h.End != nil {
			s.Reason = h.End.Reason
		}
		for _, v := range h.Verdicts {
			s.Verdicts = append(s.Verdicts, Judged{v, place(h, v), implied(v)})
		}
		doc.Scenarios = append(doc.Scenarios, s)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(doc)
}

// figures sums each window up, for all routes and, where there are several, for each.
func figures(h *journal.History) []Figures {
	names := append([]string{""}, routes(h)...)
	if len(names) == 2 {
		names = names[1:]
	}
	var all []Figures
	for _, route := range names {
		for _, w := range windows {
			if f := figuresOf(h, w, route); f.Sent > 0 {
				all = append(all, f)
			}
		}
	}
	return all
}

var windows = []journal.Window{journal.Before, journal.During, journal.After}

func figuresOf(h *journal.History, w journal.Window, route string) Figures {
	t := h.Total(w, route)
	q := func(p float64) time.Duration { return journal.Quantile(t.Latency, p) }
	return Figures{w, route, t.Sent, t.OK + t.Fallback, q(50), q(95), q(99), q(100)}
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

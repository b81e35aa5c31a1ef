package reports

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Against is an earlier run that a page is compared with. Package history makes it, since it knows what is comparable and
// what is usual.
type Against struct {
	ID, Outcome string
	Began       time.Time
	Summary     string        // "1 new failure, 27 passing"
	Differs     []string      // why the runs cannot be compared at all; Changes is empty then
	Changes     []Change      // one for each scenario
	Book        *journal.Book // the earlier run, whose curves are drawn into the charts of comparable scenarios
}

// Change is what changed in a scenario, in words.
type Change struct {
	ID, Name    string   // of the scenario
	State       string   // "new failure", "fixed", ...
	Outcome     string   // as which outcome the state is painted
	Before, Now string   // outcomes; "" if the run has no such scenario
	Comparable  bool     // the same was tested in both runs
	Notes       []string // why it is not comparable, or what happened in other runs
	Checks      []string // that changed or did not pass: "new failure: at least 95% of requests succeed – 90%"
	Figures     []ChangedFigure
}

// ChangedFigure is a figure of both runs, in words.
type ChangedFigure struct {
	Name, Before, Now string
	Usual             string // "9.1ms to 13.1ms, median 11.1ms of 6 runs"; "" if that is not known
	Mark              string // "better", "worse" or "as usual"; "" if that is not known
	Shown             bool   // it is worth a line beside the scenario
}

// PageAgainst returns the format of the page of a run, compared with an earlier one.
func PageAgainst(against *Against) Format {
	formats := Formats()
	page := formats[slices.IndexFunc(formats, func(f Format) bool { return f.Name == "html" })]
	page.Write = func(w io.Writer, b *journal.Book) error { return writePage(w, b, against) }
	return page
}

// find returns the scenario of the earlier run whose curves are drawn into the charts of a scenario, or nil if there is none
// that is comparable.
func (a *Against) find(id string) *journal.History {
	if a == nil || !slices.ContainsFunc(a.Changes, func(c Change) bool { return c.ID == id && c.Comparable }) {
		return nil
	}
	for _, h := range a.Book.Scenarios {
		if h.ID == id {
			return h.Remembering()
		}
	}
	return nil
}

// changedScenario is a Change with its section of the page.
type changedScenario struct {
	Change
	Slug string // "" if the page has no such section
}

// changes links the changes to the sections of the page, and puts what needs attention first.
func (a *Against) changes(sections []*scenario) (all []changedScenario) {
	if a == nil {
		return nil
	}
	for _, c := range a.Changes {
		one := changedScenario{Change: c}
		for _, s := range sections {
			if s.ID == c.ID {
				one.Slug = s.Slug
			}
		}
		all = append(all, one)
	}
	slices.SortStableFunc(all, func(a, b changedScenario) int {
		return cmp.Or(worseFirst(a.Outcome, b.Outcome), cmp.Compare(b.worse(), a.worse()))
	})
	return all
}

// worse returns how many figures are worse than usual.
func (c Change) worse() (n int) {
	for _, f := range c.Figures {
		if f.Mark == "worse" {
			n++
		}
	}
	return n
}

// Shown returns the figures that are worth a line beside the scenario.
func (c Change) Shown() (all []ChangedFigure) {
	for _, f := range c.Figures {
		if f.Shown && f.Before != f.Now {
			all = append(all, f)
		}
	}
	return all
}

// earlier is the same scenario in an earlier run, moved in time so that its first fault begins when that of this run does.
type earlier struct {
	h      *journal.History
	slices []second
}

// newEarlier returns nil for no history.
func newEarlier(h *journal.History, a axis) *earlier {
	if h == nil || len(h.Phases) == 0 {
		return nil
	}
	e := &earlier{h: h}
	by := beginning(a.h) - beginning(h)
	for _, s := range seconds(newAxis(h)) {
		s.from, s.to = max(s.from+by, a.from), min(s.to+by, a.to)
		if s.to > s.from {
			e.slices = append(e.slices, s)
		}
	}
	return e
}

// beginning returns when the first fault of a scenario began, or its load if there was no fault.
func beginning(h *journal.History) time.Duration {
	if from, _, ok := h.FaultSpan(); ok {
		return from
	}
	if p, ok := h.Phase("baseline"); ok {
		return p.From
	}
	return h.Began
}

// all returns the slices, none for nil.
func (e *earlier) all() []second {
	if e == nil {
		return nil
	}
	return e.slices
}

// at returns the slice at a time of this run.
func (e *earlier) at(t time.Duration) (second, bool) {
	for _, s := range e.slices {
		if s.from <= t && t < s.to {
			return s, true
		}
	}
	return second{}, false
}

// inWindows formats a figure of the earlier run before, during and after the fault.
func (e *earlier) inWindows(figure func(journal.Totals) string) string {
	var parts []string
	for _, w := range windows {
		parts = append(parts, figure(e.h.Total(w, "")))
	}
	return fmt.Sprintf(" In the earlier run: %s before, during and after it.", strings.Join(parts, ", "))
}

// The line of an earlier run is thin, and its dashes are short.
const (
	earlierDash  = "3 2"
	earlierWidth = 1.2
)

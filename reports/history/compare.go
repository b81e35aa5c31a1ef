package history

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The states of a scenario or a check in a comparison.
const (
	NewFailure   = "new failure"    // failed, and did not fail before
	Flaky        = "flaky"          // it failed and passed when run again, or its outcome changed as it did at least twice in earlier comparable runs; also an outcome
	Fixed        = "fixed"          // passed, and failed before
	StillFailing = "still failing"  // failed both times
	Passes       = "passing"        // passed; it passed before, or was not judged
	NotProven    = "not proven"     // not judged: inconclusive, skipped, interrupted, or not run
	Incomparable = "not comparable" // something else was tested before; see ScenarioChange.Differs
	Missing      = "missing"        // only in the earlier run
)

// Comparison states what changed from an earlier run to a later one.
type Comparison struct {
	Before    Header           `json:"before"`
	Now       Header           `json:"now"`
	Differs   []string         `json:"differs,omitempty"` // why the runs cannot be compared at all; Scenarios is empty then
	Scenarios []ScenarioChange `json:"scenarios"`         // those of the later run in its order, and then those that it lacks
}

// Header identifies a run.
type Header struct {
	ID      string    `json:"id"`
	Began   time.Time `json:"began"`
	Outcome string    `json:"outcome"`
}

// ScenarioChange is what changed in one scenario.
type ScenarioChange struct {
	ID            string         `json:"id"`
	Name          string         `json:"name"`
	File          string         `json:"file,omitempty"`
	Line          int            `json:"line,omitempty"`
	State         string         `json:"state"`
	New           bool           `json:"new,omitempty"`     // it is not in the earlier run
	Before        string         `json:"before,omitempty"`  // outcome; "" if the run has no such scenario
	Now           string         `json:"now,omitempty"`     // the same
	Reason        string         `json:"reason,omitempty"`  // of the outcome now
	Differs       []string       `json:"differs,omitempty"` // if it is not comparable: what differs
	Earlier       int            `json:"earlier"`           // comparable runs before the later one in which it was judged
	EarlierFailed int            `json:"earlier_failed"`    // of Earlier
	Checks        []CheckChange  `json:"checks,omitempty"`
	Figures       []FigureChange `json:"figures,omitempty"`
}

// CheckChange is what changed in one check.
type CheckChange struct {
	Check    string `json:"check"`
	State    string `json:"state"`
	Before   string `json:"before,omitempty"`
	Now      string `json:"now"`
	Observed string `json:"observed,omitempty"`
	Reason   string `json:"reason,omitempty"`
}

// FigureChange is what changed in one figure. Durations are in seconds, shares between 0 and 1.
type FigureChange struct {
	Name   string  `json:"name"`
	Before float64 `json:"before"`
	Now    float64 `json:"now"`
	Band   *Band   `json:"band,omitempty"` // nil if there are fewer than five comparable runs
	Mark   string  `json:"mark,omitempty"` // "better", "worse", or "as usual", by the band; "" without one

	figure figure
}

// Format returns a value of the figure for people.
func (f FigureChange) Format(v float64) string { return f.figure.unit.format(v) }

// Compare compares a run with an earlier one. Earlier holds recorded runs, from which the noise bands are taken: at most
// the last most comparable ones that began before now.
func Compare(before, now *Run, earlier []*Run, most int) Comparison {
	c := Comparison{Before: header(before), Now: header(now), Differs: now.Differences(before)}
	if len(c.Differs) > 0 {
		return c
	}
	for _, s := range now.Scenarios {
		c.Scenarios = append(c.Scenarios, change(before.Find(s.ID), s, comparableRuns(s, earlier, most)))
	}
	for _, s := range before.Scenarios {
		if now.Find(s.ID) == nil {
			c.Scenarios = append(c.Scenarios, ScenarioChange{ID: s.ID, Name: s.Name, File: s.File, Line: s.Line, State: Missing, Before: s.Outcome})
		}
	}
	return c
}

// LastGreen returns the newest run before now that passed, can be compared with it, and has a scenario of it; nil if
// there is none.
func LastGreen(now *Run, earlier []*Run) *Run {
	for _, r := range slices.Backward(earlier) {
		shares := slices.ContainsFunc(now.Scenarios, func(s *Scenario) bool { return r.Find(s.ID) != nil })
		if r.Began.Before(now.Began) && r.Outcome == "passed" && shares && len(now.Differences(r)) == 0 {
			return r
		}
	}
	return nil
}

func header(r *Run) Header { return Header{r.ID, r.Began, r.Outcome} }

// comparableRuns returns the same scenario in the last most comparable runs in which it was judged, the oldest first.
func comparableRuns(s *Scenario, runs []*Run, most int) (all []*Scenario) {
	for _, r := range slices.Backward(runs) {
		if len(all) == most {
			break
		}
		if old := r.Find(s.ID); old != nil && r.Began.Before(s.run.Began) && proved(old.Outcome) && s.Outcome != NotRun && len(s.Differences(old)) == 0 {
			all = append(all, old)
		}
	}
	slices.Reverse(all)
	return all
}

// change compares a scenario with that of an earlier run, which is nil if the run had none.
func change(before, now *Scenario, earlier []*Scenario) ScenarioChange {
	c := ScenarioChange{ID: now.ID, Name: now.Name, File: now.File, Line: now.Line, Now: now.Outcome, Reason: now.Reason, Earlier: len(earlier), New: before == nil}
	var outcomes []string
	for _, s := range earlier {
		outcomes = append(outcomes, s.Outcome)
		if failed(s.Outcome) {
			c.EarlierFailed++
		}
	}
	if before != nil {
		c.Before = before.Outcome
		if before.Outcome != NotRun && now.Outcome != NotRun {
			c.Differs = now.Differences(before)
		}
	}
	if len(c.Differs) > 0 {
		c.State = Incomparable
		return c
	}
	c.State = state(c.Before, c.Now, outcomes)
	c.Checks = checkChanges(before, now, earlier)
	if before == nil {
		return c
	}
	for _, f := range figures {
		old, had := before.value(f.name)
		v, has := now.value(f.name)
		if had && has {
			c.Figures = append(c.Figures, f.change(old, v, earlier))
		}
	}
	return c
}

// state compares two outcomes, given those of earlier comparable runs.
func state(before, now string, earlier []string) string {
	alternates := changes(append(slices.Clone(earlier), now)) >= 3
	switch {
	case !proved(now):
		return NotProven
	case now == Flaky, proved(before) && failed(before) != failed(now) && alternates:
		return Flaky
	case failed(now) && failed(before):
		return StillFailing
	case failed(now):
		return NewFailure
	case failed(before):
		return Fixed
	}
	return Passes
}

// changes returns how often the outcome changed between passed and failed.
func changes(outcomes []string) (n int) {
	last := ""
	for _, o := range outcomes {
		if !proved(o) {
			continue
		}
		if last != "" && failed(o) != failed(last) {
			n++
		}
		last = o
	}
	return n
}

func checkChanges(before, now *Scenario, earlier []*Scenario) (all []CheckChange) {
	seen := map[string]int{}
	for _, c := range now.Checks {
		seen[c.Check]++
		nth := seen[c.Check]
		var outcomes []string
		for _, s := range earlier {
			outcomes = append(outcomes, s.outcomeOf(c.Check, nth))
		}
		old := before.outcomeOf(c.Check, nth)
		all = append(all, CheckChange{c.Check, state(old, c.Outcome, outcomes), old, c.Outcome, c.Observed, c.Reason})
	}
	return all
}

// outcomeOf returns the outcome of the nth check with a text, or "". An implied check that passed has none.
func (s *Scenario) outcomeOf(text string, nth int) string {
	if s == nil {
		return ""
	}
	for _, c := range s.Checks {
		if c.Check != text {
			continue
		}
		if nth--; nth == 0 {
			return c.Outcome
		}
	}
	return ""
}

func (f figure) change(before, now float64, earlier []*Scenario) FigureChange {
	c := FigureChange{Name: f.name, Before: before, Now: now, figure: f}
	b, ok := f.band(earlier)
	if !ok {
		return c
	}
	c.Band = &b
	switch {
	case now >= b.Low && now <= b.High:
		c.Mark = "as usual"
	case (now > b.High) == (f.better > 0):
		c.Mark = "better"
	default:
		c.Mark = "worse"
	}
	return c
}

// ExitCode returns 1 if something failed that did not fail in the earlier run, else 3 if something cannot be told: the
// runs or a scenario are not comparable, or a scenario of the earlier run was not judged or is missing. Otherwise it
// returns 0, even if something still fails. Figures do not count: of many, some leave their band by chance.
func (c Comparison) ExitCode() int {
	code := 0
	if len(c.Differs) > 0 || len(c.Scenarios) == 0 {
		code = 3
	}
	for _, s := range c.Scenarios {
		if s.newlyFailed() {
			return 1
		}
		switch s.State {
		case NotProven, Incomparable, Missing:
			code = 3
		}
	}
	return code
}

// newlyFailed reports whether the scenario, or a check of it, failed and did not before.
func (s ScenarioChange) newlyFailed() bool {
	fresh := func(state, before, now string) bool {
		return state == NewFailure || state == Flaky && failed(now) && !failed(before)
	}
	return fresh(s.State, s.Before, s.Now) || slices.ContainsFunc(s.Checks, func(c CheckChange) bool { return fresh(c.State, c.Before, c.Now) })
}

// summary counts scenarios by state and figures by mark.
func (c Comparison) summary() string {
	var parts []string
	for _, state := range []string{NewFailure, Flaky, StillFailing, NotProven, Incomparable, Missing, Fixed, Passes} {
		n := 0
		for _, s := range c.Scenarios {
			if s.State == state {
				n++
			}
		}
		if n > 0 {
			name := state
			if state == NewFailure && n > 1 {
				name += "s"
			}
			parts = append(parts, fmt.Sprintf("%d %s", n, name))
		}
	}
	return strings.Join(parts, ", ")
}

package history

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Trend is the course of a scenario over recorded runs, the oldest first.
type Trend struct {
	ID       string     `json:"id"`
	Name     string     `json:"name"`
	Runs     []string   `json:"runs"`     // their IDs
	Outcomes []string   `json:"outcomes"` // parallel to Runs
	Repeated [][]string `json:"repeated"` // parallel to Runs: the outcomes of all repetitions, the first included; null for none
	Breaks   []int      `json:"breaks"`   // indices of runs that are not comparable with the one before
	P95      []*float64 `json:"p95"`      // in seconds, during the fault; null where it was not measured
	Success  []*float64 `json:"success"`  // between 0 and 1, during the fault; null where it was not measured
}

// NewTrend returns the course of each scenario over the last most runs in which it was planned, in the order of the
// newest run that has it.
func NewTrend(runs []*Run, most int) (all []Trend) {
	done := map[string]bool{}
	for _, newest := range slices.Backward(runs) {
		for _, s := range newest.Scenarios {
			if !done[s.ID] && s.repeats == "" {
				done[s.ID] = true
				all = append(all, trendOf(s, runs, most))
			}
		}
	}
	return all
}

func trendOf(newest *Scenario, runs []*Run, most int) Trend {
	t := Trend{ID: newest.ID, Name: newest.Name, Breaks: []int{}}
	var scenarios []*Scenario
	for _, r := range runs {
		if s := r.Find(newest.ID); s != nil {
			scenarios = append(scenarios, s)
		}
	}
	var last *Scenario // the last that began
	for i, s := range scenarios[max(0, len(scenarios)-most):] {
		t.Runs, t.Outcomes, t.Repeated = append(t.Runs, s.run.ID), append(t.Outcomes, s.Outcome), append(t.Repeated, s.repetitions())
		t.P95 = append(t.P95, s.pointer("p95 during the fault"))
		t.Success = append(t.Success, s.pointer("success during the fault"))
		if s.Outcome == NotRun {
			continue
		}
		if last != nil && len(s.Differences(last)) > 0 {
			t.Breaks = append(t.Breaks, i)
		}
		last = s
	}
	return t
}

// repetitions returns the outcomes of a scenario and of its repetitions in the same run, or nil if it was not repeated.
func (s *Scenario) repetitions() []string {
	all := []string{s.Outcome}
	for _, other := range s.run.Scenarios {
		if other.repeats == s.ID {
			all = append(all, other.Outcome)
		}
	}
	if len(all) == 1 {
		return nil
	}
	return all
}

func (s *Scenario) pointer(name string) *float64 {
	if v, ok := s.value(name); ok {
		return &v
	}
	return nil
}

// LastP95 returns the p95 of the newest run for people, or "–" if it was not measured.
func (t Trend) LastP95() string { return lastOf(t.P95, seconds) }

// LastSuccess returns the success of the newest run for people, or "–" if it was not measured.
func (t Trend) LastSuccess() string { return lastOf(t.Success, share) }

// marks are the marks of outcomes, for a terminal and in plain text.
var marks = map[string][2]string{
	"passed": {"✓", "."}, "failed": {"✗", "F"}, Flaky: {"~", "~"}, "stopped": {"■", "S"}, "inconclusive": {"?", "?"}, "interrupted": {"?", "?"}, "skipped": {"–", "-"}, NotRun: {" ", "_"},
}

func mark(outcome string, style int) string { return cmp.Or(marks[outcome][style], "?") }

// TrendText lays trends out as a table, with sparklines if graphic is set. A bar stands before a run that is not
// comparable with the one before it, and repetitions of one run are in brackets.
func TrendText(all []Trend, graphic bool) string {
	if len(all) == 0 {
		return "no run is recorded\n"
	}
	style := 1
	if graphic {
		style = 0
	}
	heads := []string{"scenario", "runs", "outcomes", "p95", "usually", "success", "usually"}
	rows := [][]string{heads}
	for _, t := range all {
		p95, success := spark(t.P95, graphic), spark(t.Success, graphic)
		row := []string{t.Name, fmt.Sprint(len(t.Runs)), "", t.LastP95(), medianOf(t.P95, seconds), t.LastSuccess(), medianOf(t.Success, share)}
		for i, o := range t.Outcomes {
			if slices.Contains(t.Breaks, i) {
				row[2] += "|"
			}
			if of := t.Repeated[i]; of != nil {
				row[2] += "["
				for _, o := range of {
					row[2] += mark(o, style)
				}
				row[2] += "]"
				continue
			}
			row[2] += mark(o, style)
		}
		if graphic {
			row[3], row[5] = p95+" "+row[3], success+" "+row[5]
		}
		rows = append(rows, row)
	}
	legend := ". passed  F failed  ~ flaky  S stopped  ? not proven  - skipped  _ not run"
	if graphic {
		legend = "✓ passed  ✗ failed  ~ flaky  ■ stopped  ? not proven  – skipped  (blank) not run"
	}
	return strings.Join(table(rows), "\n") + "\n\n" + legend + "  [] repetitions of one run  | from here on, something else was tested; p95 and success: of the last run, during the fault\n"
}

// lastOf formats the value of the last run, or "–".
func lastOf(values []*float64, u unit) string {
	if v := values[len(values)-1]; v != nil {
		return u.format(*v)
	}
	return "–"
}

// medianOf formats the median of the values, or "–" if there are none.
func medianOf(values []*float64, u unit) string {
	var known []float64
	for _, v := range values {
		if v != nil {
			known = append(known, *v)
		}
	}
	if len(known) == 0 {
		return "–"
	}
	return u.format(median(known))
}

// spark draws values between their least and their greatest one. What was not measured is a space.
func spark(values []*float64, graphic bool) string {
	if !graphic {
		return ""
	}
	bars := []rune("▁▂▃▄▅▆▇█")
	var known []float64
	for _, v := range values {
		if v != nil {
			known = append(known, *v)
		}
	}
	if len(known) == 0 {
		return ""
	}
	low, high := slices.Min(known), slices.Max(known)
	var b strings.Builder
	for _, v := range values {
		switch {
		case v == nil:
			b.WriteRune(' ')
		case high == low:
			b.WriteRune(bars[3])
		default:
			b.WriteRune(bars[int((*v-low)/(high-low)*float64(len(bars)-1)+0.5)])
		}
	}
	return b.String()
}

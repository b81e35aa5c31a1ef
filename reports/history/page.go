package history

import (
	"cmp"
	"fmt"

	"github.com/firedrill-dev/firedrill/reports"
)

// paints maps the states to the outcomes as which a page paints them.
var paints = map[string]string{
	NewFailure: "failed", StillFailing: "failed", Flaky: "flaky", Fixed: "passed", Passes: "passed",
	NotProven: "inconclusive", Incomparable: "inconclusive", Missing: "skipped",
}

// Page returns the comparison for the page of the later run; see reports.PageAgainst. Before is the earlier run, whose
// journal is read once more for its curves.
func (c Comparison) Page(before *Run) (*reports.Against, error) {
	book, err := readBook(before.Dir)
	if err != nil {
		return nil, err
	}
	a := &reports.Against{ID: c.Before.ID, Outcome: c.Before.Outcome, Began: c.Before.Began, Differs: c.Differs, Book: book}
	if len(c.Differs) == 0 {
		a.Summary = c.summary()
	}
	for _, s := range c.Scenarios {
		a.Changes = append(a.Changes, s.page())
	}
	return a, nil
}

func (s ScenarioChange) page() reports.Change {
	p := reports.Change{
		ID: s.ID, Name: s.Name, State: s.State, Outcome: paints[s.State], Before: s.Before, Now: s.Now, Notes: s.Differs,
		Comparable: s.State != Incomparable && s.State != Missing && !s.New && s.Before != NotRun && s.Now != NotRun,
	}
	if s.New {
		p.Notes = append(p.Notes, "not in the earlier run")
	}
	if s.EarlierFailed > 0 {
		p.Notes = append(p.Notes, fmt.Sprintf("failed in %d of %s before", s.EarlierFailed, counted(s.Earlier, "comparable run")))
	}
	for _, c := range s.Checks {
		if c.State != Passes {
			p.Checks = append(p.Checks, c.State+": "+c.Check+after(" – ", cmp.Or(c.Observed, c.Reason)))
		}
	}
	for _, f := range s.Figures {
		p.Figures = append(p.Figures, reports.ChangedFigure{
			Name: f.Name, Before: f.Format(f.Before), Now: f.Format(f.Now), Usual: f.usual(), Mark: f.Mark, Shown: f.tells(),
		})
	}
	return p
}

// usual describes the band of a figure, or returns "" if there is none.
func (f FigureChange) usual() string {
	if f.Band == nil {
		return ""
	}
	return fmt.Sprintf("%s to %s, median %s of %d runs", f.Format(f.Band.Low), f.Format(f.Band.High), f.Format(f.Band.Median), f.Band.Runs)
}

// tells reports whether a figure is worth a line: it is outside of its band, or it has none and is a main figure.
func (f FigureChange) tells() bool {
	if f.Band == nil {
		return f.figure.main
	}
	return f.Mark != "as usual"
}

package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// note returns the note that begins a game day. choose was called.
func (d *day) note(by string) journal.Note {
	n := journal.Note{Text: d.summary(), Kind: "day", By: by, Day: &journal.Day{Title: d.title, Date: d.date}}
	for _, c := range d.cards {
		n.Day.Cards = append(n.Day.Cards, journal.Card{
			Scenario: c.experiment.ID, Title: c.title, Hypothesis: c.hypothesis, Owner: c.owner, Severity: c.severity, Retest: c.retest,
		})
	}
	return n
}

// note records a note, which is a finding if it says so. A finding that cannot be read is recorded as a note, with an error:
// nothing is lost.
func (o *operator) note(by, text string) error {
	n, err := noteOf(text, time.Now())
	n.By = by
	o.record(n)
	if err != nil {
		return fmt.Errorf("this is recorded as a note, and not as a finding: %w", err)
	}
	return nil
}

// findingForm is how a finding is noted.
const findingForm = `write "finding high: what was found", then, if you like, "@owner" and "retest 2027-01-15"`

var (
	beginsFinding = regexp.MustCompile(`^(?i:finding)\s+([^\s:]*)\s*:`)
	endsInOwner   = regexp.MustCompile(`\s@(\S+)$`)
	endsInRetest  = regexp.MustCompile(`\sretest\s+(\S+)$`)
)

// noteOf returns what a person typed: a finding if it begins with "finding", and otherwise a note. If it cannot be read as a
// finding, the result is a note, with an error. now is the time at which it was typed.
func noteOf(text string, now time.Time) (journal.Note, error) {
	n := journal.Note{Text: text, Kind: "note"}
	if first, _, _ := strings.Cut(text, " "); !strings.EqualFold(strings.TrimSuffix(first, ":"), "finding") {
		return n, nil
	}
	finding, err := readFinding(text, now)
	if err == nil {
		n.Kind, n.Finding = "finding", finding
	}
	return n, err
}

func readFinding(text string, now time.Time) (*journal.Finding, error) {
	begin := beginsFinding.FindStringSubmatch(text)
	if begin == nil {
		return nil, fmt.Errorf("its severity is missing: %s", findingForm)
	}
	finding := &journal.Finding{Severity: begin[1], What: " " + strings.TrimSpace(text[len(begin[0]):])}
	cutEnd := func(end *regexp.Regexp, value *string) bool {
		m := end.FindStringSubmatch(finding.What)
		if m == nil || *value != "" {
			return false
		}
		*value, finding.What = m[1], strings.TrimRight(strings.TrimSuffix(finding.What, m[0]), " \t")
		return true
	}
	for cutEnd(endsInOwner, &finding.Owner) || cutEnd(endsInRetest, &finding.Retest) {
	}
	finding.What = strings.TrimSpace(finding.What)
	if all := journal.Severities(); !slices.Contains(all, finding.Severity) {
		return nil, fmt.Errorf("there is no severity %q: %s", finding.Severity, source.DidYouMean(finding.Severity, all, "severities"))
	}
	if finding.What == "" {
		return nil, fmt.Errorf("it does not say what was found: %s", findingForm)
	}
	if _, err := time.Parse(time.DateOnly, finding.Retest); finding.Retest != "" && err != nil {
		return nil, fmt.Errorf(`%q is not a date: write year, month and day, such as "retest 2027-01-15"`, finding.Retest)
	}
	if finding.Retest != "" && finding.Retest < now.Format(time.DateOnly) {
		return nil, fmt.Errorf("the day of the next test, %s, is over", finding.Retest)
	}
	return finding, nil
}

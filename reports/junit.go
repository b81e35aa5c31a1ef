package reports

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// The types below are those of the schema junit-10.xsd of Jenkins xUnit, which GitLab reads, too.

type suites struct {
	XMLName  xml.Name `xml:"testsuites"`
	Name     string   `xml:"name,attr"`
	Time     string   `xml:"time,attr"`
	Tests    int      `xml:"tests,attr"`
	Failures int      `xml:"failures,attr"`
	Errors   int      `xml:"errors,attr"`
	Suites   []suite  `xml:"testsuite"`

	took time.Duration
}

type suite struct {
	Name       string     `xml:"name,attr"`
	Tests      int        `xml:"tests,attr"`
	Failures   int        `xml:"failures,attr"`
	Errors     int        `xml:"errors,attr"`
	Skipped    int        `xml:"skipped,attr"`
	Time       string     `xml:"time,attr"`
	Timestamp  string     `xml:"timestamp,attr"`
	File       string     `xml:"file,attr,omitempty"`
	Properties []property `xml:"properties>property"`
	Cases      []testcase `xml:"testcase"`

	took  time.Duration
	names map[string]bool
}

type property struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type testcase struct {
	Name    string   `xml:"name,attr"`
	Class   string   `xml:"classname,attr"`
	Time    string   `xml:"time,attr"`
	Failure *failure `xml:"failure"`
	Error   *failure `xml:"error"`
	Skipped *failure `xml:"skipped"`
	Output  string   `xml:"system-out,omitempty"`
}

// failure is the reason of a case that did not pass. GitLab shows only its text, so the text says everything.
type failure struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr,omitempty"`
	Text    string `xml:",chardata"`
}

// maxOutput limits the text of a case, in bytes: CI servers reject longer ones.
const maxOutput = 64 << 10

// ranToEnd is the name of the case that stands for a scenario as a whole. It has the time of the scenario.
const ranToEnd = "the scenario ran to its end"

// writeJUnit writes a suite for each scenario, with a case for the scenario, for each check, and for each condition of a
// valid scenario that was not met. A check that failed is a failure. Whatever was inconclusive, stopped or interrupted
// is an error, since nothing was found about the system.
func writeJUnit(w io.Writer, b *journal.Book) error {
	all := suites{Name: "firedrill"}
	for _, h := range b.Scenarios {
		all.add(junitSuite(b, h))
	}
	for _, p := range b.NotRun() {
		s := suite{Name: plain(p.ID), Timestamp: began(b, 0), File: plain(p.File), Properties: []property{{"outcome", "not run"}}}
		s.add(ranToEnd, 0, "skipped", "not run: the run ended before this scenario began", codes.Unfinished.String(), fmt.Sprintf("%s:%d", p.File, p.Line))
		all.add(s)
	}
	if why := unjudged(b); all.Failures+all.Errors == 0 && !why.None() {
		s := suite{Name: "run", Timestamp: began(b, 0), Properties: []property{{"seed", fmt.Sprint(b.Run.Seed)}}}
		s.add("run", 0, Outcome(b), why.String(), why.Code().String())
		all.add(s)
	}
	all.Time = junitTime(all.took)
	return writeVisible(w, journal.Visible, func(w io.Writer) error {
		if _, err := io.WriteString(w, xml.Header); err != nil {
			return err
		}
		enc := xml.NewEncoder(w)
		enc.Indent("", "  ")
		if err := enc.Encode(all); err != nil {
			return err
		}
		_, err := io.WriteString(w, "\n")
		return err
	})
}

func junitSuite(b *journal.Book, h *journal.History) suite {
	s := suite{
		Name: plain(h.ID), Timestamp: began(b, h.Began), File: plain(h.File),
		Properties: []property{{"seed", fmt.Sprint(b.Run.Seed)}, {"outcome", outcome(h)}, {"scenario", plain(h.Name)}, {"feature", plain(h.Feature)}},
	}
	for _, p := range []property{{"flaky", map[bool]string{true: "true"}[standingOf(b, h).Flaky]}, {"retry_of", plain(h.RetryOf)}, {"repeat_of", plain(h.RepeatOf)}} {
		if p.Value != "" {
			s.Properties = append(s.Properties, p)
		}
	}
	s.Properties = append(s.Properties, quarantineProperties(h)...)
	explained := slices.ContainsFunc(h.Verdicts, func(v journal.Verdict) bool { return v.Outcome != "passed" })
	o, code := "passed", codes.Unfinished.String()
	if h.End != nil {
		code = h.End.Code
	}
	reason := unfinishedReason(abortReason(b), h, explained)
	if outcome(h) == "skipped" {
		reason = h.End.Reason
	}
	if reason != "" {
		o = outcome(h)
	}
	s.add(ranToEnd, h.Ended-h.Began, o, reason, code, position(h, journal.Verdict{}))
	for _, v := range h.Verdicts {
		if isImplied(v) && (v.Outcome == "passed" || endsBy(h, v, reason)) {
			continue
		}
		facts := []string{position(h, v)}
		if v.Outcome != "passed" {
			facts = append(standingNote(b, h), facts...)
		}
		for _, f := range []property{{"observed", v.Observed}, {"expected", v.Expected}, {"window", string(v.Window)}} {
			if f.Value != "" {
				facts = append(facts, f.Name+": "+f.Value)
			}
		}
		s.add(v.Check, 0, v.Outcome, v.Reason, v.Code, append(facts, v.Details...)...)
	}
	return s
}

// add adds a case. The type of what did not pass is the code of its reason, or its outcome. GitLab keeps only the first of several cases with the same name, so the others get a number.
func (s *suite) add(name string, took time.Duration, outcome, reason, code string, facts ...string) {
	c := testcase{Name: plain(name), Class: s.Name, Time: junitTime(took)}
	if s.names == nil {
		s.names = map[string]bool{}
	}
	for n := 2; s.names[c.Name]; n++ {
		c.Name = fmt.Sprintf("%s (%d)", plain(name), n)
	}
	s.names[c.Name] = true
	why := &failure{Message: lines(plain(reason)), Type: cmp.Or(code, outcome), Text: lines(reason + "\n" + strings.Join(facts, "\n"))}
	switch outcome {
	case "passed":
		c.Output = lines(strings.Join(facts, "\n"))
	case "failed":
		c.Failure = why
		s.Failures++
	case "skipped":
		c.Skipped = why
		s.Skipped++
	default:
		c.Error = why
		s.Errors++
	}
	s.Tests++
	s.took += took
	s.Time = junitTime(s.took)
	s.Cases = append(s.Cases, c)
}

func (all *suites) add(s suite) {
	all.Tests += s.Tests
	all.Failures += s.Failures
	all.Errors += s.Errors
	all.took += s.took
	all.Suites = append(all.Suites, s)
}

// junitTime formats a duration as JUnit wants it.
func junitTime(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }

// began returns the time of day at a time of the run.
func began(b *journal.Book, at time.Duration) string {
	return b.Run.Began.Add(at).UTC().Format(time.RFC3339)
}

// lines makes each line of a text printable, and limits the length of the text.
func lines(text string) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, l := range all {
		all[i] = plain(l)
	}
	text = strings.Join(all, "\n")
	if len(text) <= maxOutput {
		return text
	}
	const more = "\n… more in report.json"
	return strings.ToValidUTF8(text[:maxOutput-len(more)], "") + more
}

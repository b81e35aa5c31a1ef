package reports

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

type suites struct {
	XMLName  xml.Name `xml:"testsuites"`
	Name     string   `xml:"name,attr"`
	Tests    int      `xml:"tests,attr"`
	Failures int      `xml:"failures,attr"`
	Skipped  int      `xml:"skipped,attr"`
	Suites   []suite  `xml:"testsuite"`
}

type suite struct {
	Name       string     `xml:"name,attr"`
	Tests      int        `xml:"tests,attr"`
	Failures   int        `xml:"failures,attr"`
	Skipped    int        `xml:"skipped,attr"`
	Time       string     `xml:"time,attr"`
	Timestamp  string     `xml:"timestamp,attr"`
	Properties []property `xml:"properties>property"`
	Cases      []testcase `xml:"testcase"`
}

type property struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type properties struct {
	All []property `xml:"property"`
}

type testcase struct {
	Name       string      `xml:"name,attr"`
	Class      string      `xml:"classname,attr"`
	File       string      `xml:"file,attr,omitempty"`
	Time       string      `xml:"time,attr"`
	Properties *properties `xml:"properties,omitempty"`
	Failure    *failure    `xml:"failure,omitempty"`
	Skipped    *failure    `xml:"skipped,omitempty"`
}

type failure struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr,omitempty"`
	Text    string `xml:",chardata"`
}

// maxOutput limits the text of a case, in bytes: CI servers reject longer ones.
const maxOutput = 64 << 10

// writeJUnit writes a suite for each scenario and a case for each check. Inconclusive checks are failures of type
// "inconclusive", since JUnit has no third outcome and passing them would be wrong. A scenario that did not run to
// its end has an additional case with the reason.
func writeJUnit(w io.Writer, b *journal.Book) error {
	all := suites{Name: "firedrill"}
	for _, h := range b.Scenarios {
		all.add(junitSuite(b, h))
	}
	began := b.Run.Began.UTC().Format(time.RFC3339)
	for _, p := range b.NotRun() {
		all.add(suite{
			Name: plain(p.ID), Tests: 1, Skipped: 1, Time: "0", Timestamp: began, Properties: []property{{"outcome", "not run"}},
			Cases: []testcase{{Name: "scenario", Class: plain(p.ID), File: plain(p.File), Time: "0", Skipped: &failure{Message: "not run: the run ended before this scenario began"}}},
		})
	}
	if reason := unjudgedReason(b); all.Failures == 0 && reason != "" {
		all.add(suite{
			Name: "run", Tests: 1, Failures: 1, Time: "0", Timestamp: began, Properties: []property{{"seed", fmt.Sprint(b.Run.Seed)}},
			Cases: []testcase{{Name: "run", Class: "run", Time: "0", Failure: &failure{Message: plain(reason), Type: Outcome(b)}}},
		})
	}
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

func (all *suites) add(s suite) {
	all.Tests += s.Tests
	all.Failures += s.Failures
	all.Skipped += s.Skipped
	all.Suites = append(all.Suites, s)
}

func junitSuite(b *journal.Book, h *journal.History) suite {
	s := suite{
		Name: plain(h.ID), Time: fmt.Sprintf("%.3f", (h.Ended - h.Began).Seconds()), Timestamp: b.Run.Began.Add(h.Began).UTC().Format(time.RFC3339),
		Properties: []property{{"seed", fmt.Sprint(b.Run.Seed)}, {"outcome", outcome(h)}, {"feature", plain(h.Feature)}},
	}
	names := map[string]bool{}
	add := func(name string, c testcase) {
		c.Name, c.Class, c.File, c.Time = plain(name), plain(h.ID), plain(h.File), "0"
		for n := 2; names[c.Name]; n++ { // GitLab keeps only the first of several cases with the same name
			c.Name = fmt.Sprintf("%s (%d)", plain(name), n)
		}
		names[c.Name] = true
		s.Tests++
		if c.Failure != nil {
			s.Failures++
		}
		if c.Skipped != nil {
			s.Skipped++
		}
		s.Cases = append(s.Cases, c)
	}
	for _, v := range h.Verdicts {
		c := testcase{Properties: &properties{[]property{{"window", string(v.Window)}, {"observed", plain(v.Observed)}, {"expected", plain(v.Expected)}}}}
		if v.Outcome != "passed" {
			text := fmt.Sprintf("%s\nobserved: %s\nexpected: %s\n%s", position(h, v), v.Observed, v.Expected, strings.Join(v.Details, "\n"))
			c.Failure = &failure{Message: plain(v.Reason), Type: v.Outcome, Text: lines(text)}
		}
		add(v.Check, c)
	}
	if o := outcome(h); o == "skipped" {
		add("scenario", testcase{Skipped: &failure{Message: plain(h.End.Reason)}})
	} else if reason := unfinishedReason(abortReason(b), h, s.Failures > 0); reason != "" {
		add("scenario", testcase{Failure: &failure{Message: plain(reason), Type: o}})
	}
	return s
}

// lines makes each line of a text printable, and limits the length of the text.
func lines(text string) string {
	all := strings.Split(text, "\n")
	for i, l := range all {
		all[i] = plain(l)
	}
	text = strings.Join(all, "\n")
	return strings.ToValidUTF8(text[:min(len(text), maxOutput)], "")
}

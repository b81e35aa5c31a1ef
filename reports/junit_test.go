package reports

import (
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// junitSchema is what junit-10.xsd of Jenkins xUnit allows, as far as this format uses it: for each element the required
// and the optional attributes, and the elements that it may contain.
var junitSchema = map[string]struct{ required, optional, children string }{
	"":           {"", "", "testsuites"},
	"testsuites": {"", "name time tests failures errors", "testsuite"},
	"testsuite":  {"name tests failures errors", "group time skipped timestamp hostname id package file log url", "testsuite properties testcase system-out system-err"},
	"properties": {"", "", "property"},
	"property":   {"name value", "", ""},
	"testcase":   {"name", "time classname group", "skipped error failure system-out system-err"},
	"failure":    {"", "type message", ""},
	"error":      {"", "type message", ""},
	"skipped":    {"", "type message", ""},
	"system-out": {"", "", ""},
}

// schemaProblems returns what of a document the schema does not allow.
func schemaProblems(t *testing.T, raw []byte) (problems []string) {
	t.Helper()
	path := []string{""}
	for dec := xml.NewDecoder(strings.NewReader(string(raw))); ; {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return problems
		}
		require.NoError(t, err)
		switch e := token.(type) {
		case xml.StartElement:
			parent, name := path[len(path)-1], e.Name.Local
			path = append(path, name)
			rule := junitSchema[name]
			if !slices.Contains(strings.Fields(junitSchema[parent].children), name) {
				problems = append(problems, name+" in "+parent)
			}
			for _, required := range strings.Fields(rule.required) {
				if !slices.ContainsFunc(e.Attr, func(a xml.Attr) bool { return a.Name.Local == required }) {
					problems = append(problems, name+" without "+required)
				}
			}
			for _, a := range e.Attr {
				if !slices.Contains(strings.Fields(rule.required+" "+rule.optional), a.Name.Local) {
					problems = append(problems, name+" with "+a.Name.Local)
				}
				if a.Name.Local == "time" && !regexp.MustCompile(`^\d+\.\d+$`).MatchString(a.Value) {
					problems = append(problems, "time "+a.Value)
				}
			}
		case xml.EndElement:
			path = path[:len(path)-1]
		}
	}
}

func TestJUnitIsValid(t *testing.T) {
	skipped := &journal.History{Begin: journal.Begin{ID: "s", Name: "s"}, End: &journal.End{Outcome: "skipped", Reason: "redis-server is not installed"}}
	books := samples(t)
	books["empty"] = &journal.Book{}
	books["skipped"] = &journal.Book{End: &journal.End{}, Scenarios: []*journal.History{skipped}, Run: journal.Run{Plan: []journal.Planned{{ID: "never"}}}}
	for name, b := range books {
		assert.Empty(t, schemaProblems(t, render(t, writeJUnit, b)), name)
	}
	assert.Equal(t, []string{"testsuite without failures", "testsuite without errors", "testsuite with seed", "time ,5", "failure in testsuite"}, schemaProblems(t,
		[]byte(`<testsuites><testsuite name="a" tests="1" seed="1" time=",5"><failure/></testsuite></testsuites>`)), "the test finds mistakes")
}

func TestJUnitNamesAreUniqueAndOutputIsLimited(t *testing.T) {
	h := &journal.History{Begin: journal.Begin{ID: "s", Name: "s"}, End: &journal.End{Outcome: "failed"}}
	for _, name := range []string{"a", "a", "a (2)", "a\x1b"} {
		h.Verdicts = append(h.Verdicts, journal.Verdict{Check: name, Outcome: "failed", Reason: "r", Details: []string{strings.Repeat("é", maxOutput)}})
	}
	raw := render(t, writeJUnit, &journal.Book{Scenarios: []*journal.History{h}, End: &journal.End{}})
	assert.NotContains(t, string(raw), "\uFFFD")
	var all suites
	require.NoError(t, xml.Unmarshal(raw, &all))
	seen := map[string]bool{}
	for _, c := range all.Suites[0].Cases {
		assert.False(t, seen[c.Name], c.Name)
		seen[c.Name] = true
		if c.Name != ranToEnd {
			assert.LessOrEqual(t, len(c.Failure.Text), maxOutput)
			assert.True(t, strings.HasSuffix(c.Failure.Text, "more in report.json"))
		}
	}
	assert.Len(t, seen, 5)
}

// TestJUnitCountsAddUp verifies the counts, the times, and that every case that did not pass says why in its text.
func TestJUnitCountsAddUp(t *testing.T) {
	stopped := &journal.History{
		Begin: journal.Begin{ID: "s", Name: "s", File: "a.feature", Line: 3}, Ended: 2 * time.Second, End: &journal.End{Outcome: "stopped", Reason: "the stop rule acted"},
		Verdicts: []journal.Verdict{{Check: "a", Outcome: "failed", Reason: "too few", Observed: "1"}, {Check: "b", Outcome: "inconclusive", Reason: "no fault"}, {Check: "c", Outcome: "passed", Observed: "2"}},
	}
	skipped := &journal.History{Begin: journal.Begin{ID: "t", Name: "t", File: "a.feature", Line: 9}, End: &journal.End{Outcome: "skipped", Reason: "no redis"}}
	b := &journal.Book{End: &journal.End{}, Scenarios: []*journal.History{stopped, skipped}}
	var all suites
	require.NoError(t, xml.Unmarshal(render(t, writeJUnit, b), &all))
	assert.Equal(t, [3]int{5, 1, 2}, [3]int{all.Tests, all.Failures, all.Errors})
	assert.Equal(t, "2.000", all.Time)
	assert.Equal(t, 1, all.Suites[1].Skipped)
	text := func(f *failure) string { return f.Type + ": " + f.Text }
	cases := all.Suites[0].Cases
	assert.Equal(t, "stopped: the stop rule acted\na.feature:3", text(cases[0].Error))
	assert.Equal(t, "failed: too few\na.feature:3\nobserved: 1", text(cases[1].Failure))
	assert.Equal(t, "inconclusive: no fault\na.feature:3", text(cases[2].Error))
	assert.Equal(t, "a.feature:3\nobserved: 2", cases[3].Output)
	assert.Equal(t, "skipped: no redis\na.feature:9", text(all.Suites[1].Cases[0].Skipped))
}

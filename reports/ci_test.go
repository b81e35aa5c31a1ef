package reports

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// manyFailures is a run with n scenarios that failed for long reasons.
func manyFailures(n int) *journal.Book {
	b := &journal.Book{End: &journal.End{Outcome: "failed"}}
	for i := range n {
		h := &journal.History{Begin: journal.Begin{ID: fmt.Sprint("s", i), Name: fmt.Sprint("scenario ", i), File: "a.feature", Line: i + 1}, End: &journal.End{Outcome: "failed"}}
		h.Verdicts = []journal.Verdict{{Check: "p95 stays below 1s", Outcome: "failed", Observed: "2s", Reason: strings.Repeat("slow ", 200), Step: fmt.Sprintf("a.feature:%d", i+2)}}
		b.Scenarios = append(b.Scenarios, h)
	}
	return b
}

func TestSummaryIsLimited(t *testing.T) {
	for _, n := range []int{1, 3, 400} {
		got := string(render(t, writeSummary, manyFailures(n)))
		assert.Less(t, len(got), maxSummary)
		assert.Equal(t, n > 100, strings.Contains(got, "more in report.html"), n)
		assert.Contains(t, got, "scenario 0")
	}
}

// TestSummaryHasNoMarkupOfOthers: no text of the journal begins a tag, a link, a mention or a cell.
func TestSummaryHasNoMarkupOfOthers(t *testing.T) {
	b := samples(t)["failed"]
	poison(reflect.ValueOf(b))
	b.Scenarios[0].Name += " | [a](http://x) **b** @everyone `code` <b>"
	got := string(render(t, writeSummary, b))
	table, command, _ := strings.Cut(got, "```sh")
	assert.NotContains(t, command, "````")
	for _, line := range strings.Split(table, "\n") {
		if strings.HasPrefix(line, "| ✗") {
			assert.Contains(t, []int{6, 7}, strings.Count(strings.ReplaceAll(line, `\|`, ""), "|"), line)
		}
	}
	for _, raw := range []string{"<script", "<img", "<b>", " **b", "@everyone", "](http", " `code"} {
		assert.NotContains(t, table, raw)
	}
	assert.Contains(t, table, "alert\\(1\\)")
}

func TestAnnotations(t *testing.T) {
	print := func(all []Annotation) []string {
		var out bytes.Buffer
		require.NoError(t, WriteGitHub(&out, all))
		return strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	}
	assert.Equal(t, []string{"::error file=features/orders.feature,line=20,title=failed%3A no order is applied twice::observed 3 of 40 keys; 3 keys have two effects each"}, print(Annotations(samples(t)["failed"])))
	assert.Empty(t, Annotations(samples(t)["passed"]))
	lines := print(Annotations(manyFailures(10)))
	require.Len(t, lines, 10)
	assert.NotContains(t, lines[9], "more)")
	lines = print(Annotations(manyFailures(24)))
	require.Len(t, lines, 10)
	assert.Contains(t, lines[9], "file=a.feature,line=11,title=failed%3A p95 stays below 1s (and 14 more)::")
	assert.Equal(t, []string{"::error file=a%2Cb%3Ac,line=1,title=x::50%25%0Aof it"}, print([]Annotation{{File: "a,b:c", Line: 1, Title: "x", Message: "50%\nof it"}}))
	assert.Equal(t, []string{"::error title=inconclusive::the run is inconclusive: no scenario ran to its end"}, print(Annotations(&journal.Book{End: &journal.End{}})))
	assert.ErrorContains(t, WriteGitHub(broken{}, Annotations(samples(t)["failed"])), "disk full")
}

// TestAnnotationsAgreeWithTheOutcome: a run is annotated exactly if it did not pass.
func TestAnnotationsAgreeWithTheOutcome(t *testing.T) {
	for name, b := range samples(t) {
		assert.Equal(t, Outcome(b) != "passed", len(Annotations(b)) > 0, name)
	}
	for _, o := range ranks {
		b := &journal.Book{End: &journal.End{Outcome: o}, Scenarios: []*journal.History{{Begin: journal.Begin{ID: "s"}, End: &journal.End{Outcome: o}}}}
		assert.Equal(t, Outcome(b) != "passed", len(Annotations(b)) > 0, o)
	}
}

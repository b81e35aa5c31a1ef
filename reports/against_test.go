package reports

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// compared returns two runs of the same scenario, of which the later one failed, and the comparison.
func compared(tb testing.TB) (*journal.Book, *Against) {
	now, before := newRecording(), newRecording()
	before.scenario(sampleRun{name: "lost replies", outcome: "passed"})
	before.end("passed")
	now.scenario(sampleRun{name: "lost replies", outcome: "failed"})
	now.end("failed")
	b := now.book(tb)
	a := &Against{
		ID: "20260101T030405-11aa", Outcome: "passed", Began: time.Date(2026, 1, 1, 3, 4, 5, 0, time.UTC), Summary: "1 new failure, 1 missing", Book: before.book(tb),
		Changes: []Change{
			{ID: "gone", Name: "Gone", State: "missing", Outcome: "skipped", Before: "passed"},
			{ID: b.Scenarios[0].ID, Name: "An order is charged once", State: "new failure", Outcome: "failed", Before: "passed", Now: "failed", Comparable: true,
				Checks: []string{"new failure: no order is applied twice – 3 keys have two effects each"},
				Figures: []ChangedFigure{
					{Name: "p95 during the fault", Before: "9.0ms", Now: "31.0ms", Usual: "8.0ms to 10.0ms, median 9.0ms of 6 runs", Mark: "worse", Shown: true},
					{Name: "p99 before the fault", Before: "3.0ms", Now: "3.1ms", Mark: ""},
				}},
		},
	}
	return b, a
}

func pageAgainst(tb testing.TB, b *journal.Book, a *Against) string {
	return string(render(tb, PageAgainst(a).Write, b))
}

func TestPageAgainstAnEarlierRun(t *testing.T) {
	b, a := compared(t)
	page := pageAgainst(t, b, a)
	table := page[strings.Index(page, `<h2 id="changes">`):]
	for _, want := range []string{
		"Compared with run 20260101T030405-11aa of 2026-01-01 03:04:05 UTC, which passed. 1 new failure, 1 missing.",
		`✗ new failure</strong><td><a href="#s1">An order is charged once</a>`, "passed → failed",
		"p95 during the fault: <span class=\"w\">9.0ms → 31.0ms</span> <strong class=\"failed\">worse</strong>",
		"8.0ms to 10.0ms, median 9.0ms of 6 runs", "not known: too few comparable runs", "– missing",
	} {
		assert.Contains(t, table, want)
	}
	assert.Less(t, strings.Index(table, "new failure</strong>"), strings.Index(table, "missing</strong>"), "what needs attention is first")
	assert.NotContains(t, table[:strings.Index(table, "</table>")], "p99 before the fault", "it has nothing to say")

	// The curves of the earlier run are in the charts, in words below them, and in the table.
	assert.Equal(t, 1, strings.Count(page, "p95 in the earlier run</i>"))
	assert.Equal(t, 1, strings.Count(page, "succeeded in the earlier run</i>"))
	assert.Equal(t, 2, strings.Count(page, `stroke-width=1.2 stroke-dasharray="3 2"`))
	assert.Contains(t, page, "In the earlier run: ")
	assert.Contains(t, page, "<th>p95, ms, in the earlier run<th>succeeded in the earlier run")
	assert.NotContains(t, string(render(t, writeHTML, b)), "earlier run")
}

func TestUnlikeRunsAreNotDrawnTogether(t *testing.T) {
	b, a := compared(t)
	a.Changes[1].Comparable = false
	page := pageAgainst(t, b, a)
	assert.NotContains(t, page, "In the earlier run")

	a.Differs, a.Changes, a.Summary = []string{`the machine: "linux/arm64, 2 CPUs", and "linux/amd64, 2 CPUs" before`}, nil, ""
	page = pageAgainst(t, b, a)
	assert.Contains(t, page, "The runs are not comparable")
	assert.Contains(t, page, "linux/arm64")
	assert.NotContains(t, page, "In the earlier run")
	assert.NotContains(t, page, "All figures")
}

// TestEarlierCurvesBeginWithTheFault: the faults of both runs are at the same place of the charts.
func TestEarlierCurvesBeginWithTheFault(t *testing.T) {
	b, a := compared(t)
	old := a.Book.Scenarios[0]
	for i := range old.Samples {
		old.Samples[i].From, old.Samples[i].To = old.Samples[i].From+7*time.Second, old.Samples[i].To+7*time.Second
	}
	for i := range old.Phases {
		old.Phases[i].From, old.Phases[i].To = old.Phases[i].From+7*time.Second, old.Phases[i].To+7*time.Second
	}
	old.Faults[0].Injected, old.Faults[0].Healed = old.Faults[0].Injected+7*time.Second, old.Faults[0].Healed+7*time.Second
	old.Began, old.Ended = old.Began+7*time.Second, old.Ended+7*time.Second
	e := newEarlier(old, newAxis(b.Scenarios[0]))
	require.NotNil(t, e)
	for _, s := range seconds(newAxis(b.Scenarios[0])) {
		before, ok := e.at((s.from + s.to) / 2)
		require.True(t, ok, at(s.from))
		assert.Equal(t, s.window, before.window, at(s.from))
	}
}

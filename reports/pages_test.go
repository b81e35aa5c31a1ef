package reports

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

var pagesDir = flag.String("pages", "", "write pages for the tests in a browser into this folder")

// TestWritePages writes the pages that the tests in folder testdata/browser open.
func TestWritePages(t *testing.T) {
	if *pagesDir == "" {
		return // nothing was asked for
	}
	pages := samples(t)
	for name, b := range samples(t) {
		poison(reflect.ValueOf(b))
		pages["hostile-"+name] = b
	}
	many := newRecording()
	for i := range 60 {
		many.scenario(sampleRun{name: fmt.Sprint("row ", i), outcome: map[bool]string{true: "failed", false: "passed"}[i%20 == 7]})
	}
	many.end("failed")
	pages["many"] = many.book(t)
	pages["stopped"] = samples(t)["failed"]
	pages["stopped"].Scenarios[0].End = &journal.End{Outcome: "stopped", Reason: "a stop rule was met: success below 50% for 2s"}
	pages["topology"] = &journal.Book{Scenarios: []*journal.History{drilled()}, End: &journal.End{Outcome: "passed"}}
	pages["hour"] = &journal.Book{Scenarios: []*journal.History{hour(2000)}, End: &journal.End{}}
	pages["hour"].Scenarios[0].Requests.Add(journal.Request{Key: "k", Attempts: []journal.Attempt{{At: time.Second}}})
	pages["mixed"] = mixed(t)
	now, against := compared(t)
	require.NoError(t, os.WriteFile(filepath.Join(*pagesDir, "compared.html"), render(t, PageAgainst(against).Write, now), 0o600))
	poison(reflect.ValueOf(against))
	require.NoError(t, os.WriteFile(filepath.Join(*pagesDir, "hostile-compared.html"), render(t, PageAgainst(against).Write, now), 0o600))
	for name, b := range pages {
		require.NoError(t, os.WriteFile(filepath.Join(*pagesDir, name+".html"), render(t, writeHTML, b), 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(*pagesDir, name+".messages.ndjson"), render(t, writeMessages, b), 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(*pagesDir, name+".metrics.txt"), render(t, writeMetrics, b), 0o600))
	}
}

// mixed returns a run with many scenarios of all outcomes, some of which were not run.
func mixed(tb testing.TB) *journal.Book {
	r := newRecording()
	for i := range 12 {
		r.scenario(sampleRun{name: fmt.Sprint("row ", i), outcome: []string{"failed", "passed", "inconclusive"}[i%3]})
	}
	r.end("stopped")
	b := r.book(tb)
	b.Scenarios[3].End = &journal.End{Outcome: "stopped", Reason: "a stop rule was met: success below 50% for 2s"}
	b.Scenarios[5].End = &journal.End{Outcome: "interrupted", Reason: "interrupted by a signal"}
	b.Scenarios[7].End, b.Scenarios[7].Verdicts = &journal.End{Outcome: "skipped", Reason: "redis-server is not installed"}, nil
	b.Scenarios[8].End = nil
	for _, h := range b.Scenarios {
		b.Run.Plan = append(b.Run.Plan, journal.Planned{ID: h.ID, Name: h.Name, File: h.File, Line: h.Line})
	}
	b.Run.Plan = append(b.Run.Plan, journal.Planned{ID: "never", Name: "never run", File: "features/orders.feature", Line: 40})
	return b
}

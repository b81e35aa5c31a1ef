package reports

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Each load with a name has its own figures in report.json and report.html.
func TestLoadsWithNamesHaveFigures(t *testing.T) {
	r := newRecording()
	r.id = "a"
	r.at(0.1, journal.Event{Begin: &journal.Begin{ID: "a", Name: "A", LoadNames: []string{"checkout", "browsing"}}})
	r.at(0.2, journal.Event{Phase: &journal.Phase{Name: "baseline"}})
	for load, good := range map[string]int{"checkout": 60, "browsing": 30} {
		took := []journal.Bucket{{Up: 10 * time.Millisecond, N: 60}}
		r.at(2, journal.Event{Sample: &journal.Sample{From: 1e9, To: 2e9, Window: journal.Before, Load: load, Route: "GET /", Sent: 60, OK: good, Ambiguous: 60 - good, Latency: took}})
		r.at(3, journal.Event{Load: &journal.Load{Name: load, Requested: 60, Intended: 60, Sent: 60, Attempts: 60, Wire: 60}})
	}
	r.at(4, journal.Event{End: &journal.End{Outcome: "passed"}})
	h := r.book(t).Scenarios[0]
	assert.Equal(t, 120, h.Load.Sent)
	assert.Empty(t, h.Load.Name)
	all := map[string]float64{}
	for _, f := range newFigures(h) {
		all[f.Load] = float64(f.Good) / float64(f.Sent)
	}
	assert.Equal(t, map[string]float64{"": 0.75, "checkout": 1, "browsing": 0.5}, all)
	var page, doc bytes.Buffer
	require.NoError(t, writeHTML(&page, r.book(t)))
	assert.Contains(t, page.String(), "<td>the browsing load<td>")
	require.NoError(t, writeJSON(&doc, r.book(t)))
	assert.Contains(t, doc.String(), `"name": "browsing"`)
	assert.Contains(t, doc.String(), `"load": "browsing"`)
}

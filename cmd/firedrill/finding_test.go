package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// TestNoteOf: a note that begins as a finding is one, or says what it lacks; no text is lost.
func TestNoteOf(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 12, 2, 10, 0, 0, 0, time.UTC)
	for text, want := range map[string]*journal.Finding{
		"the pager stayed silent":                                  nil,
		"findings follow":                                          nil,
		"finding high: the pager stayed silent":                    {Severity: "high", What: "the pager stayed silent"},
		"Finding high: the pager":                                  {Severity: "high", What: "the pager"},
		"finding low : mail to a@b.example @ben retest 2027-01-15": {Severity: "low", What: "mail to a@b.example", Owner: "ben", Retest: "2027-01-15"},
		"finding critical: x: y retest 2026-12-02  @ben":           {Severity: "critical", What: "x: y", Owner: "ben", Retest: "2026-12-02"},
		"finding high: @ana says @ben":                             {Severity: "high", What: "@ana says", Owner: "ben"},
	} {
		n, err := noteOf(text, now)
		require.NoError(t, err, text)
		require.Equal(t, want, n.Finding, text)
		require.Equal(t, map[bool]string{true: "finding", false: "note"}[want != nil], n.Kind, text)
		require.Equal(t, text, n.Text)
	}
	for text, want := range map[string]string{
		"finding: the pager":                     "its severity is missing",
		"finding the pager took long":            "its severity is missing",
		"finding hihg: the pager":                `there is no severity "hihg": did you mean "high"?`,
		"finding high:":                          "it does not say what was found",
		"finding high: @ben":                     "it does not say what was found",
		"finding high: pager retest soon":        `"soon" is not a date`,
		"finding high: pager retest 2026-02-30":  `"2026-02-30" is not a date`,
		"finding high: pager @b retest 2026-1-2": `"2026-1-2" is not a date`,
		"finding high: pager retest 2026-12-01":  "the day of the next test, 2026-12-01, is over",
	} {
		n, err := noteOf(text, now)
		require.ErrorContains(t, err, want, text)
		require.Equal(t, journal.Note{Kind: "note", Text: text}, n)
	}
}

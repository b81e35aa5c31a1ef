package reports

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// TestGameDay: the times of a card are those since its first fault was live, and the timeline holds what people and the
// machine did, in order.
func TestGameDay(t *testing.T) {
	const s = time.Second
	note := func(at time.Duration, kind, by, text string) journal.TimedNote {
		return journal.TimedNote{At: at, Note: journal.Note{Kind: kind, By: by, Text: text}}
	}
	b := &journal.Book{Notes: []journal.TimedNote{note(s, "day", "ana", "The shop | without helpers")}, Scenarios: []*journal.History{{
		Begin: journal.Begin{ID: "a", Name: "payments hang"}, Began: 2 * s, Ended: 40 * s, End: &journal.End{Outcome: "inconclusive"},
		Faults: []*journal.Injection{{Injected: 10 * s, Healed: 30 * s, Fault: journal.Fault{ID: "f1", Sentence: "payments hangs", Live: 11 * s, Ended: 30 * s}}},
		Notes: []journal.TimedNote{
			note(5*s, "detected", "ana", "too early to count"), note(12*s, "", "", "of the runner"), note(14500*time.Millisecond, "detected", "ben", "detected"),
			note(19*s, "note", "ben", "<b>pager</b>"), note(29*s, "mitigated", "ana", "mitigated"), note(31*s, "mitigated", "ana", "again"),
		},
	}, {Begin: journal.Begin{ID: "b", Name: "never injected"}, Began: 41 * s, Ended: 42 * s, End: &journal.End{Outcome: "inconclusive"}, Notes: []journal.TimedNote{note(41*s, "detected", "ana", "of nothing")}}}}
	d := newGameDay(b)
	require.NotNil(t, d)
	assert.Equal(t, []dayCard{{"payments hang", "inconclusive", "3.5s", "18s", "–"}, {"never injected", "inconclusive", "–", "–", "–"}}, d.Cards)
	var at []time.Duration
	for _, m := range d.Timeline {
		at = append(at, m.At/s)
	}
	assert.Equal(t, []time.Duration{1, 2, 5, 11, 12, 14, 19, 29, 30, 31, 40, 41, 41, 42}, at)
	assert.Contains(t, d.Timeline, dayMoment{11 * s, "", "payments hang: live: payments hangs"})
	assert.Contains(t, d.Timeline, dayMoment{19 * s, "ben", "payments hang: <b>pager</b>"})

	var page, text bytes.Buffer
	require.NoError(t, writeHTML(&page, b))
	assert.Contains(t, page.String(), `<h2 id="gameday">Game day</h2>`)
	assert.NotContains(t, page.String(), "<b>pager")
	require.NoError(t, writeSummary(&text, b))
	assert.Contains(t, text.String(), `### Game day: The shop \| without helpers`)
	assert.Contains(t, text.String(), "| payments hang | 3.5s | 18s | – |")

	b.Notes, b.Scenarios[0].Notes, b.Scenarios[1].Notes = nil, []journal.TimedNote{note(12*s, "", "", "of the runner")}, nil
	assert.Nil(t, newGameDay(b), "a run without people is no game day")
}

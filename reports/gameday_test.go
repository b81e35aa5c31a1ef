package reports

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// TestGameDay: the times of a card are those since its first fault was live, and the timeline holds what people and the
// machine did, in order.
func TestGameDay(t *testing.T) {
	const s = time.Second
	note := func(at time.Duration, kind, by, text string) journal.TimedNote {
		return journal.TimedNote{At: at, Note: journal.Note{Kind: kind, By: by, Text: text}}
	}
	begin := note(s, "day", "ana", "The shop | without helpers")
	begin.Day = &journal.Day{Title: "The shop", Cards: []journal.Card{{Scenario: "a", Hypothesis: "orders are taken"}}}
	b := &journal.Book{Notes: []journal.TimedNote{begin}, Scenarios: []*journal.History{{
		Begin: journal.Begin{ID: "a", Name: "payments hang"}, Began: 2 * s, Ended: 40 * s, End: &journal.End{Outcome: "inconclusive"},
		Faults: []*journal.Injection{{Injected: 10 * s, Healed: 30 * s, Fault: journal.Fault{ID: "f1", Sentence: "payments hangs", By: "dan", Live: 11 * s, Ended: 30 * s}}},
		Notes: []journal.TimedNote{
			note(5*s, "detected", "ana", "too early to count"), note(12*s, "", "", "of the runner"), note(14500*time.Millisecond, "detected", "ben", "detected"),
			note(19*s, "note", "ben", "<b>pager</b>"), note(29*s, "mitigated", "ana", "mitigated"), note(31*s, "mitigated", "ana", "again"),
		},
	}, {Begin: journal.Begin{ID: "b", Name: "never injected"}, Began: 41 * s, Ended: 42 * s, End: &journal.End{Outcome: "inconclusive"}, Notes: []journal.TimedNote{note(41*s, "detected", "ana", "of nothing")}}}}
	d := newGameDay(b)
	require.NotNil(t, d)
	assert.Equal(t, []dayCard{{"payments hang", "inconclusive", "orders are taken", "not known", "3.5s", "18s", "–"}, {"never injected", "inconclusive", "", "not known", "–", "–", "–"}}, d.Cards)
	var at []time.Duration
	for _, m := range d.Timeline {
		at = append(at, m.At/s)
	}
	assert.Equal(t, []time.Duration{1, 2, 5, 11, 12, 14, 19, 29, 30, 31, 40, 41, 41, 42}, at)
	assert.Contains(t, d.Timeline, dayMoment{11 * s, "dan", "payments hang: live: payments hangs"})
	assert.Contains(t, d.Timeline, dayMoment{19 * s, "ben", "payments hang: <b>pager</b>"})

	var page, text bytes.Buffer
	require.NoError(t, writeHTML(&page, b))
	assert.Contains(t, page.String(), `<h2 id="gameday">Game day</h2>`)
	assert.NotContains(t, page.String(), "<b>pager")
	require.NoError(t, writeSummary(&text, b))
	assert.Contains(t, text.String(), `### Game day: The shop \| without helpers`)
	assert.Contains(t, text.String(), "| payments hang | orders are taken | not known | 3.5s | 18s | – |")

	b.Notes, b.Scenarios[0].Notes, b.Scenarios[1].Notes = nil, []journal.TimedNote{note(12*s, "", "", "of the runner")}, nil
	assert.Nil(t, newGameDay(b), "a run without people is no game day")
}

// TestNotesWithoutGameDay: the notes of an ordinary run are shown as such, with the times of the scenarios that people
// detected. Nothing is said of hypotheses, and of findings only if there are some.
func TestNotesWithoutGameDay(t *testing.T) {
	t.Parallel()
	b := samples(t)["parted"]
	d := newGameDay(b)
	require.Len(t, d.Cards, 1)
	assert.Equal(t, "1.6s", d.Cards[0].Detected)
	quiet := *b.Scenarios[0]
	quiet.Notes = nil
	b.Scenarios = append(b.Scenarios, &quiet)
	require.Len(t, newGameDay(b).Cards, 1, "nobody noted anything about the second scenario")

	for name, head := range map[string]string{"text": "notes of people:\n  0:07.1  ana: ", "summary": "### Notes of people\n", "html": `<h2 id="gameday">Notes of people</h2>`} {
		section := func() string {
			var out bytes.Buffer
			require.NoError(t, Formats().WriteTo(&out, name, b))
			_, rest, found := strings.Cut(out.String(), head)
			require.True(t, found, name)
			rest, _, _ = strings.Cut(rest, "<h2")
			return rest
		}
		b.Scenarios[0].Notes[1].Finding = nil
		assert.Contains(t, section(), "the pager is silent", name)
		assert.NotRegexp(t, "(?i)game day|hypothesis|finding", section(), name)
		b.Scenarios[0].Notes[1].Finding = &journal.Finding{What: "the pager is silent", Severity: "high"}
		assert.Contains(t, section(), "finding", name)
	}
}

// TestFindings: a person notes some, and each failed scenario is one, with severity, owner and date of its card.
func TestFindings(t *testing.T) {
	t.Parallel()
	const s = time.Second
	day := journal.TimedNote{At: s, Note: journal.Note{Kind: "day", By: "ana", Text: "The shop", Day: &journal.Day{Cards: []journal.Card{
		{Scenario: "a", Owner: "cleo", Severity: "critical", Retest: "2027-01-15"}, {Scenario: "b", Owner: "dan", Severity: "low"},
	}}}}
	noted := func(at time.Duration, what, owner string) journal.TimedNote {
		return journal.TimedNote{At: at, Note: journal.Note{Kind: "finding", By: "ben", Text: "finding medium: " + what, Finding: &journal.Finding{What: what, Severity: "medium", Owner: owner}}}
	}
	scenario := func(id string, began, ended time.Duration, end string, verdicts ...journal.Verdict) *journal.History {
		return &journal.History{Begin: journal.Begin{ID: id, Name: "scenario " + id}, Began: began, Ended: ended, Verdicts: verdicts, End: &journal.End{Outcome: "failed", Reason: end}}
	}
	a := scenario("a", 2*s, 20*s, "", journal.Verdict{Check: "none is lost", Outcome: "failed", Observed: "3 <b>lost</b>"}, journal.Verdict{Check: "it is quick", Outcome: "failed", Reason: "slow"},
		journal.Verdict{Check: "it is known to fail", Outcome: "failed", Finding: true})
	a.Notes = []journal.TimedNote{noted(5*s, "the pager stayed silent", "")}
	b := scenario("b", 30*s, 40*s, "", journal.Verdict{Check: "most succeed", Outcome: "inconclusive", Withheld: "failed", Code: "injected-by-hand", Observed: "10%"}, journal.Verdict{Check: "late", Outcome: "inconclusive", Withheld: "failed", Code: "busy-machine"})
	c := scenario("c", 50*s, 60*s, `by the rule "fewer than 50%": 3% succeeded`)
	c.End.Code = codes.Stopped.String()
	passed := scenario("d", 61*s, 70*s, "", journal.Verdict{Check: "most succeed", Outcome: "passed"})
	aborted := scenario("e", 71*s, 80*s, "stopped by the rule of ana") // whatever the text is
	aborted.End.Code = codes.Aborted.String()
	book := &journal.Book{Notes: []journal.TimedNote{day, noted(25*s, "no runbook", "eve")}, Scenarios: []*journal.History{a, b, c, passed, aborted}}

	var rows [][6]string
	for i, f := range Findings(book) {
		require.Equal(t, i+1, f.N)
		rows = append(rows, [6]string{f.What, f.Severity, f.Owner, f.Retest, f.By, f.Scenario.ID})
	}
	require.Equal(t, [][6]string{
		{"the pager stayed silent", "medium", "cleo", "", "ben", "a"},
		{"none is lost: 3 <b>lost</b> (and 1 further check)", "critical", "cleo", "2027-01-15", "", "a"},
		{"no runbook", "medium", "eve", "", "ben", "a"},
		{"most succeed: 10%", "low", "dan", "", "", "b"},
		{`by the rule "fewer than 50%": 3% succeeded`, "high", "", "", "", "c"},
	}, rows)
	var held []string
	for _, card := range newGameDay(book).Cards {
		held = append(held, card.Held)
	}
	require.Equal(t, []string{"did not hold", "did not hold", "did not hold", "held", "not known"}, held)

	var page, summary, text bytes.Buffer
	require.NoError(t, writeHTML(&page, book))
	assert.Contains(t, page.String(), `<h3 id="findings">Findings</h3>`)
	assert.NotContains(t, page.String(), "<b>lost")
	require.NoError(t, writeSummary(&summary, book))
	assert.Contains(t, summary.String(), "| 1 | medium | the pager stayed silent | scenario a | ben | cleo | – |")
	assert.Contains(t, summary.String(), "| – | cleo | 2027-01-15 |")
	require.NoError(t, writeText(&text, book))
	assert.Contains(t, text.String(), "finding 3, medium, owner eve, retest –: no runbook")

	raw := render(t, writeJSON, book)
	require.NoError(t, strict(t).Validate(parsed(t, raw)))
	var doc document
	require.NoError(t, json.Unmarshal(raw, &doc))
	require.Len(t, doc.Findings, 5)
	assert.Equal(t, documentFinding{2, journal.Finding{What: "none is lost: 3 <b>lost</b> (and 1 further check)", Severity: "critical", Owner: "cleo", Retest: "2027-01-15"}, 20 * s, "", "a"}, doc.Findings[1])
	assert.Equal(t, documentFinding{3, journal.Finding{What: "no runbook", Severity: "medium", Owner: "eve"}, 25 * s, "ben", "a"}, doc.Findings[2])
}

package reports

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// TestOutcomesAgree compares the outcomes in all reports, for all combinations.
func TestOutcomesAgree(t *testing.T) {
	for _, verdict := range []string{"passed", "failed", "inconclusive", "none"} {
		for _, end := range []string{"passed", "failed", "inconclusive", "stopped", "interrupted", "skipped", "never"} {
			for _, whole := range []bool{true, false} {
				h := &journal.History{Begin: journal.Begin{ID: "s", Name: "s"}, Ended: time.Second}
				if verdict != "none" {
					h.Verdicts = []journal.Verdict{{Check: "c", Kind: "success", Outcome: verdict, Reason: "because"}}
				}
				if end != "never" {
					h.End = &journal.End{Outcome: end, Reason: map[bool]string{true: "its reason"}[end == "stopped" || end == "skipped"]}
				}
				b := &journal.Book{Scenarios: []*journal.History{h}}
				if whole {
					b.End = &journal.End{Outcome: end}
				}
				agree(t, b)
			}
		}
	}
	agree(t, &journal.Book{})
	agree(t, &journal.Book{End: &journal.End{}})
}

func agree(t *testing.T, b *journal.Book) {
	t.Helper()
	want := Outcome(b)
	assert.Contains(t, ranks[1:], want)
	text := strings.Split(strings.TrimSpace(string(render(t, writeText, b))), "\n")
	assert.True(t, strings.HasPrefix(text[len(text)-1], strings.ToUpper(want)+" "), text)
	page := string(render(t, writeHTML, b))
	assert.Contains(t, page, "<h1 class=\""+want+"\">")
	assert.Contains(t, page, "<title>"+strings.ToUpper(want)+" ")
	assert.Equal(t, want != "passed", strings.Contains(page, `id="why-1"`), "a card shows the reason: %s", want)
	var doc document
	require.NoError(t, json.Unmarshal(render(t, writeJSON, b), &doc))
	assert.Equal(t, want, doc.Outcome)
	var all suites
	require.NoError(t, xml.Unmarshal(render(t, writeJUnit, b), &all))
	assert.Equal(t, want != "passed", all.Failures+all.Errors > 0, "JUnit is green exactly when the run passed: %s %s", want, text)
	if b.End != nil && b.Broken == "" && len(b.Scenarios) > 0 {
		assert.Equal(t, outcome(b.Scenarios[0]), doc.Scenarios[0].Outcome)
	}
}

// TestScenariosNotRunAreListed: every report lists the scenarios that an interrupted run did not reach.
func TestScenariosNotRunAreListed(t *testing.T) {
	b := &journal.Book{
		Run: journal.Run{Plan: []journal.Planned{{ID: "a", Name: "first", File: "a.feature", Line: 2}, {ID: "b", Name: "never reached", File: "a.feature", Line: 9}}},
		End: &journal.End{Outcome: "interrupted"},
	}
	b.Scenarios = []*journal.History{{Begin: journal.Begin{ID: "a", Name: "first", File: "a.feature", Line: 2}, End: &journal.End{Outcome: "interrupted", Reason: "Ctrl-C"}}}
	for format, want := range map[string][]string{
		"text": {"NOT RUN  never reached  (a.feature:9)", "1 interrupted, 1 not run"}, "json": {`"not_run"`, `"name": "never reached"`},
		"junit": {`<testsuite name="b"`, "the run ended before this scenario began"}, "html": {"– not run", "never reached", "1 not run"},
	} {
		var out bytes.Buffer
		require.NoError(t, Formats().WriteTo(&out, format, b))
		for _, text := range want {
			require.Contains(t, out.String(), text, format)
		}
		require.Equal(t, 0, strings.Count(out.String(), "NOT RUN  first"), format)
	}
}

// TestSkippedScenariosAreInconclusive: a run with skipped scenarios passes only if it allows them.
func TestSkippedScenariosAreInconclusive(t *testing.T) {
	b := &journal.Book{End: &journal.End{}, Scenarios: []*journal.History{
		{Begin: journal.Begin{ID: "a", Name: "a"}, End: &journal.End{Outcome: "passed"}, Verdicts: []journal.Verdict{{Kind: "success", Outcome: "passed"}}},
		{Begin: journal.Begin{ID: "b", Name: "b"}, End: &journal.End{Outcome: "skipped", Reason: "redis-server is not installed"}},
	}}
	require.Equal(t, "inconclusive", Outcome(b))
	for _, format := range []string{"text", "html", "junit"} {
		var out bytes.Buffer
		require.NoError(t, Formats().WriteTo(&out, format, b))
		require.Contains(t, out.String(), "1 of 2 scenarios were skipped", format)
	}
	b.Run.AllowSkipped = true
	require.Equal(t, "passed", Outcome(b))
}

// TestFindingsOfRetries: a scenario that passed only as a retry is not counted as one that passed.
func TestFindingsOfRetries(t *testing.T) {
	known := journal.Verdict{Kind: "none twice", Outcome: "passed", Finding: true}
	b := &journal.Book{End: &journal.End{}, Scenarios: []*journal.History{
		{Begin: journal.Begin{ID: "a", Quarantine: &journal.Quarantine{}}, End: &journal.End{Outcome: "failed"}},
		{Begin: journal.Begin{ID: "a-2", RetryOf: "a", Quarantine: &journal.Quarantine{}}, End: &journal.End{Outcome: "passed"}, Verdicts: []journal.Verdict{known}},
	}}
	require.Equal(t, []string{"1 did not pass in quarantine"}, countOutcomes(b, func(_, text string) string { return text }))
}

// TestFindingsLookExpected: a scenario passes although a check fails, if the check is known to fail. Reports say so.
func TestFindingsLookExpected(t *testing.T) {
	step := journal.Step{Keyword: "Then", Text: "no request is applied more than once", At: "a.feature:7"}
	known := journal.Verdict{Check: step.Text, Kind: "none twice", Outcome: "passed", Finding: true, Reason: "46 applied more than once", Step: step.At}
	b := &journal.Book{End: &journal.End{}, Scenarios: []*journal.History{
		{Begin: journal.Begin{ID: "a", Name: "a", Steps: []journal.Step{step}}, End: &journal.End{Outcome: "passed"}, Verdicts: []journal.Verdict{known}},
		{Begin: journal.Begin{ID: "b", Name: "b"}, End: &journal.End{Outcome: "passed"}, Verdicts: []journal.Verdict{{Kind: "success", Outcome: "passed"}}},
	}}
	require.Equal(t, "passed", Outcome(b))
	for _, format := range []string{"text", "html"} {
		var out bytes.Buffer
		require.NoError(t, Formats().WriteTo(&out, format, b))
		require.Contains(t, out.String(), "2 passed (1 of them a finding, as expected)", format)
		require.Contains(t, out.String(), "known to fail, as it does: 46 applied more than once", format)
		if format == "html" {
			require.Equal(t, 1, strings.Count(out.String(), "a finding, as expected</small>"))
		}
	}
}

// retried returns a run of a scenario with a first outcome, and a retry with another one.
func retried(first, second string) *journal.Book {
	one := func(id, retryOf, outcome string) *journal.History {
		return &journal.History{
			Begin: journal.Begin{ID: id, Name: id, RetryOf: retryOf}, End: &journal.End{Outcome: outcome, Reason: "its reason"},
			Verdicts: []journal.Verdict{{Check: "c", Kind: "success", Outcome: outcome, Reason: "because"}},
		}
	}
	return &journal.Book{Scenarios: []*journal.History{one("s", "", first), one("s--retry-1", "s", second)}, End: &journal.End{}}
}

func TestPassedWhenRunAgainIsFlaky(t *testing.T) {
	for _, row := range []struct{ first, second, want, allowed string }{
		{"failed", "passed", "flaky", "passed"},
		{"failed", "failed", "failed", "failed"},
		{"failed", "inconclusive", "failed", "failed"},
		{"passed", "passed", "passed", "passed"},
	} {
		b := retried(row.first, row.second)
		assert.Equal(t, row.want, Outcome(b), row)
		agree(t, b)
		b.Run.AllowFlaky = true
		assert.Equal(t, row.allowed, Outcome(b), row)
	}
	text := string(render(t, writeText, retried("failed", "passed")))
	assert.Contains(t, text, "✗ FAILED  s\n", "the failure is not hidden")
	assert.Contains(t, text, "FLAKY  1 flaky;")
}

func TestRepetitionsAreCounted(t *testing.T) {
	b := retried("passed", "failed")
	b.Scenarios[1].RetryOf, b.Scenarios[1].RepeatOf = "", "s"
	assert.Equal(t, "failed", Outcome(b))
	assert.Equal(t, []string{"s: of 2 repetitions 1 passed, 1 failed"}, countRepetitions(b))
}

// TestRepetitionsAreCountedAsOneByOne compares the counts with those of a plain search, for random runs: scenarios with
// repetitions, retries, retries of repetitions, and references to nothing.
func TestRepetitionsAreCountedAsOneByOne(t *testing.T) {
	search := func(b *journal.Book) (lines []string) {
		for _, first := range b.Scenarios {
			counts, n := map[string]int{}, 0
			for _, h := range b.Scenarios {
				if h.RetryOf == "" && (h.ID == first.ID || h.RepeatOf == first.ID) {
					counts[OutcomeOf(b, h)]++
					n++
				}
			}
			if n < 2 {
				continue
			}
			var parts []string
			for _, o := range ranks {
				if counts[o] > 0 {
					parts = append(parts, fmt.Sprintf("%d %s", counts[o], o))
				}
			}
			lines = append(lines, fmt.Sprintf("%s: of %d repetitions %s", first.Name, n, strings.Join(parts, ", ")))
		}
		return lines
	}
	random := rand.New(rand.NewPCG(1, 2))
	several, kinds := 0, map[string]bool{}
	for range 2000 {
		b := &journal.Book{}
		id := func() string { return []string{"", "a", "b", "c", "d", "e"}[random.IntN(6)] }
		for range random.IntN(12) {
			o := []string{"skipped", "passed", "inconclusive", "failed", "stopped", "interrupted", "unknown"}[random.IntN(7)]
			h := &journal.History{Begin: journal.Begin{ID: id(), Name: id()}, End: &journal.End{Outcome: o}, Verdicts: []journal.Verdict{{Outcome: o}}}
			if random.IntN(2) == 0 {
				h.RepeatOf = id()
			}
			if random.IntN(3) == 0 {
				h.RetryOf = id()
			}
			b.Scenarios = append(b.Scenarios, h)
		}
		want := search(b)
		require.Equal(t, want, countRepetitions(b))
		several += len(want)
		for _, l := range want {
			kinds[l[strings.LastIndex(l, " ")+1:]] = true
		}
	}
	assert.Greater(t, several, 2000, "there was something to count")
	for _, o := range ranks {
		assert.Contains(t, kinds, o)
	}
}

// TestNotStartedIsInconclusive verifies that a run is not green whose time was too short for all scenarios.
func TestNotStartedIsInconclusive(t *testing.T) {
	b := retried("passed", "passed")
	b.Run.Plan = []journal.Planned{{ID: "s", Name: "s"}, {ID: "t", Name: "t"}}
	assert.Equal(t, "passed", Outcome(b), "go test -run chooses scenarios")
	b.Run.MaxDuration = time.Minute
	assert.Equal(t, "inconclusive", Outcome(b))
	agree(t, b)
	assert.Contains(t, string(render(t, writeText, b)), "1 of 2 scenarios were not started, since they would have ended after the longest duration of 1m")
}

// TestTimeLimitIsGivenOnce: reports give the reason of the end of a scenario once, with what was healed, also if it is that of
// a check.
func TestTimeLimitIsGivenOnce(t *testing.T) {
	t.Parallel()
	const limit, healed = "stopped at its time limit of 2m", "; every fault was healed"
	for name, c := range map[string]struct {
		end    string // the outcome of the scenario
		reason string // of the check
		limits int    // how often the limit is mentioned
	}{
		"the check gives the reason": {"inconclusive", limit, 1},
		"it gives another":           {"inconclusive", "no request was sent", 1},
		"the outcomes differ":        {"interrupted", limit, 2},
	} {
		h := &journal.History{Begin: journal.Begin{ID: "s", Name: "s"}, End: &journal.End{Outcome: c.end, Reason: limit + healed}}
		h.Verdicts = []journal.Verdict{{Check: "in time", Kind: check.KindOf(check.InTime{}), Outcome: "inconclusive", Reason: c.reason}, {Check: "c", Outcome: "passed", Reason: limit}}
		b := &journal.Book{Scenarios: []*journal.History{h}, End: &journal.End{Outcome: "inconclusive"}}
		texts := map[string]string{"text": string(render(t, writeText, b)), "summary": string(render(t, writeSummary, b))}
		var all suites
		require.NoError(t, xml.Unmarshal(render(t, writeJUnit, b), &all))
		for _, c := range all.Suites[0].Cases {
			for _, f := range []*failure{c.Failure, c.Error} {
				if f != nil {
					texts["junit"] += f.Text + "\n"
				}
			}
		}
		for line := range strings.Lines(string(render(t, writeMessages, b))) {
			if strings.Contains(line, `"message":`) {
				texts["messages"] += line
			}
		}
		for format, text := range texts {
			assert.Equal(t, c.limits, strings.Count(text, limit), "%s, %s: %s", name, format, text)
			assert.Contains(t, text, healed, "%s, %s", name, format)
		}
	}
}

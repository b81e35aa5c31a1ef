package reports

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"testing"
	"time"

	"github.com/cucumber/messages/go/v21"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// told is what the messages of a run say, by scenario.
type told struct {
	names    []string
	statuses map[string][]messages.TestStepResultStatus // of the steps and of the hook
	why      map[string]string                          // messages of all steps
	finished *messages.TestRunFinished
}

// readMessages reads messages and verifies that each refers only to earlier ones.
func readMessages(t *testing.T, raw []byte) told {
	t.Helper()
	all := told{statuses: map[string][]messages.TestStepResultStatus{}, why: map[string]string{}}
	known, pickles, cases, started := map[string]bool{}, map[string]string{}, map[string]string{}, map[string]string{}
	refers := func(id string) { assert.True(t, known[id], "an earlier message has the ID %q", id) }
	scan := json.NewDecoder(bytes.NewReader(raw))
	scan.DisallowUnknownFields()
	for {
		var e messages.Envelope
		err := scan.Decode(&e)
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err)
		switch {
		case e.GherkinDocument != nil:
			for _, child := range e.GherkinDocument.Feature.Children {
				known[child.Scenario.Id] = true
				for _, s := range child.Scenario.Steps {
					known[s.Id] = true
				}
			}
		case e.Hook != nil:
			known[e.Hook.Id] = true
		case e.Pickle != nil:
			refers(e.Pickle.AstNodeIds[0])
			pickles[e.Pickle.Id] = e.Pickle.Name
			all.names = append(all.names, e.Pickle.Name)
			for _, s := range e.Pickle.Steps {
				refers(s.AstNodeIds[0])
				known[s.Id] = true
			}
		case e.TestCase != nil:
			cases[e.TestCase.Id] = pickles[e.TestCase.PickleId]
			for _, s := range e.TestCase.TestSteps {
				refers(s.PickleStepId + s.HookId)
				known[s.Id] = true
			}
		case e.TestCaseStarted != nil:
			started[e.TestCaseStarted.Id] = cases[e.TestCaseStarted.TestCaseId]
		case e.TestStepFinished != nil:
			refers(e.TestStepFinished.TestStepId)
			name, result := started[e.TestStepFinished.TestCaseStartedId], e.TestStepFinished.TestStepResult
			all.statuses[name] = append(all.statuses[name], result.Status)
			all.why[name] += result.Message + "\n"
		case e.TestRunFinished != nil:
			all.finished = e.TestRunFinished
		}
	}
}

// TestMessagesNeverPassWhatDidNotPass: the worst status of a scenario stands for its outcome.
func TestMessagesNeverPassWhatDidNotPass(t *testing.T) {
	verdict := func(kind, outcome string) journal.Verdict {
		return journal.Verdict{Check: "a check", Kind: kind, Outcome: outcome, Reason: "because of " + outcome, Step: "a.feature:3"}
	}
	history := func(name, end string, verdicts ...journal.Verdict) *journal.History {
		h := &journal.History{Began: time.Second, Ended: 3 * time.Second, Verdicts: verdicts, End: &journal.End{Outcome: end}}
		h.ID, h.Name, h.File, h.Line, h.Steps = name, name, "a.feature", 2, []journal.Step{{Keyword: "Then", Text: "a check", At: "a.feature:3"}}
		return h
	}
	implied := verdict(check.KindOf(check.FaultsActed{}), "inconclusive")
	implied.Step = ""
	invalid := history("own step of an invalid scenario", "inconclusive", verdict(check.OwnStep, "failed"), implied)
	again := history("again", "passed", verdict("none twice", "passed"))
	again.RetryOf = "failed"
	b := &journal.Book{End: &journal.End{}, Run: journal.Run{Plan: []journal.Planned{{ID: "never", Name: "never", File: "a.feature", Line: 9}}}, Scenarios: []*journal.History{
		history("passed", "passed", verdict("none twice", "passed")),
		history("failed", "failed", verdict("none twice", "failed"), verdict("none twice", "passed")),
		history("inconclusive", "inconclusive", verdict("none twice", "inconclusive")),
		history("implied", "inconclusive", verdict("none twice", "passed"), implied),
		history("stopped", "stopped"), history("interrupted", "interrupted"), history("skipped", "skipped"), history("unheard of", "new"),
		invalid, again,
	}}
	b.Scenarios[6].End.Reason = "no Redis"
	got := readMessages(t, render(t, writeMessages, b))

	const passed, pending, failed, skipped, unknown = messages.TestStepResultStatus_PASSED, messages.TestStepResultStatus_PENDING, messages.TestStepResultStatus_FAILED, messages.TestStepResultStatus_SKIPPED, messages.TestStepResultStatus_UNKNOWN
	assert.Equal(t, map[string][]messages.TestStepResultStatus{
		"passed":                          {passed, passed},
		"failed":                          {failed, failed},
		"inconclusive":                    {pending, pending},
		"implied":                         {passed, pending},
		"stopped":                         {unknown, failed},
		"interrupted":                     {unknown, pending},
		"skipped":                         {skipped, skipped},
		"unheard of":                      {unknown, pending},
		"own step of an invalid scenario": {pending, pending},
		"again":                           {passed, passed},
		"never":                           {skipped},
	}, got.statuses)
	assert.Contains(t, got.why["failed"], "failed: because of failed")
	assert.Contains(t, got.why["implied"], "a check: because of inconclusive")
	assert.Contains(t, got.why["skipped"], "no Redis")
	assert.Contains(t, got.why["never"], "not run")
	for name, why := range got.why {
		assert.Equal(t, name == "passed" || name == "again", len(why) == 2, "%s: a reason unless it passed: %q", name, why)
	}
	assert.False(t, got.finished.Success)
	assert.Equal(t, int64(3), got.finished.Timestamp.Seconds-b.Run.Began.Unix())
}

func TestMessagesOfHostileText(t *testing.T) {
	for name, b := range samples(t) {
		scenarios := len(b.Scenarios)
		poison(reflect.ValueOf(b))
		b.Scenarios[0].Steps[0].At, b.Scenarios[0].Line = "x:1000000000", -1
		raw := render(t, writeMessages, b)
		assert.Len(t, readMessages(t, raw).names, scenarios, name)
		for line := range bytes.Lines(raw) {
			var decoded any
			require.NoError(t, json.Unmarshal(line, &decoded))
			assert.NotRegexp(t, "[\x00-\x08\x0b-\x1f\x7f\u0080-\u009f\u202e]", fmt.Sprint(decoded), "not as escapes of JSON either")
		}
		assert.Less(t, len(raw), 100_000, name)
	}
}

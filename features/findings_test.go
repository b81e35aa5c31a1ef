package features

import (
	"flag"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// runs says how often findings are looked for, each time with another seed: all of them once, then those that tell duplicates.
var runs = flag.Int("findings", 1, "how many times TestFindings looks for duplicates")

// TestFindings runs what is known of real software: the verdict is the true one, check by check, and the books of effects balance to the last one.
func TestFindings(t *testing.T) {
	if testing.Short() {
		t.Skip("runs real servers")
	}
	var files, again []string
	for _, f := range Findings() {
		if slices.Contains(f.Fails, noneTwice) {
			again = append(again, regexp.QuoteMeta(f.Scenario))
		}
		if !slices.Contains(files, f.File) {
			files = append(files, f.File)
		}
	}
	installed(t, files...)
	_, histories := drill(t, runner.Options{Paths: files, Parallel: 5, Seed: 7})
	assert.Len(t, histories, len(Findings()), "a scenario without a finding, or the other way round")
	for _, f := range Findings() {
		found(t, f, histories)
	}
	for seed := range uint64(max(1, *runs) - 1) { //nolint:gosec // small
		_, histories := drill(t, runner.Options{Paths: files, Parallel: 6, Seed: seed + 8, Name: "^(" + strings.Join(again, "|") + ")$"})
		for _, f := range Findings() {
			if slices.Contains(f.Fails, noneTwice) {
				found(t, f, histories)
			}
		}
	}
}

func found(t *testing.T, f Finding, histories []*journal.History) {
	for _, h := range histories {
		if h.Name != f.Scenario {
			continue
		}
		t.Log(tell(h))
		want := "passed"
		if len(f.Fails) > 0 {
			want = "failed"
		}
		assert.Equal(t, want, outcome(h), h.Name)
		failed := []string{}
		for _, v := range h.Verdicts {
			assert.True(t, v.Outcome != "inconclusive" || fastFailures(v), "%s: inconclusive: %s: %s", h.Name, v.Check, v.Reason)
			if v.Outcome == "failed" {
				failed = append(failed, v.Check)
			}
		}
		assert.ElementsMatch(t, f.Fails, failed, h.Name)
		accounted(t, f, h)
		return
	}
	assert.Fail(t, "no such scenario", f.Scenario)
}

// accounted holds effects against requests and the journal's count of lost replies.
func accounted(t *testing.T, f Finding, h *journal.History) {
	requests, acknowledged := len(h.Requests), 0
	for _, r := range h.Requests {
		if r.Outcome == "acknowledged" {
			acknowledged++
		}
	}
	lost := 0
	for _, in := range h.Faults {
		lost += int(in.Affected)
	}
	effects, keys := len(h.Effects), map[string]bool{}
	for _, e := range h.Effects {
		keys[e.Key] = true
	}
	twice := effects - len(keys)
	t.Logf("%s: %d requests, %d acknowledged, %d lost, %d effects, %d of them twice", h.Name, requests, acknowledged, lost, effects, twice)
	switch f.Effects {
	case NoEffects:
		assert.Zero(t, effects, h.Name)
		return
	case EachOnce:
		assert.Equal(t, requests, effects, h.Name)
	case EachDone:
		assert.Equal(t, acknowledged, effects, h.Name)
	case EachLoss:
		assert.Equal(t, acknowledged+lost, effects, h.Name)
	case SomeLost:
		assert.Less(t, effects, acknowledged, h.Name)
		assert.Zero(t, twice, h.Name)
	}
	for _, v := range h.Verdicts {
		if v.Check == noneTwice && v.Outcome == "failed" {
			assert.Equal(t, lost-(requests-acknowledged), twice, "%s: as many duplicates as replies were lost, but for those of requests that failed in the end", h.Name)
			assert.Contains(t, v.Reason, fmt.Sprintf("(surplus effects: %d)", twice), h.Name)
		}
	}
}

package features

import (
	"flag"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/features/machine"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
	"github.com/firedrill-dev/firedrill/scenarios/language"
)

// runs is how many times the findings of duplicates are run, each time with another seed.
var runs = flag.Int("findings", 1, "how many times TestFindings looks for duplicates")

// TestFindings verifies the verdict on each finding, check by check, and that its effects add up exactly.
func TestFindings(t *testing.T) {
	if testing.Short() {
		t.Skip("runs real servers")
	}
	for _, f := range Findings() {
		t.Run(f.Scenario, func(t *testing.T) {
			t.Parallel()
			installed(t, f.File)
			seeds := 1
			if slices.Contains(f.Fails, noneTwice) {
				seeds = max(1, *runs)
			}
			for seed := range seeds {
				args := []string{f.File, "--name", "^" + regexp.QuoteMeta(f.Scenario) + "$", "--seed", strconv.Itoa(7 + seed)}
				all := drill(t, args...)
				require.Len(t, all, 1)
				if why := busy(all[0]); why != "" && len(differences(f, all[0])) > 0 {
					t.Logf("run again, because this machine was busy and its delays may have caused further effects: %s", why)
					require.NoError(t, machine.Reserve(func() { all = run(t, args...) }))
				}
				assertFinding(t, f, all[0])
			}
		})
	}
}

func TestEveryFindingIsListed(t *testing.T) {
	var files, listed, scenarioNames []string
	for _, f := range Findings() {
		listed = append(listed, f.Scenario)
		if !slices.Contains(files, f.File) {
			files = append(files, f.File)
		}
	}
	es, err := language.Parse(language.Source{FS: FS, Paths: files})
	require.NoError(t, err)
	for _, e := range es {
		scenarioNames = append(scenarioNames, e.Name)
	}
	assert.ElementsMatch(t, scenarioNames, listed)
}

func assertFinding(t *testing.T, f Finding, h *journal.History) {
	t.Helper()
	t.Log(describe(h))
	want := "passed"
	if len(f.Fails) > 0 {
		want = "failed"
	}
	assert.Equal(t, want, outcome(h))
	failed := []string{}
	for _, v := range h.Verdicts {
		assert.True(t, v.Outcome != "inconclusive" || failuresTooFast(v), "inconclusive: %s: %s", v.Check, v.Reason)
		if v.Outcome == "failed" {
			failed = append(failed, v.Check)
		}
	}
	assert.ElementsMatch(t, f.Fails, failed)
	assert.Empty(t, differences(f, h), "effects do not add up")
}

// busy returns the reason why delays of this machine may have affected a drill, or "".
func busy(h *journal.History) string {
	for _, w := range []journal.Window{journal.Before, journal.AtInjection, journal.During, journal.AtHealing, journal.After} {
		if why := h.Late(w); why != "" {
			return why
		}
	}
	return ""
}

// failures collects failed assertions.
type failures []string

// Errorf adds a failed assertion.
func (f *failures) Errorf(format string, args ...any) { *f = append(*f, fmt.Sprintf(format, args...)) }

// differences compares effects with requests and with the number of lost replies in the journal.
func differences(f Finding, h *journal.History) []string {
	t := &failures{}
	requests, acknowledged := h.Requests.Len(), 0
	for _, r := range h.Requests.All() {
		if r.Outcome == "acknowledged" {
			acknowledged++
		}
	}
	lost := 0
	for _, in := range h.Faults {
		lost += int(in.Affected)
	}
	effects, keys := h.Effects.Len(), map[string]bool{}
	for _, e := range h.Effects.All() {
		keys[e.Key] = true
	}
	surplus := effects - len(keys)
	switch f.Effects {
	case NoEffects:
		assert.Zero(t, effects)
		return *t
	case EachOnce:
		assert.Equal(t, requests, effects)
	case EachDone:
		assert.Equal(t, acknowledged, effects)
	case EachLoss:
		assert.Equal(t, acknowledged+lost, effects)
	case SomeLost:
		assert.Less(t, effects, acknowledged)
		assert.Zero(t, surplus)
	}
	for _, v := range h.Verdicts {
		if v.Check == noneTwice && v.Outcome == "failed" {
			assert.Equal(t, lost-(requests-acknowledged), surplus, "there is a duplicate for each lost reply, except those of requests that failed in the end")
			assert.Contains(t, v.Reason, fmt.Sprintf("(surplus effects: %d)", surplus))
		}
	}
	return *t
}

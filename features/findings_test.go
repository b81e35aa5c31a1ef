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
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
	"github.com/firedrill-dev/firedrill/scenarios/language"
)

// times is how often TestFindings runs each finding, each time with another seed; 0 means once, and without the slow ones.
var times = flag.Int("times", 0, "how often TestFindings runs every finding")

// TestFindings verifies the verdict on each finding, check by check, and that its effects add up exactly.
func TestFindings(t *testing.T) {
	if testing.Short() {
		t.Skip("runs real servers")
	}
	var tally machine.Tally
	t.Cleanup(func() {
		if *times > 0 {
			fmt.Println(tally.String())
		}
	})
	for _, f := range Findings() {
		if f.Slow && *times == 0 {
			continue
		}
		t.Run(f.Scenario, func(t *testing.T) {
			t.Parallel()
			installed(t, f.File)
			for seed := range max(1, *times) {
				h := runFinding(t, f, 7+seed, &tally)
				wrong := misjudged(f, h)
				tally.Judged(f.Scenario, f.truth(), wrong)
				assert.Empty(t, wrong, describe(h))
			}
		})
	}
}

// runFinding runs a finding, and again, at most machine.Repeats times, if it shows nothing because this machine was busy: it is
// inconclusive, or delays may have caused further effects.
func runFinding(t *testing.T, f Finding, seed int, tally *machine.Tally) (h *journal.History) {
	t.Helper()
	run := func() {
		all := run(t, f.File, "--name", "^"+regexp.QuoteMeta(f.Scenario)+"$", "--seed", strconv.Itoa(seed))
		require.Len(t, all, 1)
		h = all[0]
	}
	require.NoError(t, machine.Share(run))
	for range machine.Repeats {
		if !disturbed(h) && (busy(h) == "" || len(differences(f, h)) == 0) {
			break
		}
		t.Logf("run again, because this machine was busy: %s%s", busy(h), describe(h))
		tally.Busy(f.Scenario, f.truth())
		require.NoError(t, machine.Reserve(run))
	}
	return h
}

// truth is the true verdict on a finding.
func (f Finding) truth() string {
	if len(f.Fails) > 0 {
		return "failed"
	}
	return "passed"
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
	known := map[string][]string{}
	for _, e := range es {
		scenarioNames = append(scenarioNames, e.Name)
		for _, c := range e.Checks {
			if c.KnownToFail {
				known[e.Name] = append(known[e.Name], c.String())
			}
		}
	}
	assert.ElementsMatch(t, scenarioNames, listed)
	for _, f := range Findings() {
		assert.ElementsMatch(t, f.Fails, known[f.Scenario], "%s states which checks are known to fail", f.Scenario)
	}
}

// misjudged lists the differences between a finding and its history.
func misjudged(f Finding, h *journal.History) []string {
	t := &failures{}
	assert.Equal(t, "passed", outcome(h), "the feature says what is known to fail")
	found := []string{}
	for _, v := range h.Verdicts {
		assert.True(t, v.Outcome != "inconclusive" || explainedElsewhere(v), "inconclusive: %s: %s", v.Check, v.Reason)
		if v.Finding {
			found = append(found, v.Check)
		}
	}
	assert.ElementsMatch(t, f.Fails, found)
	return slices.Concat(*t, rejudged(f, h), differences(f, h))
}

// rejudged lists the checks whose outcome differs when the history, as it was read from the journal, is judged again.
func rejudged(f Finding, h *journal.History) []string {
	es, err := language.Parse(language.Source{FS: FS, Paths: []string{f.File}})
	if err != nil {
		return []string{err.Error()}
	}
	e := es[slices.IndexFunc(es, func(e *scenarios.Experiment) bool { return e.Name == f.Scenario })]
	checks := check.Implied(e.Steady)
	implied := len(checks)
	for _, c := range e.Checks {
		checks = append(checks, c.Check)
	}
	answers, validity := check.Judge(h, checks[implied:], checks[:implied])
	t := &failures{}
	assert.Len(t, h.Verdicts, len(checks))
	for i, v := range append(validity, answers...) {
		c := checks[i].String()
		was := slices.IndexFunc(h.Verdicts, func(v journal.Verdict) bool { return v.Check == c })
		if assert.GreaterOrEqual(t, was, 0, c) {
			assert.Equal(t, h.Verdicts[was].Outcome, v.Outcome.String(), "judged again: %s", c)
		}
	}
	return *t
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
		if f.Effects != EachReset || in.Kind == "reset" {
			lost += int(in.Affected)
		}
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
	case EachLoss, EachReset:
		assert.Equal(t, acknowledged+lost, effects)
	case SomeLost:
		assert.Less(t, effects, acknowledged)
		assert.Zero(t, surplus)
	}
	for _, v := range h.Verdicts {
		if v.Check == noneLost && v.Finding {
			missing := 0
			for _, r := range h.Requests.All() {
				if r.Outcome == "acknowledged" && !keys[r.Key] {
					missing++
				}
			}
			assert.Contains(t, v.Reason, fmt.Sprintf("%d acknowledged and lost", missing))
		}
		if v.Check == noneTwice && v.Finding {
			assert.Equal(t, lost-(requests-acknowledged), surplus, "there is a duplicate for each lost reply, except those of requests that failed in the end")
			assert.Contains(t, v.Reason, fmt.Sprintf("(surplus effects: %d)", surplus))
		}
	}
	return *t
}

package runner_test

import (
	"os"
	"os/exec"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// TestInner is run in a separate process by TestFailuresAreReported.
func TestInner(t *testing.T) {
	dir := os.Getenv("FIREDRILL_INNER")
	if dir == "" {
		t.Skip("runs inside another test")
	}
	var es []*scenarios.Experiment
	for name, f := range map[string]injector.Fault{
		"passes":     injector.SlowCalls{By: time.Millisecond},
		"fails":      injector.Answer{Status: 500},
		"is unclear": injector.Reorder{Wait: time.Millisecond, Pick: injector.Pick{From: 100000, To: 100001}},
	} {
		es = append(es, build(t, drill(name, &orders{}, scenarios.Load{}).
			Inject("clients", "orders", f).For(time.Second).
			Check(check.Success{Ratio: 0.9, Window: journal.During})))
	}
	es[0].Tags, es[1].Tags, es[2].Tags = []string{"@smoke"}, []string{"@smoke"}, []string{"@smoke"}
	slow := *es[0]
	slow.ID, slow.Tags = "slow", nil
	runner.TestExperiments(t, runner.Options{Dir: dir, Parallel: 2}, append(es, &slow)...)
}

func TestFailuresAreReported(t *testing.T) {
	t.Parallel()
	unclear := regexp.MustCompile(`(?m)^ +\d:\d\d\.\d  (passes|fails): INCONCLUSIVE$`)
	var dir, out string
	for range 1 + runner.Repeats { // a busy machine makes a run inconclusive
		dir = t.TempDir()
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestInner$", "-test.v", "-test.short")
		cmd.Env = append(os.Environ(), "FIREDRILL_INNER="+dir)
		raw, err := cmd.CombinedOutput()
		out = string(raw)
		require.Error(t, err, out)
		if !unclear.MatchString(out) {
			break
		}
	}
	assert.Contains(t, out, "--- PASS: TestInner/passes")
	assert.Contains(t, out, "--- FAIL: TestInner/fails")
	assert.Contains(t, out, "--- FAIL: TestInner/is-unclear")
	assert.Contains(t, out, "--- SKIP: TestInner/slow")
	assert.Regexp(t, `gotest_test\.go:\d+: at least 90% of requests succeed during the fault — failed: observed .*; report: `+dir+`/.*report\.html`, out)
	assert.Regexp(t, `inconclusive: .*; report: `, out)
	assert.Regexp(t, `(?m)^    +\d:\d\d\.\d  fails: inject: `, out, "the progress is output of the test")
	assert.Regexp(t, `(?m)^    +\d:\d\d\.\d  passes: PASSED$`, out)
	assert.FileExists(t, dir+"/latest/report.html")
}

// TestInnerLong is run in a separate process by TestDeadlineIsRespected.
func TestInnerLong(t *testing.T) {
	dir := os.Getenv("FIREDRILL_INNER_LONG")
	if dir == "" {
		t.Skip("runs inside another test")
	}
	counted := scenarios.Load{Shape: scenarios.Counted} // without a baseline, which has to be steady
	runner.TestExperiments(t, runner.Options{Dir: dir}, build(t, drill("too long", &orders{}, counted).
		Inject("clients", "orders", injector.SlowCalls{By: time.Millisecond}).Send(20, 1).Wait(10*time.Minute).
		Check(check.Success{Ratio: 0.9})))
}

func TestDeadlineIsRespected(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestInnerLong$", "-test.v", "-test.timeout=20s")
	cmd.Env = append(os.Environ(), "FIREDRILL_INNER_LONG="+dir)
	raw, err := cmd.CombinedOutput()
	out := string(raw)
	require.Error(t, err, out)
	assert.NotContains(t, out, "test timed out", "the whole program was ended")
	assert.Contains(t, out, "interrupted: the test's deadline is near; every fault was healed")
	assert.FileExists(t, dir+"/latest/report.html")
	journal, err := os.ReadFile(dir + "/latest/journal.ndjson")
	require.NoError(t, err)
	assert.Contains(t, string(journal), `"stage":"healed"`)
}

func TestFailuresBeginWithThePosition(t *testing.T) {
	h := &journal.History{Begin: journal.Begin{File: "a.feature", Line: 3}, End: &journal.End{Outcome: "stopped", Reason: "too many errors"}, Verdicts: []journal.Verdict{
		{Check: "all is well", Outcome: "passed", Step: "a.feature:8"},
		{Check: "p99 stays below 1s", Outcome: "failed", Observed: "2s", Reason: "20 of 100 were slower", Step: "a.feature:9"},
		{Check: "faults acted", Outcome: "inconclusive", Reason: "nothing was touched"},
	}}
	assert.Equal(t, []string{
		"a.feature:9: p99 stays below 1s — failed: observed 2s; 20 of 100 were slower",
		"a.feature:3: faults acted — inconclusive: nothing was touched",
		"a.feature:3: stopped: too many errors",
	}, runner.Failures(h))
}

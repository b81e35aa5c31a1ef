package runner_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/reports"
	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

func TestCompleteScenario(t *testing.T) {
	t.Parallel()
	o := &orders{}
	e := build(t, drill("replies are lost", o, keyedLoad()).
		EffectsFrom("GET /ledger").EffectsSettle(time.Second).
		Inject("clients", "orders", injector.LoseReplies{Pick: pickShare(0.11)}).For(3*time.Second).
		Check(check.ExactlyOnce{}, check.SameResponse{}))
	res, h := run(t, runner.Options{}, e)
	require.Equal(t, "passed", res.Outcome)
	assert.Zero(t, res.ExitCode())

	require.NotNil(t, h.Load)
	assert.Positive(t, h.Load.Retries, "lost replies are asked for again")
	assert.Equal(t, h.Load.Attempts, h.Load.Wire, "each attempt goes out once, and nothing else does")
	assert.Equal(t, h.Load.Sent+h.Load.Retries, h.Load.Attempts)
	arrived, keys := o.counts()
	assert.Equal(t, h.Load.Wire+len(h.Probes), arrived, "the service sees the same requests as the client counts")
	assert.Equal(t, h.Load.Sent, keys, "further attempts carry the same key")
	assert.Equal(t, h.Load.Sent, h.Requests.Len())
	assert.Len(t, h.Probes, 20)

	require.Len(t, h.Faults, 1)
	f := h.Faults[0]
	assert.Positive(t, f.Affected)
	assert.GreaterOrEqual(t, f.Healed-f.Injected, 3*time.Second)
	var phases []string
	for _, p := range h.Phases {
		phases = append(phases, p.Name)
	}
	assert.Equal(t, []string{"setup", "baseline", "fault", "recovery", "collect", "done"}, phases)
	sent := 0
	for _, w := range []journal.Window{journal.Warmup, journal.Before, journal.AtInjection, journal.During, journal.Between, journal.After} {
		total := h.Total(w, "")
		if w != journal.AtInjection && w != journal.Between {
			assert.Positive(t, total.Sent, w)
		}
		assert.Equal(t, total.Sent, total.OK+total.Fallback+total.Refused+total.Failed+total.Ambiguous+total.Unanswered, w)
		sent += total.Sent + total.InFlight + total.Paused
	}
	assert.Equal(t, h.Load.Sent, sent, "each request is in one window")
	for _, name := range []string{"journal.ndjson", "report.html"} {
		assert.FileExists(t, filepath.Join(res.Dir, name))
	}
	target, err := os.Readlink(filepath.Join(filepath.Dir(res.Dir), "latest"))
	require.NoError(t, err)
	assert.Equal(t, filepath.Base(res.Dir), target)
}

func TestFaultWithoutEffectIsInconclusive(t *testing.T) {
	t.Parallel()
	nowhere := injector.Pick{Match: message.Match{Method: "GET", Path: "/nowhere"}}
	e := build(t, drill("nowhere", &orders{}, scenarios.Load{}).
		Inject("clients", "orders", injector.SlowCalls{By: time.Second, Pick: nowhere}).For(time.Second).
		Check(check.Success{Ratio: 0.9}))
	res, h := run(t, runner.Options{}, e)
	assert.Equal(t, "inconclusive", res.Outcome)
	assert.Equal(t, 3, res.ExitCode())
	withheld := verdict(t, h, check.Success{Ratio: 0.9})
	assert.Equal(t, []string{"inconclusive", "passed"}, []string{withheld.Outcome, withheld.Withheld}, "what was asked holds, and still")
	require.NotEmpty(t, h.Faults)
	assert.NotEmpty(t, h.Faults[0].Hint)
	assert.Contains(t, strings.Join(runner.Failures(h), "\n"), "/nowhere", "the fault is named")
}

func TestDuplicatesAreReported(t *testing.T) {
	t.Parallel()
	e := build(t, drill("delivered twice", &orders{forgets: true}, keyedLoad()).
		EffectsFrom("GET /ledger").EffectsSettle(time.Second).
		Inject("clients", "orders", injector.Twice{Pick: pickShare(0.3)}).For(2*time.Second).
		Check(check.ExactlyOnce{}))
	res, h := run(t, runner.Options{}, e)
	assert.Equal(t, 1, res.ExitCode())
	v := verdict(t, h, check.ExactlyOnce{})
	require.Equal(t, "failed", v.Outcome)
	found := false
	for _, r := range h.Requests.All() {
		found = found || strings.Contains(strings.Join(v.Details, "\n"), r.Key)
	}
	assert.True(t, found, "no key in %q", v.Details)
}

// The journal records once a second the counts of faults and the results of requests.
func TestKilledRunLeavesJournal(t *testing.T) {
	t.Parallel()
	counted, samples, healed := int64(0), 0, false
	o := runner.Options{Watch: func(e journal.Event) {
		switch {
		case e.Begin != nil:
			counted, samples, healed = 0, 0, false
		case e.Fault != nil && e.Fault.Stage == "healed":
			healed = true
		case e.Fault != nil && e.Fault.Stage == "counted" && !healed:
			counted = e.Fault.Affected
		case e.Sample != nil && e.Sample.Window == journal.During && !healed:
			samples++
		}
	}}
	e := build(t, drill("told as it goes", &orders{}, scenarios.Load{GiveUp: time.Minute}).
		Inject("clients", "orders", injector.SlowCalls{By: time.Millisecond}).For(4*time.Second).
		Check(check.Success{Ratio: 0.9}))
	_, h := run(t, o, e)
	assert.Positive(t, counted)
	assert.Positive(t, samples)
	require.NotEmpty(t, h.Faults)
	assert.GreaterOrEqual(t, h.Faults[0].Affected, counted, "the last word is that of healing")
	assert.Contains(t, []string{"healed", "settled"}, h.Faults[0].Stage)
}

func TestMissingProgramSkips(t *testing.T) {
	e := build(t, scenarios.New("missing").
		System(scenarios.System{Services: []scenarios.Service{{
			Name: "db", Command: []string{"no-such-program"}, Needs: "no-such-program", Install: "apt-get install no-such-program", Serves: []string{"/"},
		}}}).
		Load(scenarios.Load{Rate: 10, Mix: []scenarios.Route{{Method: "GET", Path: "/"}}}).
		Wait(time.Second).
		Check(check.Success{Ratio: 0.9}))
	t.Setenv("FIREDRILL_MUST_RUN", "")
	res, h := run(t, runner.Options{}, e)
	assert.Equal(t, "skipped", h.End.Outcome)
	assert.Contains(t, h.End.Reason, "apt-get install no-such-program")
	assert.Equal(t, codes.Skipped.String(), h.End.Code)
	assert.Empty(t, h.Verdicts, "what did not run is not judged: CI would take it for a failure")
	assert.Equal(t, 3, res.ExitCode(), "nothing ran")

	t.Setenv("FIREDRILL_MUST_RUN", "1")
	_, h = run(t, runner.Options{}, e)
	assert.Equal(t, "inconclusive", h.End.Outcome)
}

func TestRunnerErrorsAreInconclusive(t *testing.T) {
	t.Parallel()
	e := build(t, scenarios.New("never ready").
		System(scenarios.System{Services: []scenarios.Service{{
			Name: "db", Command: []string{"sleep", "60"}, Ready: scenarios.Ready{Within: 300 * time.Millisecond}, Serves: []string{"/"},
		}}}).
		Load(scenarios.Load{Rate: 10, Mix: []scenarios.Route{{Method: "GET", Path: "/"}}}).
		Wait(time.Second).
		Check(check.Success{Ratio: 0.9}))
	res, h := run(t, runner.Options{}, e)
	assert.Equal(t, 3, res.ExitCode())
	assert.Contains(t, h.End.Reason, "db")
}

func TestParallelAndSerialScenarios(t *testing.T) {
	t.Parallel()
	var es []*scenarios.Experiment
	for _, name := range []string{"one", "two", "three"} {
		e := build(t, drill(name, &orders{}, scenarios.Load{}).
			Inject("clients", "orders", injector.SlowCalls{By: time.Millisecond}).For(time.Second).
			Check(check.Success{Ratio: 0.9}))
		es = append(es, e)
	}
	es[0].Tags = []string{"@serial"}
	res := runner.Steadily(t, func() (*runner.Result, error) {
		return runner.RunExperiments(t.Context(), runner.Options{Dir: t.TempDir(), Parallel: 2}, es...)
	})
	require.Len(t, res.Book.Scenarios, 3)
	for _, h := range res.Book.Scenarios {
		t.Log(h.Name, runner.Failures(h))
	}
	assert.Equal(t, 0, res.ExitCode())
	last := res.Book.Scenarios[2]
	assert.Equal(t, "one", last.Name)
	for _, h := range res.Book.Scenarios[:2] {
		assert.LessOrEqual(t, h.Ended, last.Began, "a serial scenario runs alone")
	}
	assert.Less(t, res.Book.Scenarios[1].Began, res.Book.Scenarios[0].Ended, "the others run at once")
}

func TestSeedFromEnvironment(t *testing.T) {
	t.Setenv("FIREDRILL_SEED", "42")
	res, err := runner.RunExperiments(t.Context(), runner.Options{Dir: t.TempDir()})
	require.NoError(t, err)
	assert.EqualValues(t, 42, res.Book.Run.Seed)
	t.Setenv("FIREDRILL_SEED", "forty-two")
	_, err = runner.RunExperiments(t.Context(), runner.Options{Dir: t.TempDir()})
	assert.ErrorContains(t, err, "forty-two", "another seed than the one asked for would be no replay")
}

func TestRunOutcomes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		of   []string
		want string
		exit int
	}{
		{nil, "inconclusive", 3},
		{[]string{"skipped"}, "inconclusive", 3},
		{[]string{"skipped", "passed"}, "inconclusive", 3},
		{[]string{"passed", "inconclusive"}, "inconclusive", 3},
		{[]string{"inconclusive", "failed", "passed"}, "failed", 1},
		{[]string{"failed", "stopped"}, "stopped", 4},
		{[]string{"stopped", "interrupted", "failed"}, "interrupted", 130},
	} {
		book := &journal.Book{End: &journal.End{}}
		for i, outcome := range c.of {
			book.Scenarios = append(book.Scenarios, &journal.History{
				Begin:    journal.Begin{ID: fmt.Sprint("scenario-", i)},
				End:      &journal.End{Outcome: outcome},
				Verdicts: []journal.Verdict{{Kind: "success", Outcome: outcome}},
			})
		}
		assert.Equal(t, c.want, reports.Outcome(book), c.of)
		assert.Equal(t, c.exit, (&runner.Result{Outcome: c.want}).ExitCode(), c.of)
	}
}

// A test fails with its reasons, so an outcome without any would pass.
func TestEveryOutcomeHasAReason(t *testing.T) {
	t.Parallel()
	e := build(t, drill("nothing", &orders{}, scenarios.Load{}).Wait(500*time.Millisecond).Check(check.Success{Ratio: 0.9}))
	e.Checks = nil
	_, h := run(t, runner.Options{}, e)
	require.Equal(t, "inconclusive", h.End.Outcome)
	if h.End.Reason != "" { // none if a condition was not met, as on a busy machine
		require.Equal(t, codes.NoCheck.String(), h.End.Code)
	}
	for _, v := range h.Verdicts {
		require.Equal(t, v.Outcome == "inconclusive", v.Code != "", "%s: %s", v.Check, v.Reason)
	}
	require.NotEmpty(t, runner.Failures(h))
}

// The verdict is in the journal, but readers of the missing report would see nothing.
func TestMissingReportHasAnExitCode(t *testing.T) {
	t.Parallel()
	e := build(t, drill("unwritten", &orders{}, scenarios.Load{}).Wait(500*time.Millisecond).Check(check.Success{Ratio: 0.9}))
	var writeErr error
	res := runner.Steadily(t, func() (res *runner.Result, err error) {
		dir := t.TempDir()
		res, writeErr = runner.RunExperiments(t.Context(), runner.Options{Dir: dir, Watch: func(e journal.Event) {
			if e.Begin != nil {
				_ = os.Mkdir(filepath.Join(dir, "latest", "junit.xml"), 0o700)
			}
		}}, e)
		return res, nil
	})
	require.ErrorContains(t, writeErr, "junit.xml")
	require.Equal(t, "passed", res.Outcome)
	require.Equal(t, 5, res.ExitCode())
}

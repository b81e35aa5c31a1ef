package runner_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// A service that is never ready uses up the time of its scenario, and the run goes on with the next one, whose own limit
// counts instead of that of the run.
func TestTimeout(t *testing.T) {
	t.Parallel()
	hangs := build(t, scenarios.New("hangs").
		System(scenarios.System{Services: []scenarios.Service{{
			Name: "db", Command: []string{"sleep", "600"}, Ready: scenarios.Ready{Within: 10 * time.Minute}, Serves: []string{"/"},
		}}}).
		Load(scenarios.Load{Rate: 10, Mix: []scenarios.Route{{Method: "GET", Path: "/"}}}).
		Wait(time.Second).
		Check(check.Success{Ratio: 0.9}))
	next := build(t, drill("next", &orders{}, scenarios.Load{}).Timeout(time.Hour).Wait(time.Second).Check(check.Success{Ratio: 0.9}))
	res := runner.Steadily(t, func() (*runner.Result, error) {
		return runner.RunExperiments(t.Context(), runner.Options{Dir: t.TempDir(), ScenarioTimeout: time.Second, Parallel: 1}, hangs, next)
	})
	assert.Equal(t, "inconclusive", res.Outcome)
	assert.Equal(t, 3, res.ExitCode())
	require.Len(t, res.Book.Scenarios, 2)
	h := res.Book.Scenarios[0]
	const want = `stopped at its time limit of 1s, in the phase "setup"`
	assert.Equal(t, "inconclusive", h.End.Outcome)
	assert.Equal(t, codes.TimedOut.String(), h.End.Code)
	assert.Contains(t, h.End.Reason, want+"; no fault had been injected")
	v := verdict(t, h, check.InTime{})
	assert.Equal(t, []string{"inconclusive", "timed-out"}, []string{v.Outcome, v.Code})
	assert.Contains(t, v.Reason, want)
	assert.Contains(t, h.Notes[0].Text, want)
	for _, name := range []string{"report.html", "junit.xml", "summary.md", "report.json"} {
		raw, err := os.ReadFile(filepath.Join(res.Dir, name))
		require.NoError(t, err)
		assert.Contains(t, string(raw), "stopped at its time limit of 1s", name)
	}
	assert.Equal(t, "passed", res.Book.Scenarios[1].End.Outcome, runner.Failures(res.Book.Scenarios[1]))
	assert.Nil(t, res.Book.Scenarios[1].TimedOut)
}

// withTime runs a scenario with a time limit, which is doubled until the scenario is stopped where the test wants it, since
// a busy machine needs longer to get there: the reason has to contain at. If at is "", it must not be stopped.
func withTime(limit time.Duration, at string, run func(limit time.Duration) *journal.History) (h *journal.History) {
	for ; limit < 4*time.Minute; limit *= 2 {
		h = run(limit)
		if h.TimedOut == nil || at != "" && strings.Contains(h.TimedOut.Reason, at) {
			break
		}
	}
	return h
}

// What a scenario measured by its time limit is no failure, but an invariant that is violated by then is.
func TestTimeoutDuringAFault(t *testing.T) {
	t.Parallel()
	load := scenarios.Load{Rate: 60, GiveUp: time.Second, Mix: []scenarios.Route{
		{Method: "PUT", Path: "/greeting", Body: `{"value": {{n}}}`}, {Method: "GET", Path: "/greeting"},
	}}
	register, success := check.Linearizable{Register: "greeting"}, check.Success{Ratio: 0.99}
	for name, c := range map[string]struct {
		lag             time.Duration // of the replica that answers reads
		outcome, reason string
	}{
		"primary": {0, "inconclusive", `^stopped at its time limit of \w+, in the phase "fault", at \S+:\d+ \(30% of replies .*; every fault was healed: clients -> orders answers as`},
		"replica": {100 * time.Millisecond, "failed", "^$"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := withTime(10*time.Second, `in the phase "fault"`, func(limit time.Duration) *journal.History {
				_, h := run(t, runner.Options{}, build(t, drill(name, &replicated{lag: c.lag}, load).Register("greeting", "PUT /greeting", "GET /greeting").
					Timeout(limit).
					Inject("clients", "orders", injector.LoseReplies{Pick: pickShare(0.3)}).For(10*time.Minute).
					Check(register).Check(success)))
				return h
			})
			require.Len(t, h.Faults, 1)
			assert.Positive(t, h.Faults[0].Healed)
			assert.Equal(t, c.outcome, h.End.Outcome)
			assert.Regexp(t, c.reason, h.End.Reason)
			assert.Equal(t, c.outcome, verdict(t, h, register).Outcome)
			assert.Equal(t, codes.TimedOut.String(), verdict(t, h, check.InTime{}).Code)
			assert.Equal(t, "inconclusive", verdict(t, h, success).Outcome)
		})
	}
}

// What is not listed by the time limit may still appear, so that it is not lost.
func TestTimeoutWhileEffectsSettle(t *testing.T) {
	t.Parallel()
	h := withTime(10*time.Second, `in the phase "collect"`, func(limit time.Duration) *journal.History {
		_, h := run(t, runner.Options{}, build(t, drill("late", &ledgerService{delay: time.Hour}, keyedLoad()).
			EffectsFrom("GET /ledger").EffectsSettle(2*time.Hour).
			Timeout(limit).
			Inject("clients", "orders", injector.SlowCalls{By: time.Millisecond}).For(time.Second).
			Check(check.NoneLost{})))
		return h
	})
	assert.Equal(t, "inconclusive", h.End.Outcome)
	assert.Regexp(t, `^stopped at its time limit of \w+, in the phase "collect"`, h.End.Reason)
	assert.Equal(t, "inconclusive", verdict(t, h, check.NoneLost{}).Outcome)
}

// The time that a person takes to answer does not count.
func TestTimeoutWaitsForPeople(t *testing.T) {
	t.Parallel()
	h := withTime(12*time.Second, "", func(limit time.Duration) *journal.History {
		slow := func(ctx context.Context) error {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(limit):
				return nil
			}
		}
		e := build(t, drill("asked", &orders{}, scenarios.Load{}).Timeout(limit).
			Confirm("dashboards are open").
			Inject("clients", "orders", injector.SlowCalls{By: time.Millisecond}).For(time.Second).
			Check(check.Success{Ratio: 0.9}))
		_, h := run(t, runner.Options{
			Confirm:      func(ctx context.Context, _ string) error { return slow(ctx) },
			BeforeInject: func(ctx context.Context, _ string) (skip bool, err error) { return false, slow(ctx) },
		}, e)
		return h
	})
	assert.Nil(t, h.TimedOut)
	assert.Equal(t, "passed", h.End.Outcome, h.End.Reason)
}

// The reason names the step at which the scenario was, although the step is the user's.
func TestTimeoutOfAUserStep(t *testing.T) { withEach(t, testTimeoutOfAUserStep) }

func testTimeoutOfAUserStep(t *testing.T, drive runner.Driver) {
	t.Helper()
	const step = "a.feature:7 (I wait for somebody)"
	h := withTime(3*time.Second, step, func(limit time.Duration) *journal.History {
		return runFeatureWith(t, fmt.Sprintf(`
Feature: Orders
  Scenario: a step waits
    Given the system described in "system.yaml"
    And the scenario takes at most %s
    And a steady load of 50 requests per second on "POST /orders"
    And I wait for somebody
    When calls from "clients" to "orders" are delayed by 5ms for 1s
    Then at least 90%% of requests succeed
`, check.Duration(limit)), func() runner.Options {
			return runner.Options{Drive: drive, Steps: []runner.Step{{Pattern: "^I wait for somebody$", Do: func(ctx context.Context) error {
				<-ctx.Done()
				return context.Cause(ctx)
			}}}}
		}).Book.Scenarios[0]
	})
	assert.Equal(t, "inconclusive", h.End.Outcome)
	assert.Equal(t, codes.TimedOut.String(), h.End.Code)
	assert.Regexp(t, `^stopped at its time limit of \w+, in the phase "setup", at `+regexp.QuoteMeta(step), h.End.Reason)
	assert.Equal(t, "inconclusive", h.Verdicts[0].Outcome, "the step proved nothing")
	assert.Contains(t, h.Verdicts[0].Reason, "stopped at its time limit")
}

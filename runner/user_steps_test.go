package runner_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cucumber/godog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/runner/godogsteps"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

const outline = `
Feature: Orders

  Background:
    Given the system described in "system.yaml"
    And a steady load of 50 requests per second on "POST /orders"
    And a baseline is measured for 1s

  Scenario Outline: orders are <how>
    When calls from "clients" to "orders" are delayed by <by> for 1s
    Then I note "<how>"
    And at least 90% of requests succeed

    Examples:
      | how  | by   |
      | slow | 5ms  |
      | late | 10ms |
`

// drivers are the two ways to carry out steps: by the runner itself and by godog.
var drivers = map[string]runner.Driver{"runner": nil, "godog": godogsteps.Drive()}

// withEach runs a test with each driver.
func withEach(t *testing.T, test func(t *testing.T, drive runner.Driver)) {
	t.Helper()
	t.Parallel()
	for name, drive := range drivers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, drive)
		})
	}
}

// runFeature runs a feature with orders in this process.
func runFeature(t *testing.T, feature string, o runner.Options) *runner.Result {
	t.Helper()
	return runFeatureWith(t, feature, func() runner.Options { return o })
}

// runFeatureWith is runFeature with options that are made for each attempt.
func runFeatureWith(t *testing.T, feature string, options func() runner.Options) *runner.Result {
	t.Helper()
	res := runner.Steadily(t, func() (*runner.Result, error) {
		o := options()
		o.FS, o.Dir, o.Paths = featureFS(feature), t.TempDir(), []string{"a.feature"}
		o.Handlers = map[string]http.Handler{"orders": &orders{}}
		return runner.Run(t.Context(), o)
	})
	for _, h := range res.Book.Scenarios {
		t.Logf("%s: %v", h.Name, runner.Failures(h))
	}
	return res
}

func TestSelectedRowsRun(t *testing.T) { withEach(t, testSelectedRowsRun) }

func testSelectedRowsRun(t *testing.T, drive runner.Driver) {
	t.Helper()
	var noted, addresses, links []string
	note := func(ctx context.Context, what string) error {
		noted = append(noted, what)
		addresses = append(addresses, runner.FromContext(ctx).Address("orders"))
		links = append(links, runner.FromContext(ctx).Link("clients", "orders"))
		return nil
	}
	res := runFeatureWith(t, outline, func() runner.Options {
		noted, addresses, links = nil, nil, nil
		return runner.Options{Drive: drive, Steps: []runner.Step{{Pattern: `^I note "([^"]*)"$`, Do: note}}}
	})
	require.Equal(t, "passed", res.Outcome)
	require.Len(t, res.Book.Scenarios, 2)
	assert.Equal(t, []string{"slow", "late"}, noted, "each row once, in its own scenario")
	assert.Contains(t, res.Book.Scenarios[0].Faults[0].Sentence, "5ms")
	assert.Contains(t, res.Book.Scenarios[1].Faults[0].Sentence, "10ms")
	for i := range noted {
		assert.NotEmpty(t, addresses[i])
		assert.NotEmpty(t, links[i])
		assert.NotEqual(t, addresses[i], links[i])
	}
}

const userStepsFeature = `
Feature: Orders
  Scenario: with a step of our own
    Given the system described in "system.yaml"
    And a steady load of 50 requests per second on "POST /orders"
    And a baseline is measured for 1s
    When calls from "clients" to "orders" are delayed by 5ms
    And it goes wrong
    Then at least 90% of requests succeed
`

// userStepsWithDuration is userStepsFeature with a fault that is live long enough to act.
var userStepsWithDuration = strings.Replace(userStepsFeature, "by 5ms", "by 5ms for 500ms", 1)

func TestFailedUserStep(t *testing.T) {
	withEach(t, testFailedUserStep)
}

func testFailedUserStep(t *testing.T, drive runner.Driver) {
	t.Helper()
	res := runFeature(t, userStepsWithDuration, runner.Options{Drive: drive, Steps: []runner.Step{{Pattern: `^it goes wrong$`, Do: func() error { return errors.New("the till is empty") }}}})
	assert.Equal(t, 1, res.ExitCode())
	h := res.Book.Scenarios[0]
	assert.Contains(t, runner.Failures(h)[0], "a.feature:8: it goes wrong — failed: observed the till is empty")
	require.NotEmpty(t, h.Faults)
	assert.Positive(t, h.Faults[0].Healed)
	found := false
	for _, v := range h.Verdicts {
		found = found || (v.Step == "a.feature:9" && v.Outcome == "passed")
	}
	assert.True(t, found, "checks after it are judged")
}

// A scenario without other checks passes because of it. A scenario whose user-defined steps are all
// actions has no check.
func TestUserThenIsACheck(t *testing.T) { withEach(t, testUserThenIsACheck) }

func testUserThenIsACheck(t *testing.T, drive runner.Driver) {
	t.Helper()
	steps := []runner.Step{{Pattern: `^it goes wrong$`, Do: func() {}}}
	res := runFeature(t, strings.Replace(userStepsWithDuration, "    And it goes wrong\n    Then at least 90% of requests succeed", "    Then it goes wrong", 1), runner.Options{Drive: drive, Steps: steps})
	assert.Equal(t, "passed", res.Outcome)
	res = runFeature(t, strings.Replace(userStepsWithDuration, "    Then at least 90% of requests succeed\n", "", 1), runner.Options{Drive: drive, Steps: steps})
	assert.Equal(t, "inconclusive", res.Outcome)
	assert.Contains(t, strings.Join(runner.Failures(res.Book.Scenarios[0]), "\n"), "asks for nothing")
}

func TestPanickingUserStep(t *testing.T) {
	withEach(t, testPanickingUserStep)
}

func testPanickingUserStep(t *testing.T, drive runner.Driver) {
	t.Helper()
	// Without a baseline, which has to be steady, the step is reached on a busy machine, too.
	feature := strings.Replace(userStepsFeature, "    And a baseline is measured for 1s\n", "", 1)
	res := runFeature(t, feature, runner.Options{Drive: drive, Steps: []runner.Step{{Pattern: `^it goes wrong$`, Do: func() { panic("the till exploded") }}}})
	assert.Equal(t, 3, res.ExitCode())
	h := res.Book.Scenarios[0]
	failures := strings.Join(runner.Failures(h), "\n")
	assert.Contains(t, failures, `a.feature:7: the step "it goes wrong" panicked: the till exploded`)
	require.NotEmpty(t, h.Faults)
	assert.Positive(t, h.Faults[0].Healed, "and everything is healed")
}

// Faults are healed at once, even if a user-defined step blocks the scenario and ignores its context,
// and no further user-defined step runs.
func TestUserStepsAndTheEndOfTheRun(t *testing.T) { withEach(t, testUserStepsAndTheEndOfTheRun) }

func testUserStepsAndTheEndOfTheRun(t *testing.T, drive runner.Driver) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	healed, ran := make(chan struct{}), false
	// Without a baseline, which has to be steady, the step is reached on a busy machine, too.
	feature := strings.Replace(userStepsFeature, "    And a baseline is measured for 1s\n", "", 1)
	o := runner.Options{
		Drive: drive, FS: featureFS(strings.Replace(feature, "    Then", "    And it goes on\n    Then", 1)), Paths: []string{"a.feature"}, Dir: t.TempDir(),
		Handlers: map[string]http.Handler{"orders": &orders{}},
		Steps: []runner.Step{
			{Pattern: `^it goes wrong$`, Do: func() error {
				cancel()
				select {
				case <-healed:
					return errors.New("connection refused") // such as by a system that was stopped
				case <-time.After(30 * time.Second):
					return errors.New("nothing was healed while the step ran")
				}
			}},
			{Pattern: `^it goes on$`, Do: func() { ran = true }},
		},
		Watch: func(e journal.Event) {
			if e.Fault != nil && e.Fault.Stage == "healed" {
				close(healed)
			}
		},
	}
	res, err := runner.Run(ctx, o)
	require.NoError(t, err)
	assert.Equal(t, 130, res.ExitCode())
	h := res.Book.Scenarios[0]
	assert.NotContains(t, strings.Join(runner.Failures(h), "\n"), "nothing was healed")
	for _, v := range h.Verdicts {
		assert.NotEqual(t, "failed", v.Outcome, v.Reason)
	}
	assert.False(t, ran, "a step of our own ran after the end")
}

func TestPendingUserStep(t *testing.T) {
	withEach(t, testPendingUserStep)
}

func testPendingUserStep(t *testing.T, drive runner.Driver) {
	t.Helper()
	res := runFeature(t, userStepsFeature, runner.Options{Drive: drive, Steps: []runner.Step{{Pattern: `^it goes wrong$`, Do: func() error { return godog.ErrPending }}}})
	assert.Equal(t, 3, res.ExitCode())
}

func TestInvalidFeatureStartsNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, err := runner.Run(t.Context(), runner.Options{FS: featureFS(userStepsFeature), Paths: []string{"a.feature"}, Dir: dir})
	assert.ErrorContains(t, err, "it goes wrong")
	assert.NoFileExists(t, dir+"/latest")
}

// Values, doc strings, tables and contexts are passed in the same way by the runner and by godog.
func TestArgumentsOfUserSteps(t *testing.T) { withEach(t, testArgumentsOfUserSteps) }

func testArgumentsOfUserSteps(t *testing.T, drive runner.Driver) {
	t.Helper()
	type key struct{}
	var got []any
	steps := []runner.Step{
		{Pattern: `^(-?\d+) and (\d+) and ([\d.]+) and "([^"]*)"$`, Do: func(ctx context.Context, i int64, u uint8, f float32, s string) context.Context {
			got = append(got, i, u, f, s)
			return context.WithValue(ctx, key{}, "kept")
		}},
		{Pattern: `^a text:$`, Do: func(ctx context.Context, doc *godog.DocString) (context.Context, error) {
			got = append(got, doc.Content, ctx.Value(key{}))
			return ctx, nil
		}},
		{Pattern: `^the same as bytes:$`, Do: func(doc []byte) { got = append(got, string(doc)) }},
		{Pattern: `^a table of (\w+):$`, Do: func(of string, table *godog.Table) error {
			got = append(got, of, table.Rows[1].Cells[0].Value)
			return nil
		}},
	}
	res := runFeatureWith(t, strings.Replace(userStepsWithDuration, "    And it goes wrong\n", `    And -7 and 255 and 1.5 and "x"
    And a text:
      """
      two
      lines
      """
    And the same as bytes:
      """
      bytes
      """
    And a table of things:
      | a |
      | b |
`, 1), func() runner.Options {
		got = nil
		return runner.Options{Drive: drive, Steps: steps}
	})
	assert.Equal(t, "passed", res.Outcome)
	assert.Equal(t, []any{int64(-7), uint8(255), float32(1.5), "x", "two\nlines", "kept", "bytes", "things", "b"}, got)
}

func TestArgumentConversionErrors(t *testing.T) { withEach(t, testArgumentConversionErrors) }

func testArgumentConversionErrors(t *testing.T, drive runner.Driver) {
	t.Helper()
	res := runFeature(t, userStepsWithDuration, runner.Options{Drive: drive, Steps: []runner.Step{{Pattern: `^it goes (\w+)$`, Do: func(int) {}}}})
	assert.Equal(t, 1, res.ExitCode())
	assert.Contains(t, strings.Join(runner.Failures(res.Book.Scenarios[0]), "\n"), "convert")
}

// Some of these steps could be called by godog but not by the runner.
func TestUncallableStepsStartNothing(t *testing.T) {
	t.Parallel()
	for message, do := range map[string]any{
		"Do is string":            "no function",
		"parameter 1 is struct":   func(struct{}) {},
		"the function is func":    func() godog.Steps { return nil },
		"parameter 2 is chan int": func(string, chan int) {},
	} {
		_, err := runner.Run(t.Context(), runner.Options{FS: featureFS(userStepsFeature), Paths: []string{"a.feature"}, Dir: t.TempDir(), Steps: []runner.Step{{Pattern: `^it goes wrong$`, Do: do}}})
		require.ErrorContains(t, err, message)
		if _, ok := do.(string); !ok {
			assert.ErrorContains(t, err, "godogsteps.Drive")
		}
	}
}

// Godog's parser panics at a line of 64 KiB. That proves nothing about the system and does not end
// the test.
func TestGodogPanicIsReported(t *testing.T) {
	t.Parallel()
	long := strings.Replace(userStepsWithDuration, "    When", "    # "+strings.Repeat("x", 64<<10)+"\n    When", 1)
	res := runFeature(t, long, runner.Options{Drive: godogsteps.Drive(), Steps: []runner.Step{{Pattern: `^it goes wrong$`, Do: func() {}}}})
	assert.Equal(t, 3, res.ExitCode())
	assert.Contains(t, strings.Join(runner.Failures(res.Book.Scenarios[0]), "\n"), "godog panicked")
	res = runFeature(t, long, runner.Options{Steps: []runner.Step{{Pattern: `^it goes wrong$`, Do: func() {}}}})
	assert.Equal(t, "passed", res.Outcome)
}

// Only godog supports hooks and nested steps.
func TestGodogDrivesHooksAndNestedSteps(t *testing.T) {
	t.Parallel()
	var seen []string
	hooks := func(sc *godog.ScenarioContext) {
		sc.After(func(ctx context.Context, sc *godog.Scenario, err error) (context.Context, error) {
			seen = append(seen, "after "+sc.Name)
			return ctx, nil
		})
	}
	res := runFeatureWith(t, userStepsWithDuration, func() runner.Options {
		seen = nil
		return runner.Options{Drive: godogsteps.Drive(hooks), Steps: []runner.Step{
			{Pattern: `^it goes wrong$`, Do: func() godog.Steps { return godog.Steps{"it goes well"} }},
			{Pattern: `^it goes well$`, Do: func() { seen = append(seen, "nested") }},
		}}
	})
	assert.Equal(t, "passed", res.Outcome)
	assert.Equal(t, []string{"nested", "after with a step of our own"}, seen)
}

// A pool that is filled just before the load begins must not make all later traffic of its link look
// like heartbeats.
func TestStartupTrafficIsNotAHeartbeat(t *testing.T) {
	t.Parallel()
	var calls sync.WaitGroup
	fill := func(ctx context.Context) {
		link := "http://" + runner.FromContext(ctx).Link("clients", "orders") + "/orders"
		calls.Go(func() {
			for range 100 {
				if resp, err := http.Post(link, "text/plain", strings.NewReader(strings.Repeat("x", 1000))); err == nil { //nolint:noctx // only a test client
					_ = resp.Body.Close()
				}
				time.Sleep(3 * time.Millisecond)
			}
			http.DefaultClient.CloseIdleConnections()
		})
	}
	files := featureFS(strings.NewReplacer("    And it goes wrong\n", "", "And a baseline", "And a pool is filled\n    And a baseline", `calls from "clients" to "orders" are`, `traffic from "clients" to "orders" is`).Replace(userStepsWithDuration))
	files["system.yaml"].Data = []byte(strings.Replace(string(files["system.yaml"].Data), "orders: http", "orders: tcp", 1))
	res := runner.Steadily(t, func() (*runner.Result, error) {
		defer calls.Wait()
		return runner.Run(t.Context(), runner.Options{
			FS: files, Paths: []string{"a.feature"}, Dir: t.TempDir(), Handlers: map[string]http.Handler{"orders": &orders{}},
			Steps: []runner.Step{{Pattern: "^a pool is filled$", Do: fill}},
		})
	})
	require.Equal(t, "passed", res.Outcome, runner.Failures(res.Book.Scenarios[0]))
}

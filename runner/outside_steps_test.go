package runner_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cucumber/godog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/runner"
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

// ran runs a feature with orders in this process.
func ran(t *testing.T, feature string, o runner.Options) *runner.Result {
	t.Helper()
	o.FS, o.Dir, o.Paths = folder(feature), t.TempDir(), []string{"a.feature"}
	o.Handlers = map[string]http.Handler{"orders": &orders{}}
	res, err := runner.Run(t.Context(), o)
	require.NoError(t, err)
	for _, h := range res.Book.Scenarios {
		t.Logf("%s: %v", h.Name, runner.Failures(h))
	}
	return res
}

func TestOnlyTheRowsThatAreMeantRun(t *testing.T) {
	t.Parallel()
	var noted, addresses, links []string
	note := func(ctx context.Context, what string) error {
		noted = append(noted, what)
		addresses = append(addresses, runner.Of(ctx).Address("orders"))
		links = append(links, runner.Of(ctx).Link("clients", "orders"))
		return nil
	}
	res := ran(t, outline, runner.Options{Steps: []runner.Step{{Pattern: `^I note "([^"]*)"$`, Do: note}}})
	require.Equal(t, "passed", res.Outcome)
	require.Len(t, res.Book.Scenarios, 2)
	assert.Equal(t, []string{"slow", "late"}, noted, "each row once, in its own scenario")
	assert.Contains(t, res.Book.Scenarios[0].Faults[0].Says, "5ms")
	assert.Contains(t, res.Book.Scenarios[1].Faults[0].Says, "10ms")
	for i := range noted {
		assert.NotEmpty(t, addresses[i])
		assert.NotEmpty(t, links[i])
		assert.NotEqual(t, addresses[i], links[i])
	}
}

const own = `
Feature: Orders
  Scenario: with a step of our own
    Given the system described in "system.yaml"
    And a steady load of 50 requests per second on "POST /orders"
    And a baseline is measured for 1s
    When calls from "clients" to "orders" are delayed by 5ms
    And it goes wrong
    Then at least 90% of requests succeed
`

func TestAnOwnStepThatFailsFailsTheScenario(t *testing.T) {
	t.Parallel()
	res := ran(t, own, runner.Options{Steps: []runner.Step{{Pattern: `^it goes wrong$`, Do: func() error { return errors.New("the till is empty") }}}})
	assert.Equal(t, 1, res.ExitCode())
	h := res.Book.Scenarios[0]
	assert.Contains(t, runner.Failures(h)[0], "a.feature:8: it goes wrong — failed: observed the till is empty")
	assert.Positive(t, h.Faults[0].Healed)
	found := false
	for _, v := range h.Verdicts {
		found = found || (v.Step == "a.feature:9" && v.Outcome == "passed")
	}
	assert.True(t, found, "checks after it are judged")
}

func TestAnOwnStepThatPanicsProvesNothing(t *testing.T) {
	t.Parallel()
	res := ran(t, own, runner.Options{Steps: []runner.Step{{Pattern: `^it goes wrong$`, Do: func() { panic("the till exploded") }}}})
	assert.Equal(t, 3, res.ExitCode())
	h := res.Book.Scenarios[0]
	assert.Contains(t, h.End.Reason, "the till exploded")
	assert.Contains(t, h.End.Reason, "a.feature:8")
	assert.Positive(t, h.Faults[0].Healed, "and everything is healed")
}

// TestOwnStepsAndTheEndOfTheRun: faults are healed at once, though a step of our own holds the drill and does not look at its context, and no further step of
// our own runs.
func TestOwnStepsAndTheEndOfTheRun(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	healed, ran := make(chan struct{}), false
	o := runner.Options{
		FS: folder(strings.Replace(own, "    Then", "    And it goes on\n    Then", 1)), Paths: []string{"a.feature"}, Dir: t.TempDir(),
		Handlers: map[string]http.Handler{"orders": &orders{}},
		Steps: []runner.Step{
			{Pattern: `^it goes wrong$`, Do: func() error {
				cancel()
				select {
				case <-healed:
					return nil
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
	assert.NotContains(t, strings.Join(runner.Failures(res.Book.Scenarios[0]), "\n"), "nothing was healed")
	assert.False(t, ran, "a step of our own ran after the end")
}

func TestAnOwnStepThatIsNotWrittenYetProvesNothing(t *testing.T) {
	t.Parallel()
	res := ran(t, own, runner.Options{Steps: []runner.Step{{Pattern: `^it goes wrong$`, Do: func() error { return godog.ErrPending }}}})
	assert.Equal(t, 3, res.ExitCode())
}

func TestAFeatureThatIsWrongStartsNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, err := runner.Run(t.Context(), runner.Options{FS: folder(own), Paths: []string{"a.feature"}, Dir: dir})
	assert.ErrorContains(t, err, "it goes wrong")
	assert.NoFileExists(t, dir+"/latest")
}

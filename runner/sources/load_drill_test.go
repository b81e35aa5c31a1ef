package sources

import (
	"context"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// drillLoad runs a scenario in which some replies of a service "store" to a load that is not HTTP are lost, and returns its
// history. system is a system file with the service and its effects.
func drillLoad(t *testing.T, system, sentence, text string) *journal.History {
	t.Helper()
	feature := `Feature: Orders
  Scenario: Replies are lost
    Given the system described in "system.yaml"
    And clients retry failed requests up to 5 times with the same key
    And clients give up after 1s
    And applied effects are read from "orders"
    And effects settle within 1s
    When 30% of replies from "store" to "clients" are lost after the work was done
    And ` + sentence + `
      """
` + text + `
      """
    Then no request is applied more than once
    And no acknowledged request is lost
    And at least 90% of requests succeed
`
	result, err := runner.Run(context.Background(), runner.Options{
		FS:    fstest.MapFS{"orders.feature": {Data: []byte(feature)}, "system.yaml": {Data: []byte(system)}},
		Paths: []string{"orders.feature"}, Dir: t.TempDir(), Seed: 7, Sources: Kinds(), Loads: Loads(),
	})
	require.NoError(t, err)
	h := result.Book.Scenarios[0]
	require.NotNil(t, h.Load)
	assert.Equal(t, 100, h.Load.Sent)
	assert.Greater(t, h.Load.Retries, 10)
	assert.Equal(t, h.Load.Attempts, h.Load.Wire)
	return h
}

const twice, lost, served = "no request is applied more than once", "no acknowledged request is lost", "at least 90% of requests succeed"

// A counter and a list grow with each attempt whose reply was lost, and the field of a hash does not.
func TestDrillOfCommands(t *testing.T) {
	for name, c := range map[string]struct{ command, effects, outcome string }{
		"counted twice":  {`EVAL "redis.call('RPUSH', 'orders', ARGV[1]) return redis.call('INCR', 'count')" 0 {{key}}`, "list: orders", "failed"},
		"set repeatedly": {`HSET orders {{key}} {{n}}`, "hash: orders", "passed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := drillLoad(t, strings.NewReplacer("{addr}", redisServer(t), "{effects}", c.effects).Replace(`services:
  store: {address: "{addr}"}
clients: {depends: {store: redis}}
effects:
  orders: {redis: "${address:store}", {effects}}
`), `100 commands are sent to "store", 5 at a time:`, c.command)
			v := verdict(t, h, twice)
			assert.Equal(t, c.outcome, v.Outcome)
			if c.outcome == "failed" {
				assert.Regexp(t, `^\d+ applied more than once`, v.Reason)
				assert.Regexp(t, `2 effects.*attempts: .*answered after`, v.Details[0])
			}
			assert.Equal(t, "passed", verdict(t, h, lost).Outcome)
			assert.Equal(t, "passed", verdict(t, h, served).Outcome)
		})
	}
}

package sources

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"
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

// Rows of a table: an INSERT whose end was lost is repeated. A unique key makes the repetition harmless.
func TestDrillOfStatements(t *testing.T) {
	addr, _ := ordersServer(t)
	conn, err := pgx.Connect(t.Context(), "postgres://postgres@"+addr+"/postgres?sslmode=disable")
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "create table keyed (key text unique, number int)")
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))
	for name, c := range map[string]struct{ statement, outcome string }{
		"applied twice": {"insert into orders values ('{{key}}', {{n}})", "failed"},
		"keyed":         {"begin; insert into keyed values ('{{key}}', {{n}}) on conflict do nothing; commit", "passed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			table := map[string]string{"failed": "orders", "passed": "keyed"}[c.outcome]
			h := drillLoad(t, strings.NewReplacer("{addr}", addr, "{table}", table).Replace(`services:
  store: {address: "{addr}", login: "postgres://postgres@/postgres"}
clients: {depends: {store: postgres}}
effects:
  orders: {sql: "postgres://postgres@${address:store}/postgres?sslmode=disable", query: "select key, ctid::text as id from {table}"}
`), `100 statements are sent to "store", 5 at a time:`, c.statement)
			assert.Equal(t, c.outcome, verdict(t, h, twice).Outcome)
			assert.Equal(t, "passed", verdict(t, h, lost).Outcome)
		})
	}
}

// The password of a login appears in no artefact, and one that is missing is reported before anything starts.
func TestLoginOfALoad(t *testing.T) {
	const variable = "FIREDRILL_TEST_LOGIN"
	addr, _ := streamServer(t)
	feature := `Feature: A
  Scenario: B
    Given the system described in "system.yaml"
    When 5 messages to the subject "orders" are sent to "bus", 1 at a time:
      """
      {{n}}
      """
    Then at least 1% of requests succeed
`
	run := func(dir string) (*runner.Result, error) {
		return runner.Run(t.Context(), runner.Options{
			FS:    fstest.MapFS{"a.feature": {Data: []byte(feature)}, "system.yaml": {Data: []byte("services:\n  bus: {address: \"" + addr + "\", login: \"nats://shop:${env:" + variable + "}@\"}\n")}},
			Paths: []string{"a.feature"}, Dir: dir, Loads: Loads(),
		})
	}
	dir := t.TempDir()
	_, err := run(dir)
	require.ErrorContains(t, err, `login of service "bus": the environment variable `+variable+" is not set")
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, entries)

	t.Setenv(variable, canary) // not the password
	result, err := run(dir)
	require.NoError(t, err)
	assert.Equal(t, "inconclusive", result.Outcome)
	assert.Equal(t, map[string]int{"the login was refused (check the login of the service in the system file)": 5}, result.Book.Scenarios[0].Load.GeneratorErrors)
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		assert.NotContains(t, string(raw), canary, path)
		return err
	}))
}

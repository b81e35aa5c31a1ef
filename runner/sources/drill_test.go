package sources

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/features/machine"
	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// canary is a password that must not be found in any artefact.
const canary = "canary/4711@x"

const drill = `Feature: Orders
  Scenario: Replies are lost
    Given the system described in "system.yaml"
    And a steady load of 40 requests per second on "POST /orders"
    And every request carries a fresh idempotency key in the "Idempotency-Key" header
    And clients retry failed requests up to 3 times with the same key
    And applied effects are read from "orders table"
    And applied effects are read from "log"
    And effects are read once the query of "queue" returns "0"
    And effects settle within 1s
    And a baseline is measured for 1s
    When 40% of replies from "orders" to "clients" are lost after the work was done for 1s
    Then no request is applied more than once
    And no acknowledged request is lost
`

const systemFile = `services:
  orders: {address: "127.0.0.1:1", serves: [/]}
  db: {address: "{db}"}
clients: {depends: {orders: http}}
effects:
  orders table: {sql: "postgres://postgres:${env:FIREDRILL_TEST_PASSWORD}@${address:db}/{name}?sslmode=disable", query: "select reference as key, number as id from orders"}
  queue: {sql: "postgres://postgres:${env:FIREDRILL_TEST_PASSWORD}@${address:db}/{name}?sslmode=disable", query: "select pending from queue"}
  log: {file: "{log}"}
`

// orderService writes an order to a table, and to a log if it is new. Without a unique key, an order that is sent again
// is placed again: its log shows one order, and its table two.
type orderService struct {
	db  *pgxpool.Pool
	log *os.File
}

func (s orderService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("Idempotency-Key")
	var before int
	err := s.db.QueryRow(r.Context(), "select count(*) from orders where reference = $1", key).Scan(&before)
	if err == nil {
		_, err = s.db.Exec(r.Context(), "insert into orders (reference) values ($1) on conflict do nothing", key)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	if before == 0 {
		line, _ := json.Marshal(map[string]string{"key": key})
		_, _ = s.log.Write(append(line, '\n'))
	}
	w.WriteHeader(http.StatusCreated)
}

// run runs the drill on a table in a database of its own and returns the history. If nothing was injected since the machine
// was too busy, it runs it again.
func run(t *testing.T, addr, name, unique, pending string) (h *journal.History) {
	t.Helper()
	t.Parallel()
	for try := range 1 + machine.Repeats {
		if h = runOnce(t, addr, fmt.Sprint(name, try), unique, pending); len(h.Faults) > 0 {
			break
		}
	}
	return h
}

func runOnce(t *testing.T, addr, name, unique, pending string) *journal.History {
	t.Helper()
	admin, err := pgxpool.New(t.Context(), "postgres://postgres@"+addr+"/postgres?sslmode=disable")
	require.NoError(t, err)
	_, err = admin.Exec(t.Context(), "create database "+name)
	admin.Close()
	require.NoError(t, err)
	db, err := pgxpool.New(t.Context(), "postgres://postgres@"+addr+"/"+name+"?sslmode=disable")
	require.NoError(t, err)
	t.Cleanup(db.Close)
	for _, text := range []string{"create table orders (number bigserial primary key, reference text " + unique + ")", "create table queue as select " + pending + " as pending"} {
		_, err = db.Exec(t.Context(), text)
		require.NoError(t, err)
	}
	path := filepath.Join(t.TempDir(), "orders.log")
	log, err := os.Create(path)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, log.Close()) })
	file := strings.NewReplacer("{db}", addr, "{log}", path, "{name}", name).Replace(systemFile)
	dir := t.TempDir()
	result, err := runner.Run(context.Background(), runner.Options{
		FS:    fstest.MapFS{"orders.feature": {Data: []byte(drill)}, "system.yaml": {Data: []byte(file)}},
		Paths: []string{"orders.feature"}, Dir: dir, Seed: 7, Sources: Kinds(),
		Handlers: map[string]http.Handler{"orders": orderService{db, log}},
	})
	require.NoError(t, err)
	var written strings.Builder
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		written.Write(raw)
		return err
	}))
	for _, secret := range []string{canary, "canary%2F4711%40x"} {
		assert.NotContains(t, written.String(), secret)
	}
	return result.Book.Scenarios[0]
}

// verdict returns the verdict of a check, as it would be if the machine was not busy.
func verdict(t *testing.T, h *journal.History, check string) journal.Verdict {
	t.Helper()
	for _, v := range h.Verdicts {
		if v.Check == check {
			if v.Withheld != "" {
				v.Outcome = v.Withheld
			}
			t.Logf("%s: %s; %s; %s", v.Check, v.Outcome, v.Observed, v.Reason)
			return v
		}
	}
	require.Fail(t, "not judged", check)
	return journal.Verdict{}
}

// Rows of a table without a unique key are effects that were applied twice, although the log of the service shows each
// once. Both sources are judged, and the verdict names the one that shows it.
func TestDrillOfATable(t *testing.T) {
	t.Setenv("FIREDRILL_TEST_PASSWORD", canary)
	addr := postgresServer(t)
	t.Run("without a unique key", func(t *testing.T) {
		h := run(t, addr, "naive", "", "0")
		v := verdict(t, h, twice)
		assert.Equal(t, "failed", v.Outcome)
		assert.Regexp(t, `^orders table: \d+ applied more than once`, v.Reason)
		assert.NotContains(t, v.Reason, "log:")
		assert.Contains(t, v.Observed, "; log: ")
		require.NotEmpty(t, v.Details)
		assert.Contains(t, v.Details[0], "orders table: key ")
		assert.Equal(t, "passed", verdict(t, h, lost).Outcome)
	})
	t.Run("with a unique key", func(t *testing.T) {
		h := run(t, addr, "keyed", "unique", "0")
		assert.Equal(t, "passed", verdict(t, h, twice).Outcome)
		assert.Equal(t, "passed", verdict(t, h, lost).Outcome)
	})
	t.Run("effects that have not arrived", func(t *testing.T) {
		h := run(t, addr, "lagging", "unique", "3")
		v := verdict(t, h, twice)
		assert.Equal(t, "inconclusive", v.Outcome)
		assert.Contains(t, v.Reason, `the query of "queue" returns "0" was awaited until 1s after the load: the last answer was "3"`)
	})
}

// What is missing on this machine is reported before anything starts.
func TestMissingVariableAndLibrary(t *testing.T) {
	const feature = `Feature: A
  Scenario: B
    Given the system described in "system.yaml"
    And a steady load of 5 requests per second on "POST /"
    And every request carries a fresh idempotency key in the "Idempotency-Key" header
    And applied effects are read from "here"
    When 1s pass
    Then no acknowledged request is lost
`
	for effects, want := range map[string]string{
		`{sql: "postgres://a:${env:FIREDRILL_TEST_UNSET}@${address:a}/x", query: "select 1 as key"}`: `effects source "here": the environment variable FIREDRILL_TEST_UNSET is not set: set FIREDRILL_TEST_UNSET in the environment of the run`,
		`{redis: "${address:a}", list: orders}`:                                                      `add Sources: sources.Kinds() to runner.Options`,
		`{sql: "postgres://a@${address:a}/x", query: "select 1 as key", driver: other}`:              `no driver "other" is linked`,
	} {
		dir := t.TempDir()
		_, err := runner.Run(t.Context(), runner.Options{
			FS: fstest.MapFS{
				"a.feature":   {Data: []byte(feature)},
				"system.yaml": {Data: []byte("services:\n  a: {address: \"127.0.0.1:1\", serves: [/]}\neffects:\n  here: " + effects + "\n")},
			}, Paths: []string{"a.feature"}, Dir: dir,
		})
		require.ErrorContains(t, err, want)
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		assert.Empty(t, entries)
	}
}

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// startBeside starts a drill of two scenarios that run side by side. Both have a service "web", and the second also has "api".
// It returns once both are under a fault.
func startBeside(t *testing.T) *program {
	t.Helper()
	dir := t.TempDir()
	const ledger = `{command: ["${self}", service, ledger, --listen, "127.0.0.1:${port}"]}`
	for name, text := range map[string]string{
		"first.yaml":  "services:\n  web: " + ledger + "\nclients: {depends: {web: http}}\n",
		"second.yaml": "services:\n  web: " + ledger + "\n  api: " + ledger + "\nclients: {depends: {web: http, api: http}}\n",
		"beside.feature": `Feature: beside
  Scenario: first
    Given the system described in "first.yaml"
    When "clients" and "web" are cut off from each other for 10m
    And 1s pass
  Scenario: second
    Given the system described in "second.yaml"
    When "clients" and "web" are cut off from each other for 10m
    And 1s pass
`,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	p := start(t, "", "run", "--parallel", "2", filepath.Join(dir, "beside.feature"))
	p.until(t, `(?s)"stage":"live".*"stage":"live"`)
	return p
}

// Of scenarios that run side by side, that one is meant which has what the sentence names, or which --scenario names. If
// neither says which, nothing is injected, and they are listed.
func TestInjectBesideOthers(t *testing.T) {
	t.Parallel()
	p := startBeside(t)
	run := filepath.Join(p.runs, "latest")
	const web, api = `calls from "clients" to "web" are delayed by 30ms for 100ms`, `calls from "clients" to "api" are delayed by 30ms for 100ms`
	into := func(id string) string {
		found := regexp.MustCompile(`"scenario":"([^"]*)"[^\n]*"id":"` + id + `","stage":"live"`).FindSubmatch(p.until(t, `"id":"`+id+`","stage":"healed"`))
		require.NotNil(t, found)
		return string(found[1])
	}

	code, said := firedrill(t, "inject", "--run", run, web)
	assert.Equal(t, usage, code)
	assert.Contains(t, said, `2 scenarios run side by side that this may be meant for: name one with --scenario: beside-first ("first"), beside-second ("second")`)
	assert.NotContains(t, string(p.until(t, "live")), `"id":"hand-`)

	code, said = firedrill(t, "inject", "--run", run, api)
	assert.Equal(t, inconclusive, code, "no call met it: %s", said)
	assert.Equal(t, "beside-second", into("hand-2"))
	code, said = firedrill(t, "inject", "--run", run, "--scenario", "first", web)
	assert.Equal(t, inconclusive, code, said)
	assert.Equal(t, "beside-first", into("hand-3"))
	code, said = firedrill(t, "inject", "--run", run, "--scenario", "beside-second", web)
	assert.Equal(t, inconclusive, code, said)
	assert.Equal(t, "beside-second", into("hand-4"))

	for _, refused := range []struct {
		says string
		args []string
	}{
		{`there is no service "api"`, []string{"--run", run, "--scenario", "first", api}},
		{`no scenario "third" runs: name one that does: beside-first ("first"), beside-second ("second")`, []string{"--run", run, "--scenario", "third", api}},
		{`none of the 2 scenarios that run side by side (beside-first ("first"), beside-second ("second")) has what the sentence names: there is no service "db"`, []string{"--run", run, `calls from "clients" to "db" are delayed by 30ms for 1s`}},
		{"--scenario goes with --run and a sentence", []string{"--scenario", "first", web}},
		{"--scenario goes with --run and a sentence", []string{"--run", run, "--scenario", "first", "--list"}},
	} {
		code, said = firedrill(t, append([]string{"inject"}, refused.args...)...)
		assert.Equal(t, usage, code)
		assert.Contains(t, said, refused.says)
	}
	code, said = firedrill(t, "abort", "--dir", p.runs)
	require.Zero(t, code, said)
	assert.Equal(t, 4, p.code(t), p.output())
}

package runner_test

import (
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

const secretive = `
Feature: Orders
  Scenario: with secrets
    Given the system described in "system.yaml"
    And a steady load of 50 requests per second on "POST /orders?token=CANARY-query" with this body:
      """
      {"card": "CANARY-body"}
      """
    And every request carries a fresh idempotency key in the "Idempotency-Key" header
    And applied effects are read from "GET /ledger?auth=CANARY-effects"
    And effects settle within 1s
    And a baseline is measured for 1s
    When only calls with header "Authorization: Bearer CANARY-rule" from "clients" to "orders" are delayed by 10ms for 300ms
    And calls from "clients" to "orders" are delayed by 1ms for 500ms
    Then at least 90% of "POST /orders?token=CANARY-query" requests succeed
    And every acknowledged request is applied exactly once
`

// Secrets appear in no file and in no watched event, and operations whose names contain them still
// match.
func TestSecretsAreRedacted(t *testing.T) {
	t.Parallel()
	res := runFeature(t, secretive, runner.Options{Watch: func(e journal.Event) {
		if e.Begin != nil {
			for _, step := range e.Begin.Steps {
				assert.NotContains(t, step.Text, "CANARY")
			}
		}
	}})
	routed := false
	for _, v := range res.Book.Scenarios[0].Verdicts {
		routed = routed || strings.Contains(v.Check, `"POST /orders?token=***"`) && strings.HasPrefix(v.Observed, "100.0% (")
	}
	assert.True(t, routed, "the check of a route finds its requests")
	require.NoError(t, fs.WalkDir(os.DirFS(res.Dir), ".", func(name string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		if !d.IsDir() {
			raw, err := fs.ReadFile(os.DirFS(res.Dir), name)
			require.NoError(t, err)
			assert.NotContains(t, string(raw), "CANARY", name)
		}
		info, err := d.Info()
		require.NoError(t, err)
		assert.Zero(t, info.Mode().Perm()&0o077, "%s can be read by others", name)
		return nil
	}))
}

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What the library for Redis logs does not disturb the output of a run; its errors are there as reasons.
func TestClientLibrariesAreSilent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"system.yaml": `services:
  web: {serves: [/], stand_in: {routes: {"POST /a": {}}}}
effects:
  orders: {redis: "127.0.0.1:1", list: orders}
`,
		"a.feature": `Feature: A
  Scenario: S
    Given the system described in "system.yaml"
    And every request carries a fresh idempotency key in the "Idempotency-Key" header
    And a steady load of 20 requests per second on "POST /a"
    And applied effects are read from "orders"
    When 1s passes
    Then no acknowledged request is lost
`,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	code, said := firedrill(t, "run", "--dir", filepath.Join(dir, "runs"), filepath.Join(dir, "a.feature"))
	assert.Equal(t, inconclusive, code)
	assert.Contains(t, said, "read effects from orders before the load: dial tcp 127.0.0.1:1: connect: connection refused")
	assert.NotContains(t, said, "redis: ")
}

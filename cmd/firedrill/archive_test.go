package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/features"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// TestReplay: the command selects the scenarios of the run, wherever it was started and whatever else it did.
func TestReplay(t *testing.T) {
	plan := []journal.Planned{{File: "a.feature", Line: 2}, {File: "a.feature", Line: 2}, {File: "b c.feature", Line: 9}}
	for want, run := range map[string]journal.Run{
		"firedrill run --seed=7 a.feature:2 'b c.feature:9'":                                                 {Command: []string{"firedrill", "run", "--seed", "3", "--dir", "/tmp", "--github", "a.feature", "b c.feature"}},
		"firedrill run --seed=7 '--without=idempotency keys' a.feature:2 'b c.feature:9'":                    {Without: []string{"idempotency keys"}, Command: []string{"firedrill", "demo"}},
		"firedrill run --seed=7 '--tags=@row-7 and not @real' '--name=it'\\''s' a.feature:2 'b c.feature:9'": {Command: []string{"firedrill", "run", "--tags", "@row-7 and not @real", "--name=it's", "."}},
		"firedrill run --seed=7 '--tags=not @real' a.feature:2 'b c.feature:9'":                              {Command: []string{"firedrill", "run"}},
	} {
		run.Seed, run.Plan = 7, plan
		assert.Equal(t, want, strings.Join(replay(&journal.Book{Run: run}), " "))
	}
	assert.Equal(t, "firedrill run --seed=7 a.feature:2 'b c.feature:9'", strings.Join(replay(&journal.Book{Run: journal.Run{Seed: 7, Plan: plan, Command: []string{"orders.test", "-test.run", "X"}}}), " "))
}

// TestFilesOfRunsAreFound: files outside of the working directory and built-in ones are found, and no others.
func TestFilesOfRunsAreFound(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "a.feature")
	require.NoError(t, os.WriteFile(outside, []byte("abc"), 0o600))
	file := journal.File{Name: strings.TrimPrefix(filepath.ToSlash(outside), "/"), Size: 3, SHA256: digest([]byte("abc"))}
	text, builtIn, err := inputFile(file)
	require.NoError(t, err)
	assert.Equal(t, "abc", string(text))
	assert.False(t, builtIn)

	file.SHA256 = digest([]byte("abd"))
	_, _, err = inputFile(file)
	assert.ErrorContains(t, err, "is not the one that the run was read from")

	demo, err := features.Demo.ReadFile("shop/demo.feature")
	require.NoError(t, err)
	text, builtIn, err = inputFile(journal.File{Name: "shop/demo.feature", Size: int64(len(demo)), SHA256: digest(demo)})
	require.NoError(t, err)
	assert.Equal(t, demo, text)
	assert.True(t, builtIn)

	for _, name := range []string{"../x", "/etc/passwd", "", "."} {
		_, _, err := inputFile(journal.File{Name: name})
		assert.Error(t, err, name)
	}
}

// TestSecretLines: the first line that the journal would redact is found. The names of variables are no secrets.
func TestSecretLines(t *testing.T) {
	assert.Equal(t, 3, secretLine([]byte("a: b\nc: d\npassword: hunter2\ntoken: xyz\n")))
	assert.Equal(t, 1, secretLine([]byte("postgres://app:hunter2@${address:db}/shop\n")))
	assert.Equal(t, 0, secretLine([]byte("a: b\npassword: ${env:DB_PASSWORD}\nlogin: postgres://app:${env:DB_PASSWORD}@/shop\n")))
	assert.Equal(t, 0, secretLine([]byte("env: {DB_PASSWORD: \"${env:PG}\", TOKEN: '${env:TOKEN}', DB: \"postgres://app:${env:PG}@/shop\"}\n")))
	assert.Equal(t, 2, secretLine([]byte("env:\n  DB_PASSWORD: \"hunter2\"\n")))
}

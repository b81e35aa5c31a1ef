package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Each row of the threat model names tests, and each of them exists.
func TestThreatsHaveTests(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`)
	require.NoError(t, filepath.WalkDir("../..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		raw, err := os.ReadFile(path)
		for _, found := range declared.FindAllStringSubmatch(string(raw), -1) {
			known[found[1]] = true
		}
		return err
	}))
	raw, err := os.ReadFile("../../runner/README.md")
	require.NoError(t, err)
	_, table, ok := strings.Cut(string(raw), "| threat | what prevents it | tested by |\n|---|---|---|\n")
	require.True(t, ok)
	table, _, _ = strings.Cut(table, "\n\n")
	rows := strings.Split(table, "\n")
	assert.Greater(t, len(rows), 8)
	for _, row := range rows {
		cells := strings.Split(row, "|")
		require.Len(t, cells, 5, row)
		tests := regexp.MustCompile(`Test\w+`).FindAllString(cells[3], -1)
		assert.NotEmpty(t, tests, row)
		for _, name := range tests {
			assert.True(t, known[name], "there is no test %s: %s", name, row)
		}
	}
}

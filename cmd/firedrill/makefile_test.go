package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Each test that the Makefile names exists in each package that it names beside it: go test passes if no test has the
// name.
func TestMakefileNamesExistingTests(t *testing.T) {
	raw, err := os.ReadFile("../../Makefile")
	require.NoError(t, err)
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	named := regexp.MustCompile(`-run '?([\w|]+)`)
	found := 0
	for line := range strings.Lines(string(raw)) {
		run := named.FindStringSubmatch(line)
		if run == nil {
			continue
		}
		for _, dir := range regexp.MustCompile(`\./[\w/]+`).FindAllString(line, -1) {
			var tests []string
			files, err := filepath.Glob(filepath.Join("../..", dir, "*_test.go"))
			require.NoError(t, err)
			for _, file := range files {
				source, err := os.ReadFile(file)
				require.NoError(t, err)
				for _, m := range declared.FindAllStringSubmatch(string(source), -1) {
					tests = append(tests, m[1])
				}
			}
			assert.Regexp(t, run[1], strings.Join(tests, " "), "%s: no test of %s matches", strings.TrimSpace(line), dir)
			found++
		}
	}
	require.Positive(t, found)
}

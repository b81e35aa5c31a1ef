package main

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/feature"
)

const (
	unformatted = "Feature: a\nScenario: b\nGiven c\n"
	formatted   = "Feature: a\n\n  Scenario: b\n    Given c\n"
)

// TestRepositoryIsFormatted covers all feature files that Git knows.
func TestRepositoryIsFormatted(t *testing.T) {
	t.Parallel()
	list := exec.Command("git", "ls-files", "*.feature")
	list.Dir = filepath.Join("..", "..")
	raw, err := list.Output()
	require.NoError(t, err)
	args := []string{"fmt", "--check"}
	for _, name := range strings.Fields(string(raw)) {
		args = append(args, filepath.Join("..", "..", name))
	}
	require.Greater(t, len(args), 40)
	var out, console bytes.Buffer
	code := Main(args, nil, &out, &console)
	assert.Zero(t, code, "firedrill fmt would change:\n%s%s", &out, &console)
}

// TestREADMEFeaturesAreFormatted covers the features in the documents.
func TestREADMEFeaturesAreFormatted(t *testing.T) {
	t.Parallel()
	found := 0
	for _, name := range documents(t) {
		for _, block := range regexp.MustCompile("(?s)```gherkin\n(.*?)```").FindAllStringSubmatch(document(t, name), -1) {
			if !strings.Contains(block[1], "Feature:") {
				continue // some steps
			}
			found++
			text, err := feature.Format(name, []byte(block[1]))
			if assert.NoError(t, err) {
				assert.Equal(t, string(text), block[1], name)
			}
		}
	}
	require.Greater(t, found, 3)
}

// TestFmtReplacesFiles: the mode of a file stays, links stay links, and no other file is left.
func TestFmtReplacesFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	real := filepath.Join(dir, "real", "orders.feature")
	link := filepath.Join(dir, "linked.feature")
	require.NoError(t, os.Mkdir(filepath.Dir(real), 0o700))
	require.NoError(t, os.WriteFile(real, []byte(unformatted), 0o600))
	require.NoError(t, os.Chmod(real, 0o640))
	require.NoError(t, os.Symlink(filepath.Join("real", "orders.feature"), link))

	code, out, console := runFmt(link)
	require.Zero(t, code, console)
	require.Equal(t, link+"\n", out)
	raw, err := os.ReadFile(real)
	require.NoError(t, err)
	require.Equal(t, formatted, string(raw))
	info, err := os.Stat(real)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o640), info.Mode())
	to, err := os.Readlink(link)
	require.NoError(t, err)
	require.Equal(t, filepath.Join("real", "orders.feature"), to)
	left, err := os.ReadDir(filepath.Dir(real))
	require.NoError(t, err)
	require.Len(t, left, 1)
}

// TestFmtLeavesFormattedFilesAlone: a file that is formatted is not written at all.
func TestFmtLeavesFormattedFilesAlone(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "a.feature")
	require.NoError(t, os.WriteFile(name, []byte(formatted), 0o600))
	before, err := os.Stat(name)
	require.NoError(t, err)
	code, out, console := runFmt(name)
	require.Zero(t, code, console)
	require.Empty(t, out)
	after, err := os.Stat(name)
	require.NoError(t, err)
	require.True(t, os.SameFile(before, after))
}

func runFmt(args ...string) (code int, stdout, stderr string) {
	var out, console bytes.Buffer
	code = Main(append([]string{"fmt"}, args...), nil, &out, &console)
	return code, out.String(), console.String()
}

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/features/machine"
	"github.com/firedrill-dev/firedrill/scenarios/language"
)

// What "firedrill init" writes for editors is read by what such editors are made of, Cucumber's language service:
// it knows every sentence of the catalogue and every example, completes sentences, and marks what is not one.
func TestEditorsKnowTheSentences(t *testing.T) {
	const editor = "testdata/editor"
	_, err := os.Stat(filepath.Join(editor, "node_modules"))
	machine.Need(t, err, "make install-tools")
	dir := t.TempDir()
	write := func(name string, text []byte) string {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), text, 0o600))
		return filepath.Join(dir, name)
	}
	settings, err := editorSettings("features")
	require.NoError(t, err)
	var examples strings.Builder
	for _, p := range language.Standard().Phrases() {
		for _, e := range p.Examples {
			fmt.Fprintf(&examples, "    When %s\n", e)
		}
	}
	const head = "Feature: F\n  Scenario: S\n"
	known, mistaken := write("examples.feature", []byte(head+examples.String())), write("mistaken.feature", []byte(head+"    When calls from \"a\" to \"b\" get lost\n"))
	catalogue, err := filepath.Glob("../../features/*.feature")
	require.NoError(t, err)
	files := append(catalogue, known, mistaken)
	cmd := exec.CommandContext(t.Context(), "node", append([]string{filepath.Join(editor, "check.mjs"), write("settings.json", settings), write(stubFile, language.Standard().EditorStub())}, files...)...)
	cmd.Stderr = t.Output()
	out, err := cmd.Output()
	require.NoError(t, err)
	var seen struct {
		Errors      []string
		Sentences   int
		Problems    map[string][]string
		Completions []string
	}
	require.NoError(t, json.Unmarshal(out, &seen))
	assert.Empty(t, seen.Errors)
	assert.Equal(t, strings.Count(string(language.Standard().EditorStub()), "scenario.Step("), seen.Sentences)
	for _, file := range files {
		problems, read := seen.Problems[file]
		require.True(t, read, file)
		if file != mistaken {
			assert.Empty(t, problems, file)
		}
	}
	assert.Equal(t, []string{`Undefined step: calls from "a" to "b" get lost`}, seen.Problems[mistaken])
	assert.Contains(t, seen.Completions, "traffic from {names} never reaches {names} for {duration}")
}

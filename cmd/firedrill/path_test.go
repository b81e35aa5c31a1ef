package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestProgramExecutesNothingFromPath: the package initializer of godog executes the first program named "go" in
// PATH, so godog must not be linked.
func TestProgramExecutesNothingFromPath(t *testing.T) {
	deps, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	require.NoError(t, err)
	require.NotContains(t, string(deps), "cucumber/godog")

	dir := t.TempDir()
	program, marker := built(t), filepath.Join(dir, "executed")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go"), []byte("#!/bin/sh\necho \"$@\" >> '"+marker+"'\n"), 0o700))
	for _, args := range [][]string{{"--version"}, {"steps", "delay"}, {"plan"}} {
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Env = append(os.Environ(), "PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		require.NoFileExists(t, marker, "%v executed go", args)
	}
}

package process

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFindProgram(t *testing.T) {
	here, dir := t.TempDir(), t.TempDir()
	t.Chdir(here)
	program := filepath.Join(dir, "bin", "web")
	require.NoError(t, os.Mkdir(filepath.Dir(program), 0o700))
	require.NoError(t, os.WriteFile(program, []byte("#!/bin/sh\n"), 0o700))
	for _, name := range []string{"bin/web", "./bin/web", program} {
		found, err := FindProgram(dir, name)
		require.NoError(t, err)
		require.Equal(t, program, found)
	}
	require.NoError(t, os.Rename(filepath.Join(dir, "bin"), filepath.Join(here, "bin")))
	for _, name := range []string{"bin/web", "./bin/web", "web", program} {
		_, err := FindProgram(dir, name)
		require.Error(t, err, "%s is only in the working directory", name)
	}
	found, err := FindProgram(".", "bin/web")
	require.NoError(t, err)
	require.True(t, filepath.IsAbs(found), found)
	_, err = FindProgram(dir, "sh")
	require.NoError(t, err)
}

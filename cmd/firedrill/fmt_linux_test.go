package main

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestFmtWithoutPermission: a file that may not be written is not replaced, though its folder may be written. Root may
// write everything, so this thread accesses files as another user, and ends with the test.
func TestFmtWithoutPermission(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755)) //nolint:gosec // another user has to reach the file
	require.NoError(t, os.Chmod(dir, 0o777))               //nolint:gosec // the same
	name := filepath.Join(dir, "a.feature")
	require.NoError(t, os.WriteFile(name, []byte(unformatted), 0o444)) //nolint:gosec // the same
	code, out, console := 0, "", ""
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if os.Geteuid() == 0 {
			_ = unix.Setfsuid(65534)
		}
		code, out, console = runFmt(name)
	}()
	<-done
	require.Equal(t, usage, code)
	require.Empty(t, out)
	require.Contains(t, console, "permission denied; the file is as before")
	kept, err := os.ReadFile(name)
	require.NoError(t, err)
	require.Equal(t, unformatted, string(kept))
}

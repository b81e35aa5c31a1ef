package runner_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/runner"
)

// TestUserModule runs the tests of a module that is not this one, testdata/module: a fault from Go, features with
// sentences of its own, and an experiment built in Go. They pass, and fail if its service loses a protection.
func TestUserModule(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles another module")
	}
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "module")
	require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "module"))))
	root, err := filepath.Abs("..")
	require.NoError(t, err)
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.sum"), sums, 0o600))
	run := func(env string, args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", env)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := run("", "mod", "edit", "-replace", "github.com/firedrill-dev/firedrill="+root)
	require.NoError(t, err, out)
	test := func(env string) (string, error) {
		for range runner.Repeats { // what is inconclusive runs again: this machine may have been busy
			if out, err = run(env, "test", "-count", "1", "./..."); !strings.Contains(out, "— inconclusive: ") {
				return out, err
			}
		}
		return run(env, "test", "-count", "1", "./...")
	}
	out, err = test("FORGETFUL=")
	require.NoError(t, err, out)
	out, err = test("FORGETFUL=1")
	require.Error(t, err, out)
	assert.Regexp(t, `shop_test\.go:\d+: 3 charges of one order; 2 replies were lost`, out)
	assert.Regexp(t, `features/orders\.feature:12: every acknowledged request is applied exactly once — failed: `, out)
	assert.NotContains(t, out, "--- FAIL: TestBuilder", "it does not need the protection")
}

package main

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // effects are read from PostgreSQL
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/features/machine"
	"github.com/firedrill-dev/firedrill/features/services"
	"github.com/firedrill-dev/firedrill/injector/process"
	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// TestMain makes this test binary act as the PostgreSQL server of the system file.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "service" {
		os.Exit(services.Main(os.Args[2:]))
	}
	os.Exit(m.Run())
}

const token = "canary-4711-of-the-orders"

// TestOrders runs the feature against the services as they are, and without the unique key, where an order that is sent
// again has to be found. The token is in no file of the runs.
func TestOrders(t *testing.T) {
	if testing.Short() {
		t.Skip("runs PostgreSQL")
	}
	_, err := process.LookPath("initdb")
	machine.Need(t, err, "apt-get install postgresql")
	t.Setenv("API_TOKEN", token)
	t.Setenv("WITHOUT", "")
	root := t.TempDir()
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(root, "bin", "own"), ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, name := range []string{"orders.feature", "system.yaml"} {
		raw, err := os.ReadFile(name)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(root, name), raw, 0o600))
	}
	t.Run("as they are", func(t *testing.T) {
		t.Parallel()
		for _, h := range drill(t, root, runner.Options{Parallel: 4}) {
			assert.Equal(t, "passed", h.End.Outcome, h.Name)
		}
	})
	t.Run("without the unique key", func(t *testing.T) {
		t.Parallel()
		all := drill(t, root, runner.Options{Name: "COMMIT", Without: []string{"unique key"}})
		require.Len(t, all, 1)
		reasons := map[string]string{}
		for _, v := range all[0].Verdicts {
			if v.Outcome == "failed" {
				reasons[v.Check] = v.Reason
			}
		}
		assert.Contains(t, reasons["no request is applied more than once"], "applied more than once (surplus effects: ")
		assert.Contains(t, reasons["a key reused with a different body is refused with status 422"], "20 of 20 keys sent again were applied again")
		assert.Len(t, reasons, 2)
	})
}

// drill runs the feature in a folder. It runs again, at most twice, what is inconclusive: this machine may have been
// busy.
func drill(t *testing.T, root string, o runner.Options) []*journal.History {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	o.FS, o.Root, o.Paths, o.Self = os.DirFS(root), root, []string{"orders.feature"}, self
	var result *runner.Result
	run := func() {
		o.Dir = t.TempDir()
		result, err = runner.Run(t.Context(), o)
	}
	require.NoError(t, machine.Share(run))
	require.NoError(t, err)
	for range machine.Repeats {
		if result.Outcome != "inconclusive" {
			break
		}
		t.Log("run again, because this machine may have been busy")
		require.NoError(t, machine.Reserve(run))
		require.NoError(t, err)
	}
	for _, h := range result.Book.Scenarios {
		for _, v := range h.Verdicts {
			if v.Outcome != "passed" {
				t.Logf("%s: %s %s: observed %s; %s", h.Name, v.Outcome, v.Check, v.Observed, v.Reason)
			}
		}
	}
	require.NoError(t, filepath.WalkDir(o.Dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(name)
		assert.False(t, bytes.Contains(raw, []byte(token)), "the token is in %s", name)
		return err
	}))
	return result.Book.Scenarios
}

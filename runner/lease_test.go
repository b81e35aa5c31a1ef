//go:build linux

package runner_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// A run that is stopped for longer than its lease, while a service hangs, injects nothing more when it continues. It is
// inconclusive, says why, and its services ended long before.
func TestRunThatHangsIsInconclusive(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mark := fmt.Sprintf("hangs-%d", os.Getpid())
	var out bytes.Buffer
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), "ROLE=hangs", "DIR="+dir, "MARK="+mark, "FIREDRILL_LEASE=3s")
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	path := filepath.Join(dir, "runs", "latest", "journal.ndjson")
	injected := regexp.MustCompile(`"stage":"live"`)
	require.Eventually(t, func() bool {
		raw, _ := os.ReadFile(path)
		return injected.Match(raw)
	}, time.Minute, 10*time.Millisecond)

	require.NoError(t, cmd.Process.Signal(syscall.SIGSTOP))
	require.Empty(t, remainingProcesses(t, mark), "the guardian ends a service that hangs")
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Len(t, injected.FindAll(before, -1), 1)
	require.NoError(t, cmd.Process.Signal(syscall.SIGCONT))
	select {
	case err := <-ended:
		require.NoError(t, err)
	case <-time.After(time.Minute):
		require.Fail(t, "the run does not end")
	}
	require.Equal(t, "outcome: inconclusive exit code: 3\n", out.String())

	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	book, err := journal.Fold(f)
	require.NoError(t, err)
	require.Len(t, book.Scenarios, 2)
	why := fmt.Sprintf("this program (pid %d) did not run for longer than its lease of 3s", cmd.Process.Pid)
	for _, h := range book.Scenarios {
		require.Equal(t, "inconclusive", h.End.Outcome)
		require.Contains(t, h.End.Reason, why)
		for _, v := range h.Verdicts {
			require.NotEqual(t, "failed", v.Outcome, "%s", v.Check)
		}
	}
	require.Len(t, book.Scenarios[0].Faults, 1)
	require.Empty(t, book.Scenarios[1].Faults)
	require.Empty(t, remainingProcesses(t, mark))
}

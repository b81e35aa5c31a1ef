package process

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func script(t *testing.T, text string) Spec {
	t.Helper()
	dir := t.TempDir()
	return Spec{Name: "task", Args: []string{"sh", "-c", text}, Env: []string{"COLOUR=blue"}, Dir: dir, Log: filepath.Join(dir, "logs", "task.log")}
}

func TestRunReturnsStatusAndOutput(t *testing.T) {
	s := script(t, `echo $COLOUR; pwd; exit ${STATUS:-0}`)
	r, err := Run(t.Context(), s)
	require.NoError(t, err)
	require.True(t, r.OK(), r.Status)
	require.Equal(t, "blue\n"+s.Dir, r.Output)

	s.Env = []string{"STATUS=3", "COLOUR=red"}
	r, err = Run(t.Context(), s)
	require.NoError(t, err)
	require.False(t, r.OK())
	require.Equal(t, Result{"exit status 3", "red\n" + s.Dir}, r, "only the output of this run")
}

func TestRunReportsMissingProgram(t *testing.T) {
	s := script(t, "")
	s.Args = []string{"no-such-program"}
	_, err := Run(t.Context(), s)
	require.ErrorContains(t, err, `run "task"`)
	require.ErrorContains(t, err, "no-such-program")
}

// requireEnded waits until the process whose PID is in a file has ended.
func requireEnded(t *testing.T, file string) {
	t.Helper()
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		return err != nil || strings.Contains(string(stat), ") Z ")
	}, patience, 10*time.Millisecond, "process %d runs on", pid)
}

func TestRunEndsWhatTheCommandLeaves(t *testing.T) {
	if !tracksDescendants {
		t.Skip("descendants are known on Linux")
	}
	s := script(t, `sleep 1000 >/dev/null 2>&1 & echo $! >child`)
	r, err := Run(t.Context(), s)
	require.NoError(t, err)
	require.True(t, r.OK(), r.Status)
	requireEnded(t, filepath.Join(s.Dir, "child"))
}

func TestRunEndsTheCommandWithItsContext(t *testing.T) {
	late := errors.New("it took too long")
	ctx, cancel := context.WithCancelCause(t.Context())
	s := script(t, `trap "" TERM; sleep 1000 & echo $! >child.new; mv child.new child; echo begun; wait`)
	go func() {
		for {
			if _, err := os.Stat(filepath.Join(s.Dir, "child")); err == nil || t.Context().Err() != nil {
				cancel(late)
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	r, err := Run(ctx, s)
	require.ErrorIs(t, err, late)
	require.Equal(t, "signal: killed", r.Status)
	requireEnded(t, filepath.Join(s.Dir, "child"))
}

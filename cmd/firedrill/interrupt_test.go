package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// slow is a drill in which back takes long to restart after a crash. It also has a child process in its own
// session.
const slow = `Feature: slow
  Scenario: slow
    Given the system described in "system.yaml"
    When "back" crashes for 500ms
    And 60s pass
`

// slowSystem has a service back that starts only once. Nothing connects to it, so a line of its log makes it
// ready.
const slowSystem = `services:
  back:
    command: [sh, -c, 'setsid sleep %[1]s & [ -e lived ] && exec sleep %[1]s; touch lived; trap "exit 0" TERM; echo ready; while :; do sleep 0.1; done']
    ready: {line: "^ready$", within: 1h}
`

// slowDrills counts the calls of slowDrill.
var slowDrills atomic.Int64

// slowDrill writes the slow drill to a folder. Its processes sleep for a number of seconds that no other
// process does.
func slowDrill(t *testing.T) (dir, sleep string) {
	t.Helper()
	dir, sleep = t.TempDir(), fmt.Sprintf("7%d.%d", os.Getpid(), slowDrills.Add(1))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "system.yaml"), fmt.Appendf(nil, slowSystem, sleep), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "slow.feature"), []byte(slow), 0o600))
	return dir, sleep
}

// sleepingProcesses returns the processes that sleep for the given number of seconds.
func sleepingProcesses(sleep string) (pids []string) {
	paths, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range paths {
		raw, _ := os.ReadFile(path)
		if string(raw) == "sleep\x00"+sleep+"\x00" {
			pids = append(pids, filepath.Base(filepath.Dir(path)))
		}
	}
	return pids
}

func TestInterruptedHealingStartsNothing(t *testing.T) {
	t.Parallel()
	dir, sleep := slowDrill(t)
	p := start(t, "", "run", filepath.Join(dir, "slow.feature"))
	p.until(t, `(?s)"what":"crashed".*"what":"started"`) // healing has begun and would take an hour
	require.NoError(t, p.cmd.Process.Signal(os.Interrupt))
	require.Equal(t, 130, p.code(t), p.output())
	require.Contains(t, p.errOut.String(), "healing and stopping; repeat to exit immediately")
	require.Empty(t, sleepingProcesses(sleep))
	require.Contains(t, p.out.String(), "report: ")
}

func TestSecondSignalExitsImmediately(t *testing.T) {
	t.Parallel()
	dir, sleep := slowDrill(t)
	tmp := t.TempDir()
	raw, err := os.ReadFile(filepath.Join(dir, "system.yaml"))
	require.NoError(t, err)
	// It ignores SIGTERM and runs for long, so that the first signal leads to a wait.
	raw = []byte(strings.ReplaceAll(string(raw), `trap "exit 0" TERM`, `trap "" TERM`) + "    stop: {within: 1h}\n")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "system.yaml"), raw, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "slow.feature"), []byte(strings.Replace(slow, `When "back" crashes for 500ms`, `When 1s pass`, 1)), 0o600))
	p := startWith(t, []string{"TMPDIR=" + tmp}, nil, "run", filepath.Join(dir, "slow.feature"))
	p.until(t, `"what":"ready"`)
	require.NotEmpty(t, sleepingProcesses(sleep))
	require.NoError(t, p.cmd.Process.Signal(os.Interrupt))
	require.Eventually(t, func() bool { return strings.Contains(p.errOut.String(), "repeat to exit") }, time.Minute, 5*time.Millisecond)
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	require.Equal(t, 130, p.code(t), p.output())
	require.Contains(t, p.errOut.String(), "terminated: exiting immediately; services are killed")
	require.Empty(t, sleepingProcesses(sleep))
	files, err := filepath.Glob(filepath.Join(tmp, "firedrill-*", "*"))
	require.NoError(t, err)
	require.Empty(t, files, "there is nothing for the next run to clean up")
}

// waitingDrill is slowDrill without a fault.
func waitingDrill(t *testing.T) (dir, sleep string) {
	t.Helper()
	dir, sleep = slowDrill(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "slow.feature"), []byte(strings.Replace(slow, `When "back" crashes for 500ms`, `When 1s pass`, 1)), 0o600))
	return dir, sleep
}

// killWithGuardian starts a run, and kills its guardian and then the run. It returns a service process that is left.
func killWithGuardian(t *testing.T, tmp string) (p *program, sleep string) {
	t.Helper()
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("leftovers of a killed run are found only on Linux")
	}
	dir, sleep := waitingDrill(t)
	p = startWith(t, []string{"TMPDIR=" + tmp, "FIREDRILL_LEASE=1h"}, nil, "run", filepath.Join(dir, "slow.feature"))
	p.until(t, `"what":"ready"`)
	left := sleepingProcesses(sleep)
	require.NotEmpty(t, left)
	require.NoError(t, syscall.Kill(guardianOf(t, tmp), syscall.SIGKILL))
	require.NoError(t, p.cmd.Process.Kill())
	require.Equal(t, -1, p.code(t))
	require.Subset(t, sleepingProcesses(sleep), left, "a child in a session of its own outlives the runner")
	return p, sleep
}

// guardianOf returns the PID of the guardian of the run whose records are in a folder.
func guardianOf(t *testing.T, tmp string) int {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	for _, path := range paths {
		if raw, _ := os.ReadFile(path); strings.HasPrefix(string(raw), "firedrill-guardian\x00"+tmp+"/") {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			require.NoError(t, err)
			return pid
		}
	}
	require.Fail(t, "there is no guardian")
	return 0
}

func TestNextRunReportsLeftovers(t *testing.T) {
	t.Parallel()
	tmp := t.TempDir()
	p, sleep := killWithGuardian(t, tmp)
	next := startWith(t, []string{"TMPDIR=" + tmp}, nil, "run", "../../cmd/firedrill/testdata/vacuous.feature")
	require.Equal(t, 3, next.code(t), next.output())
	require.Contains(t, next.errOut.String(), "cleaned up after the run of pid "+strconv.Itoa(p.cmd.Process.Pid)+", which was killed: ")
	require.Contains(t, next.errOut.String(), `ended "sleep 7`)
	require.Empty(t, sleepingProcesses(sleep))
}

// firedrillHeal runs "firedrill heal", and returns its exit code and output.
func firedrillHeal(t *testing.T, tmp string, args ...string) (int, string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), built(t), append([]string{"heal"}, args...)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	out, err := cmd.CombinedOutput()
	var exited *exec.ExitError
	if err != nil && !errors.As(err, &exited) {
		require.NoError(t, err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

func TestHealCommand(t *testing.T) {
	t.Parallel()
	tmp := t.TempDir()
	code, out := firedrillHeal(t, tmp)
	require.Zero(t, code)
	require.Equal(t, "nothing is recorded: no run is going on, and none has left anything\n", out)

	p, sleep := killWithGuardian(t, tmp)
	code, out = firedrillHeal(t, tmp)
	require.Zero(t, code, out)
	require.Contains(t, out, fmt.Sprintf("✓ the run of pid %d was killed\n", p.cmd.Process.Pid))
	require.Contains(t, out, "    ended \"sleep "+sleep)
	require.Contains(t, out, "    verified: no process of it is left\n")
	require.Empty(t, sleepingProcesses(sleep))
	code, out = firedrillHeal(t, tmp)
	require.Zero(t, code)
	require.Contains(t, out, "nothing is recorded", "again")

	dir, liveSleep := waitingDrill(t)
	live := startWith(t, []string{"TMPDIR=" + tmp}, nil, "run", filepath.Join(dir, "slow.feature"))
	live.until(t, `"what":"ready"`)
	code, out = firedrillHeal(t, tmp)
	require.Zero(t, code)
	require.Equal(t, fmt.Sprintf("– the run of pid %d is running and holds its lease: not touched\n", live.cmd.Process.Pid), out)
	require.NotEmpty(t, sleepingProcesses(liveSleep))
	require.NoError(t, live.cmd.Process.Signal(os.Interrupt))
	require.Equal(t, 130, live.code(t), live.output())

	record := filepath.Join(tmp, fmt.Sprintf("firedrill-%d", os.Getuid()), "not-a-run")
	require.NoError(t, os.WriteFile(record, nil, 0o600))
	code, out = firedrillHeal(t, tmp)
	require.Equal(t, 1, code)
	require.Contains(t, out, "✗ read what a run left: ")
	require.Contains(t, out, "is not the name of a record: remove it")
	require.NoError(t, os.Chmod(filepath.Dir(record), 0o777)) //nolint:gosec // what is refused
	code, out = firedrillHeal(t, tmp)
	require.Equal(t, 2, code)
	require.Contains(t, out, "is not a directory that only its owner")
}

func TestServiceWithTakenPortIsNotReady(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	dir := t.TempDir()
	_, port, err := net.SplitHostPort(ln.Addr().String())
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "system.yaml"), []byte("services:\n  web: {command: [sleep, \"60\"], port: "+port+", serves: [/]}\n"), 0o600))
	feature := strings.Replace(slow, `When "back" crashes for 500ms`, `And a steady load of 20 requests per second on "GET /a"`, 1)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a.feature"), []byte(strings.Replace(feature, "And 60s pass", "When 1s pass\n    Then at least 1% of requests succeed", 1)), 0o600))
	p := start(t, "", "run", filepath.Join(dir, "a.feature")) // the test's patience ends before the service's does
	require.Equal(t, 3, p.code(t), p.output())
	if _, err := os.Stat("/proc/self/exe"); err == nil {
		require.Contains(t, p.out.String(), fmt.Sprintf("(pid %d) listens on 127.0.0.1:%s and does not belong to this service", os.Getpid(), port))
	}
}

//go:build linux

package process

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// guardianPID returns the PID of the guardian that a program has started, or 0.
func guardianPID(owner int) int {
	for pid, s := range allProcesses() {
		raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if s.ppid == owner && bytes.HasPrefix(raw, []byte(guardianName+"\x00")) && s.state != 'Z' {
			return pid
		}
	}
	return 0
}

// hasEnded reports whether a process has ended. It may be a zombie.
func hasEnded(pid int) bool { return startTime(pid) == 0 }

func endGuardian(t *testing.T, owner int) {
	t.Helper()
	pid := guardianPID(owner)
	require.NotZero(t, pid)
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	eventually(t, func() bool { return hasEnded(pid) })
}

func eventually(t *testing.T, is func() bool, about ...any) {
	t.Helper()
	require.Eventually(t, is, patience, 5*time.Millisecond, about...)
}

// records returns the names of all records.
func records(t *testing.T) []string {
	t.Helper()
	dir, err := leftoversDir()
	require.NoError(t, err)
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	return names
}

func output(t *testing.T, dir string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "out"))
	require.NoError(t, err)
	return string(raw)
}

// gone waits until nothing of a runner in the role "killed" is left.
func gone(t *testing.T, dir string, left []int, guardian int) {
	t.Helper()
	for _, pid := range left {
		eventually(t, func() bool { return hasEnded(pid) }, "pid %d", pid)
	}
	eventually(t, func() bool { return hasEnded(guardian) }, "the guardian ends by itself")
	require.NoFileExists(t, filepath.Join(dir, "front.sock"))
	require.FileExists(t, filepath.Join(dir, "kept.sock"))
	require.False(t, raceRunning(t, dir))
	require.Empty(t, records(t))
}

// The guardian heals whatever ends the program, even if it ends the whole process group.
func TestGuardianHealsAfterTheProgram(t *testing.T) {
	for name, kill := range map[string]func(pid int) error{
		"killed":                func(pid int) error { return syscall.Kill(pid, syscall.SIGKILL) },
		"process group killed":  func(pid int) error { return syscall.Kill(-pid, syscall.SIGKILL) },
		"terminal lost":         func(pid int) error { return syscall.Kill(-pid, syscall.SIGHUP) },
		"aborted with a dump":   func(pid int) error { return syscall.Kill(pid, syscall.SIGQUIT) },
		"interrupted as a test": func(pid int) error { return syscall.Kill(-pid, syscall.SIGINT) },
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && name != "process group killed" {
				t.Skip("one of them is enough for a short test")
			}
			t.Setenv("TMPDIR", t.TempDir())
			dir := t.TempDir()
			cmd, left := startLeaver(t, dir, "1h")
			guardian := guardianPID(cmd.Process.Pid)
			require.NotZero(t, guardian)
			require.NoError(t, kill(cmd.Process.Pid))
			require.Error(t, cmd.Wait())
			gone(t, dir, left, guardian)
		})
	}
}

// The guardian heals after a program that does not run. When it runs again it starts nothing, and once it has ended nothing
// is left.
func TestLeaseOfAStoppedProgramEnds(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	dir := t.TempDir()
	cmd, left := startLeaver(t, dir, "1s")
	guardian := guardianPID(cmd.Process.Pid)
	require.NoError(t, cmd.Process.Signal(syscall.SIGSTOP))
	for _, pid := range left {
		eventually(t, func() bool { return hasEnded(pid) }, "pid %d", pid)
	}
	require.FileExists(t, filepath.Join(dir, "front.sock"), "the program still listens there")
	require.NotContains(t, output(t, dir), "lease")
	require.False(t, hasEnded(guardian), "it guards until the program has ended")
	require.Len(t, records(t), 1)
	require.Contains(t, records(t)[0], endedSuffix)

	require.NoError(t, cmd.Process.Signal(syscall.SIGCONT))
	eventually(t, func() bool { return strings.Contains(output(t, dir), "refused: ") })
	text := output(t, dir)
	why := fmt.Sprintf("this program (pid %d) did not run for longer than its lease of 1s", cmd.Process.Pid)
	require.Contains(t, text, "told: "+why)
	require.Contains(t, text, `refused: start service "sleeper": `+why)
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	gone(t, dir, left, guardian)
}

// A program that runs keeps its lease, even if its guardian is killed or stopped, and another guardian replaces one that
// was killed.
func TestLeaseIsKept(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	dir := t.TempDir()
	cmd, left := startLeaver(t, dir, "2s")
	endGuardian(t, cmd.Process.Pid)
	eventually(t, func() bool { return guardianPID(cmd.Process.Pid) != 0 }, "another one")
	record, err := os.Open(records(t)[0])
	require.NoError(t, err)
	defer record.Close()
	first, lasts, err := readLease(record)
	require.NoError(t, err)
	require.Equal(t, 2*time.Second, lasts)
	eventually(t, func() bool { at, _, err := readLease(record); return err == nil && at > first+2*lasts })
	for _, pid := range left {
		require.False(t, hasEnded(pid))
	}
	require.NotContains(t, output(t, dir), "lease")
	guardian := guardianPID(cmd.Process.Pid)
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	gone(t, dir, left, guardian)
}

// Heal does what a guardian would have done, and nothing to a program that holds its lease.
func TestHeal(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	liveDir, killedDir, hungDir := t.TempDir(), t.TempDir(), t.TempDir()
	live, _ := startLeaver(t, liveDir, "1h")
	killed, killedLeft := startLeaver(t, killedDir, "1h")
	endGuardian(t, killed.Process.Pid)
	require.NoError(t, killed.Process.Kill())
	require.Error(t, killed.Wait())
	hung, hungLeft := startLeaver(t, hungDir, "2s")
	hungGuardian := guardianPID(hung.Process.Pid)
	require.NoError(t, syscall.Kill(hungGuardian, syscall.SIGSTOP))
	t.Cleanup(func() { require.NoError(t, syscall.Kill(hungGuardian, syscall.SIGKILL)) })
	require.Equal(t, OwnerRuns, healed(t, 1)[hung.Process.Pid].State)

	require.NoError(t, hung.Process.Signal(syscall.SIGSTOP))
	eventually(t, func() bool { // two at once
		return healed(t, 2)[hung.Process.Pid].State == OwnerHangs
	})
	for _, pid := range append(killedLeft, hungLeft...) {
		require.True(t, hasEnded(pid))
	}
	require.False(t, raceRunning(t, killedDir))
	require.False(t, raceRunning(t, hungDir))
	require.NoFileExists(t, filepath.Join(killedDir, "front.sock"))
	require.FileExists(t, filepath.Join(hungDir, "front.sock"), "in use")
	again := healed(t, 1)
	require.Len(t, again, 2)
	require.Equal(t, Healed{PID: live.Process.Pid, State: OwnerRuns}, again[live.Process.Pid])
	require.Equal(t, OwnerHangs, again[hung.Process.Pid].State)
	require.Empty(t, again[hung.Process.Pid].Undone)
	require.Contains(t, again[hung.Process.Pid].Proved, "no process of it is left")
	eventually(t, func() bool { return raceRunning(t, liveDir) })
	require.FileExists(t, filepath.Join(liveDir, "front.sock"))

	require.NoError(t, hung.Process.Kill())
	require.Error(t, hung.Wait())
	require.Equal(t, OwnerKilled, healed(t, 1)[hung.Process.Pid].State)
	require.NoFileExists(t, filepath.Join(hungDir, "front.sock"))
	require.Len(t, records(t), 1, "that of the live one")
}

// healed calls Heal, a number of times at once, and returns what each program's first result with effects was.
func healed(t *testing.T, atOnce int) map[int]Healed {
	t.Helper()
	all := make([][]Healed, atOnce)
	var calls sync.WaitGroup
	for i := range all {
		calls.Go(func() {
			found, err := Heal()
			assert.NoError(t, err)
			all[i] = found
		})
	}
	calls.Wait()
	byPID := map[int]Healed{}
	for _, found := range all {
		for _, h := range found {
			require.NoError(t, h.Err)
			if len(byPID[h.PID].Undone) == 0 {
				byPID[h.PID] = h
			}
		}
	}
	return byPID
}

// What cannot be undone stays recorded, and is reported.
func TestHealReportsWhatItCannotUndo(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	dir, err := leftoversDir()
	require.NoError(t, err)
	name := filepath.Join(dir, "0123456ab")
	require.NoError(t, os.WriteFile(name, []byte("pid 7\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "no-number"), []byte("pid 1\n"), 0o600))
	all, err := Heal()
	require.NoError(t, err)
	require.Len(t, all, 2)
	require.NoError(t, all[0].Err)
	require.ErrorContains(t, all[1].Err, "is not the name of a record: remove it")
	require.NoFileExists(t, name)
}

// Nothing is started that could not be healed.
func TestWithoutARecordNothingStarts(t *testing.T) {
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "does-not-exist"))
	log := filepath.Join(t.TempDir(), "log")
	_, err := Start(t.Context(), spec(log, "sleeper", ""))
	require.ErrorContains(t, err, "record what a killed run would leave behind: ")
	require.ErrorContains(t, err, "set TMPDIR to a folder that this user can write to")
	_, err = Record("front.sock")
	require.ErrorContains(t, err, "set TMPDIR")
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv(leaseVariable, "soon")
	_, err = Start(t.Context(), spec(log, "sleeper", ""))
	require.ErrorContains(t, err, `$FIREDRILL_LEASE: "soon" is not a duration from 100ms to 24h`)
	require.Empty(t, records(t))
}

// A guardian ends together with the last service, and the record with it.
func TestGuardianEndsWithTheLastService(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	s, err := Start(t.Context(), spec(filepath.Join(t.TempDir(), "log"), "sleeper", ""))
	require.NoError(t, err)
	guardian := guardianPID(os.Getpid())
	require.NotZero(t, guardian)
	raw, err := os.ReadFile(records(t)[0])
	require.NoError(t, err)
	require.Contains(t, string(raw), fmt.Sprintf("process %d %d %s\n", s.PID(), startTime(s.PID()), bootID()))
	info, err := os.Stat(records(t)[0])
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
	require.NoError(t, s.Stop(t.Context()))
	require.True(t, hasEnded(guardian))
	require.Empty(t, records(t))
	_, err = os.Stat("/proc/" + strconv.Itoa(guardian))
	require.ErrorIs(t, err, os.ErrNotExist, "it was reaped")
}

// A guardian whose program was killed before it had a record ends, and so does one that cannot start.
func TestGuardianWithoutARecord(t *testing.T) {
	g, err := startGuardian(filepath.Join(t.TempDir(), "none"))
	require.NoError(t, err)
	require.False(t, hasEnded(g.cmd.Process.Pid))
	g.begin()
	<-g.ended

	cmd := exec.Command(os.Args[0])
	cmd.Args = []string{guardianName, "a record"}
	out, err := cmd.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "ready: bad file descriptor", "nothing listens to it")
}

// A guardian does not keep what the program has from whoever started it, such as a lock of a shell.
func TestGuardianInheritsNothing(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	held, err := os.Create(name)
	require.NoError(t, err)
	require.NoError(t, syscall.Flock(int(held.Fd()), syscall.LOCK_EX))
	inherited, err := syscall.Dup(int(held.Fd())) // is not closed on exec
	require.NoError(t, err)
	g, err := startGuardian(filepath.Join(t.TempDir(), "none"))
	require.NoError(t, err)
	defer g.end()
	require.NoError(t, held.Close())
	require.NoError(t, syscall.Close(inherited))
	other, err := os.Open(name)
	require.NoError(t, err)
	defer other.Close()
	eventually(t, func() bool { return syscall.Flock(int(other.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil })
}

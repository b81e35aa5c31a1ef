//go:build linux

package process

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/features/machine"
)

// startLeaver starts a runner in the role "killed", in its own process group, and returns the PIDs of its servers.
func startLeaver(t *testing.T, dir, lease string, env ...string) (*exec.Cmd, []int) {
	t.Helper()
	out, err := os.Create(filepath.Join(dir, "out"))
	require.NoError(t, err)
	defer out.Close()
	cmd := exec.Command("env", "--default-signal", os.Args[0]) // this test may run under nohup, which ignores SIGHUP
	cmd.Env = append(append(os.Environ(), "ROLE=killed", "DIR="+dir, leaseVariable+"="+lease, "PAUSE=50ms",
		"ADDRS="+machine.FreeAddr(t)+" "+machine.FreeAddr(t)+" "+machine.FreeAddr(t)), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stdout, cmd.Stderr = out, out
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_, err := Reclaim()
		require.NoError(t, err)
	})
	var raw []byte
	require.Eventually(t, func() bool {
		raw, _ = os.ReadFile(out.Name())
		return strings.Contains(string(raw), "waits")
	}, patience, 10*time.Millisecond)
	var pids []int
	for _, m := range regexp.MustCompile(`serves at (\S+)`).FindAllStringSubmatch(string(raw), -1) {
		pids = append(pids, listenerPID(t, m[1]))
	}
	require.Len(t, pids, 3)
	return cmd, pids
}

func TestReclaim(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	reports, err := Reclaim()
	require.NoError(t, err)
	require.Empty(t, reports)
	dead, live := t.TempDir(), t.TempDir()
	killed, left := startLeaver(t, dead, "1h", "PAUSE=0s") // a lease so long that no other guardian is started
	_, others := startLeaver(t, live, "1h")
	endGuardian(t, killed.Process.Pid)
	require.NoError(t, killed.Process.Kill())
	_ = killed.Wait()

	reports, err = Reclaim()
	require.NoError(t, err)
	require.Len(t, reports, 1)
	require.Contains(t, reports[0], "cleaned up after the run of pid "+strconv.Itoa(killed.Process.Pid)+", which was killed: ")
	for _, pid := range left {
		requireExited(t, pid)
		require.Contains(t, reports[0], fmt.Sprintf(`ended "process.test" (pid %d)`, pid))
	}
	require.NoFileExists(t, filepath.Join(dead, "front.sock"))
	require.FileExists(t, filepath.Join(dead, "kept.sock"), "a forgotten file is kept")

	require.Never(t, func() bool { return raceRunning(t, dead) }, 100*time.Millisecond, 10*time.Millisecond)
	require.Eventually(t, func() bool { return raceRunning(t, live) }, patience, time.Millisecond)
	for _, pid := range others {
		require.False(t, exited(pid))
	}
	require.FileExists(t, filepath.Join(live, "front.sock"))
	reports, err = Reclaim()
	require.NoError(t, err)
	require.Empty(t, reports)
	files, err := os.ReadDir(filepath.Join(os.TempDir(), fmt.Sprintf("firedrill-%d", os.Getuid())))
	require.NoError(t, err)
	require.Len(t, files, 1, "that of the live one")
}

func TestReclaimKillsOnlyTheRecordedProcess(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	other := exec.Command("sleep", "1h")
	require.NoError(t, other.Start())
	ended := make(chan error, 1)
	go func() { ended <- other.Wait() }()
	pid := other.Process.Pid
	s, err := readStat(fmt.Sprintf("/proc/%d/stat", pid))
	require.NoError(t, err)
	reclaim := func(line string) []string {
		dir, err := leftoversDir()
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "0123456ab"), []byte("pid 1\n"+line), 0o600))
		reports, err := Reclaim()
		require.NoError(t, err)
		return reports
	}
	for what, line := range map[string]string{
		"another process with its pid": fmt.Sprintf("process %d %d %s\n", pid, s.startTime-1, bootID()),
		"one before the last boot":     fmt.Sprintf("process %d %d a-boot\n", pid, s.startTime),
		"a line that was cut off":      fmt.Sprintf("process %d %d", pid, s.startTime),
	} {
		require.Empty(t, reclaim(line), what)
		require.False(t, exited(pid), what)
	}
	reports := reclaim(fmt.Sprintf("process %d %d %s\n", pid, s.startTime, bootID()))
	require.Equal(t, []string{fmt.Sprintf(`cleaned up after the run of pid 1, which was killed: ended "sleep 1h" (pid %d)`, pid)}, reports)
	require.Error(t, <-ended)
}

func TestRemoveRecordedKeepsFilesInUse(t *testing.T) {
	dir := t.TempDir()
	ln, err := net.Listen("unix", filepath.Join(dir, "live.sock"))
	require.NoError(t, err)
	defer ln.Close()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "data"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	for _, name := range []string{"live.sock", "data", "file", "nothing"} {
		what, _, err := removeRecorded(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Empty(t, what)
	}
	require.FileExists(t, filepath.Join(dir, "live.sock"))
}

func TestFolderWritableByOthersIsRefused(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("firedrill-%d", os.Getuid()))
	require.NoError(t, os.Mkdir(dir, 0o700))
	require.NoError(t, os.Chmod(dir, 0o777)) //nolint:gosec // what is refused
	_, err := Reclaim()
	require.ErrorContains(t, err, "is not a directory that only its owner")
}

// raceRunning reports whether a process of the role "race" with a file in dir is running.
func raceRunning(t *testing.T, dir string) bool {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/environ")
	require.NoError(t, err)
	for _, name := range all {
		if raw, err := os.ReadFile(name); err == nil && strings.Contains(string(raw), "ADDR="+filepath.Join(dir, "kept.sock")) && strings.Contains(string(raw), "ROLE=race") {
			return true
		}
	}
	return false
}

func TestConcurrentStartsHaveDifferentNumbers(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	e := &leftovers{families: map[mark]*family{}}
	t.Cleanup(e.removeRecord)
	begin := func() mark {
		m, err := e.beginStart()
		require.NoError(t, err)
		return m
	}
	byNumber := map[int]mark{}
	for range maxNumbers {
		m := begin()
		byNumber[m.number()] = m
	}
	require.Len(t, byNumber, maxNumbers)
	require.NotContains(t, byNumber, 0)
	more := []mark{begin(), begin()}
	require.Zero(t, more[0].number(), "there are no more")
	require.Zero(t, more[1].number())
	e.endStart(byNumber[7])
	e.endStart(more[0])
	e.endStart(more[1])
	require.Equal(t, 7, begin().number())
}

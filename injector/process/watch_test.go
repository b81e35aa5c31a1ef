//go:build linux

package process

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/firedrill-dev/firedrill/features/machine"
)

// startShared starts a service whose port other programs may share.
func startShared(t *testing.T) (*Service, string, *events) {
	addr, changes := machine.FreeAddr(t), &events{}
	sp := spec(filepath.Join(t.TempDir(), "log"), "shared", addr)
	sp.Ready, sp.Event = Ready{TCP: addr, Within: patience}, changes.add
	s, err := Start(t.Context(), sp)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop(context.Background())) })
	return s, addr, changes
}

func TestWatchNamesOtherListener(t *testing.T) {
	s, addr, changes := startShared(t)
	outages := map[string]func() error{
		"crash": func() error { return s.Crash(t.Context()) },
		"stop":  func() error { return s.Stop(t.Context()) },
		"hang":  s.Hang,
	}
	for name, begin := range outages {
		for _, comes := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, comes: %v", name, comes), func(t *testing.T) {
				require.NoError(t, s.Restart(t.Context()))
				require.NoError(t, begin())
				w := s.startWatch()
				time.Sleep(3 * watchEvery)
				if !comes {
					require.Empty(t, w.end())
					require.NoError(t, s.Resume())
					return
				}
				other, err := reuse.Listen(t.Context(), "tcp", addr)
				require.NoError(t, err)
				require.Eventually(t, func() bool { return len(w.found) == 1 }, patience, 10*time.Millisecond)
				if name != "hang" {
					require.ErrorContains(t, s.Restart(t.Context()), fmt.Sprintf(`start service "shared": "process.test" (pid %d) listens on %s`, os.Getpid(), addr))
					require.NotContains(t, changes.list(), "exited", "it is not started where it would end by itself")
				}
				require.NoError(t, other.Close())
				require.Contains(t, w.end(), fmt.Sprintf(`"process.test" (pid %d) listened on %s in place of the service`, os.Getpid(), addr), "although it has left by now")
				require.NoError(t, s.Resume())
			})
		}
	}
}

func TestWatchReportsContinuedService(t *testing.T) {
	s, _, _ := startService(t, "server")
	require.NoError(t, s.Hang())
	end := s.Watch()
	pid := s.PID()
	require.NoError(t, syscall.Kill(pid, syscall.SIGCONT))
	require.Eventually(t, func() bool { return !threadsStopped(pid) }, patience, time.Millisecond)
	require.Contains(t, end(), fmt.Sprintf("(pid %d) of the service was continued by another program", pid))
	require.NoError(t, s.Resume())
}

// TestWatchIgnoresHealedService checks that Watch reports nothing after the service was healed, as
// happens when another fault on it ends.
func TestWatchIgnoresHealedService(t *testing.T) {
	s, _, _ := startService(t, "server")
	require.NoError(t, s.Hang())
	end := s.Watch()
	require.NoError(t, s.Resume())
	time.Sleep(2 * watchEvery)
	require.Empty(t, end())

	require.NoError(t, s.Crash(t.Context()))
	end = s.Watch()
	require.NoError(t, s.Restart(t.Context()))
	time.Sleep(2 * watchEvery)
	require.Empty(t, end())
}

// TestWatchReportsSharedSocket: a process that has the service's own socket keeps accepting while the
// service hangs.
func TestWatchReportsSharedSocket(t *testing.T) {
	s, addr, _ := startService(t, "server")
	process, err := unix.PidfdOpen(s.PID(), 0)
	require.NoError(t, err)
	defer unix.Close(process)
	got := -1
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.PID()))
	require.NoError(t, err)
	for _, f := range files {
		target, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", s.PID(), f.Name()))
		if inode := strings.TrimSuffix(strings.TrimPrefix(target, "socket:["), "]"); socketsAt(Endpoint{"tcp", addr})[inode] {
			var n int
			_, err = fmt.Sscan(f.Name(), &n)
			require.NoError(t, err)
			if got, err = unix.PidfdGetfd(process, n, 0); err != nil {
				t.Skip(err) // not allowed here
			}
		}
	}
	require.NoError(t, s.Hang())
	end := s.Watch()
	require.Contains(t, end(), fmt.Sprintf(`"process.test" (pid %d) shares the socket on which the service listens on %s`, os.Getpid(), addr))
	require.NoError(t, unix.Close(got))
	end = s.Watch()
	require.Empty(t, end())
	require.NoError(t, s.Resume())
}

// TestCrashIncludesSupervisor checks that a supervisor within the service, and what it restarts, are
// crashed too.
func TestCrashIncludesSupervisor(t *testing.T) {
	s, addr, _ := startService(t, "supervisor")
	for range 5 {
		require.NoError(t, s.Crash(t.Context()))
		end := s.Watch()
		time.Sleep(2 * watchEvery)
		_, err := net.Dial("tcp", addr)
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		require.Empty(t, end())
		require.NoError(t, s.Restart(t.Context()))
	}
}

func TestReadSocketsReturnsListeners(t *testing.T) {
	row := func(port, state, inode string) string {
		return "   0: 0100007F:" + port + " 00000000:0000 " + state + " 00000000:00000000 00:00000000 00000000 0 0 " + inode + " 1\n"
	}
	table := "  sl  local_address rem_address st\n" + row("1F90", "0A", "11") + row("1F90", "03", "0") + row("1F91", "0A", "12") + row("1F90", "01", "13") + row("1F92", "0A", "14")
	var inodes []string
	for _, s := range readSockets(strings.NewReader(table), "tcp") {
		inodes = append(inodes, s.inode)
	}
	require.Equal(t, []string{"11", "12"}, inodes)
}

//go:build linux

package process

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/features/machine"
)

// listenerPID returns the PID of the process that listens at an address.
func listenerPID(t *testing.T, addr string) int {
	t.Helper()
	inodes := map[string]bool{}
	for _, s := range openSockets("tcp") {
		if s.serves(Endpoint{"tcp", addr}) {
			inodes[s.inode] = true
		}
	}
	for pid := range allProcesses() {
		held, _ := socketsOf(pid)
		if slices.ContainsFunc(held, func(inode string) bool { return inodes[inode] }) {
			return pid
		}
	}
	t.Fatalf("nothing listens on %s", addr)
	return 0
}

func TestDescendantsInOtherSessions(t *testing.T) {
	for _, role := range []string{"session", "daemon", "login"} {
		t.Run(role, func(t *testing.T) {
			s, addr, changes := startService(t, role)
			if role == "daemon" {
				require.Eventually(t, func() bool { return s.PID() == listenerPID(t, addr) }, patience, 10*time.Millisecond, "the daemon is the service")
				require.Contains(t, changes.list(), "daemon")
			}
			server := listenerPID(t, addr)
			group, err := syscall.Getpgid(server)
			require.NoError(t, err)
			require.Equal(t, server, group, "it has left the group")

			require.NoError(t, s.Hang())
			require.True(t, threadsStopped(server))
			c, err := net.Dial("tcp", addr)
			require.NoError(t, err)
			defer c.Close()
			fmt.Fprint(c, "GET /livez HTTP/1.0\r\n\r\n")
			require.NoError(t, c.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
			_, err = c.Read(make([]byte, 1))
			require.ErrorIs(t, err, os.ErrDeadlineExceeded, "it is silent")
			require.NoError(t, s.Resume())
			require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
			_, err = c.Read(make([]byte, 1))
			require.NoError(t, err)

			require.NoError(t, s.Crash(t.Context()))
			require.True(t, exited(server))
			_, err = net.Dial("tcp", addr)
			require.ErrorIs(t, err, syscall.ECONNREFUSED)

			require.NoError(t, s.Restart(t.Context()))
			server = listenerPID(t, addr)
			require.NoError(t, s.Stop(t.Context()))
			require.True(t, exited(server))
			require.Equal(t, "stopped", changes.list()[len(changes.list())-1], "SIGTERM was enough")
		})
	}
}

// TestDaemonThatListensLate checks that a daemon that listens late is not considered exited.
func TestDaemonThatListensLate(t *testing.T) {
	for _, late := range []string{"0s", "300ms", "700ms"} {
		t.Run(late, func(t *testing.T) {
			t.Parallel()
			addr, changes := machine.FreeAddr(t), &events{}
			sp := spec(filepath.Join(t.TempDir(), "log"), "daemon", addr)
			sp.Env, sp.Event = append(sp.Env, "LATE="+late), changes.add
			s, err := Start(t.Context(), sp)
			require.NoError(t, err)
			defer func() { require.NoError(t, s.Stop(context.Background())) }()
			require.Eventually(t, func() bool { return s.PID() == listenerPID(t, addr) }, patience, 10*time.Millisecond)
			time.Sleep(3 * pollInterval) // time for a few polls
			require.True(t, s.Running())
			require.NotContains(t, changes.list(), "exited")
		})
	}
}

func TestDaemonExitIsReported(t *testing.T) {
	s, addr, changes := startService(t, "daemon")
	require.Eventually(t, func() bool { return s.PID() == listenerPID(t, addr) }, patience, 10*time.Millisecond)
	require.NoError(t, syscall.Kill(s.PID(), syscall.SIGKILL))
	require.Eventually(t, func() bool { return !s.Running() }, patience, time.Millisecond)
	last := changes.last()
	require.Equal(t, "exited", last.What)
	require.Equal(t, "signal: killed", last.Detail)
	require.True(t, last.Ready)
}

// TestRealDaemons uses real programs, which change their environment and their session.
func TestRealDaemons(t *testing.T) {
	addr := machine.FreeAddr(t)
	_, port, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	dir := t.TempDir()
	conf := "worker_processes 2; error_log stderr; pid nginx.pid; events {} http { access_log off; server { listen " + addr + "; } }"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(conf), 0o600))
	for name, args := range map[string][]string{
		"redis-server": {"redis-server", "--port", port, "--daemonize", "yes", "--save", ""},
		"nginx":        {"nginx", "-p", dir, "-c", "nginx.conf", "-e", "stderr"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := LookPath(name)
			machine.Need(t, err, "apt-get install "+name)
			s, err := Start(t.Context(), Spec{Name: name, Args: args, Dir: dir, Log: filepath.Join(t.TempDir(), "log"), Ready: Ready{TCP: addr, Within: patience}})
			require.NoError(t, err)
			defer func() { require.NoError(t, s.Stop(context.Background())) }()
			server := listenerPID(t, addr)
			require.NoError(t, s.Hang())
			require.True(t, threadsStopped(server))
			require.NoError(t, s.Resume())
			require.NoError(t, s.Crash(t.Context()))
			require.NoError(t, s.Restart(t.Context()))
			require.Empty(t, missedMembers(s), "all that carries the mark is found")
		})
	}
}

// missedMembers returns processes that carry the mark of a service but are not found as its members.
func missedMembers(s *Service) []int {
	f := s.current().family
	var missed []int
	members := map[int]bool{}
	for pid, p := range allProcesses() {
		if markOf(pid) == f.mark && p.state != 'Z' {
			missed = append(missed, pid)
		}
	}
	for _, m := range f.alive() {
		members[m.pid] = true
	}
	var others []int
	for _, pid := range missed {
		if !members[pid] && !exited(pid) {
			others = append(others, pid)
		}
	}
	return others
}

func TestOrphansAreReaped(t *testing.T) {
	sp := spec(filepath.Join(t.TempDir(), "log"), "careless", "")
	sp.Ready = Ready{Line: regexp.MustCompile("left them"), Within: patience}
	s, err := Start(t.Context(), sp)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Stop(context.Background())) }()
	require.Eventually(t, func() bool {
		for _, p := range allProcesses() {
			if p.ppid == os.Getpid() && p.state == 'Z' {
				return false
			}
		}
		return true
	}, patience, 10*time.Millisecond)
}

// TestUnrelatedProcessesAreLeftAlone checks that processes started concurrently by other parts of the
// program are not attributed to the service, and that their exit status is left to their parents.
func TestUnrelatedProcessesAreLeftAlone(t *testing.T) {
	var stop atomic.Bool
	var all sync.WaitGroup
	for i := range 2 {
		all.Go(func() {
			for !stop.Load() {
				cmd := exec.Command("sh", "-c", "exit 7")
				if i == 1 {
					cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
				}
				err := cmd.Run()
				var status *exec.ExitError
				if assert.ErrorAs(t, err, &status) {
					assert.Equal(t, 7, status.ExitCode())
				}
			}
		})
	}
	for range 15 {
		s, err := Start(t.Context(), spec(filepath.Join(t.TempDir(), "log"), "sleeper", ""))
		require.NoError(t, err)
		require.NoError(t, s.Crash(t.Context()))
	}
	stop.Store(true)
	all.Wait()
}

func TestOutageHiddenFromClientsIsAnError(t *testing.T) {
	addr := machine.FreeAddr(t)
	sp := spec(filepath.Join(t.TempDir(), "log"), "shared", addr)
	sp.Ready = Ready{TCP: addr, Within: time.Hour}
	s, err := Start(t.Context(), sp)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Stop(context.Background())) }()
	other, err := reuse.Listen(t.Context(), "tcp", addr)
	require.NoError(t, err)
	who := fmt.Sprintf(`"process.test" (pid %d) listens on %s and does not belong to this service`, os.Getpid(), addr)

	err = s.Hang()
	require.ErrorContains(t, err, `hang service "shared": `+who)
	require.False(t, threadsStopped(s.PID()), "it was resumed")
	err = s.Crash(t.Context())
	require.ErrorContains(t, err, `crash service "shared": its processes were killed, but `+who)
	require.False(t, s.Running())

	require.ErrorContains(t, s.Restart(t.Context()), who, "another program is not a sign that the service is ready: the error does not wait for an hour")
	closed := make(chan error)
	time.AfterFunc(releasing/10, func() { closed <- other.Close() })
	restarted := make(chan error)
	go func() { restarted <- s.Restart(t.Context()) }()
	require.NoError(t, <-closed)
	require.NoError(t, <-restarted, "a listener that is about to be closed is awaited")
}

func TestErrorNamesActualAddress(t *testing.T) {
	addr, asked := machine.FreeAddr(t), machine.FreeAddr(t)
	sp := spec(filepath.Join(t.TempDir(), "log"), "server", addr)
	sp.Ready = Ready{TCP: asked, Within: 5 * time.Second}
	_, err := Start(t.Context(), sp)
	require.ErrorContains(t, err, fmt.Sprintf("not ready within 5s (%s accepts connections): it listens on %s and not on %s", asked, addr, asked))
}

func TestMarks(t *testing.T) {
	m := newMark(0xabcdef123, 77)
	require.EqualValues(t, 0xabcdef123, m.runner())
	require.NotEqual(t, m, newMark(0xabcdef123, 78))
	s, err := Start(t.Context(), spec(filepath.Join(t.TempDir(), "log"), "sleeper", ""))
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Stop(context.Background())) }()
	family := s.current().family
	require.Equal(t, family.mark, markOf(s.PID()))
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(s.PID()) + "/limits")
	require.NoError(t, err)
	require.Contains(t, string(raw), strconv.FormatUint(uint64(family.mark), 10))
	require.Zero(t, markOf(os.Getpid()))
}

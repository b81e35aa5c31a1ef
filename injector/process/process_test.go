package process

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/features/machine"
)

// patience limits how long a test waits for what must happen. The machine may be busy.
const patience = time.Minute

func spec(log, role, addr string) Spec {
	s := Spec{Name: role, Args: []string{os.Args[0]}, Env: []string{"ROLE=" + role, "ADDR=" + addr}, Log: log, Grace: patience}
	if role == "stubborn" { // it ends only when it is killed
		s.Grace = time.Second
	}
	if role == "server" || role == "stubborn" || role == "session" || role == "daemon" || role == "login" || role == "supervisor" {
		s.Ready = Ready{HTTP: "http://" + addr + "/livez", Within: patience}
	}
	return s
}

// events collects the events of a service.
type events struct {
	mu  sync.Mutex
	all []Event
}

func (e *events) add(ev Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, ev)
}

func (e *events) list() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []string
	for _, ev := range e.all {
		all = append(all, ev.What)
	}
	return all
}

func (e *events) last() Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.all[len(e.all)-1]
}

func startService(t *testing.T, role string) (*Service, string, *events) {
	t.Helper()
	addr := machine.FreeAddr(t)
	sp := spec(filepath.Join(t.TempDir(), "log"), role, addr)
	changes := &events{}
	sp.Event = changes.add
	s, err := Start(t.Context(), sp)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop(context.Background())) })
	return s, addr, changes
}

func exited(pid int) bool { return syscall.Kill(pid, 0) != nil }

func TestCrashAndRestart(t *testing.T) {
	s, addr, changes := startService(t, "server")
	require.True(t, responds(addr))
	pid := s.PID()
	require.NoError(t, s.Crash(t.Context()))
	require.True(t, exited(pid))
	require.False(t, s.Running())
	require.Zero(t, s.PID())
	_, err := net.Dial("tcp", addr)
	require.ErrorIs(t, err, syscall.ECONNREFUSED, "the client sees what the operating system shows")
	require.ErrorContains(t, s.Crash(t.Context()), "is not running")

	require.NoError(t, s.Restart(t.Context()))
	require.NoError(t, s.Restart(t.Context()), "a running one is left alone")
	require.True(t, responds(addr), "on the same address")
	require.NotEqual(t, pid, s.PID())
	require.NoError(t, s.Stop(t.Context()))
	require.NoError(t, s.Stop(t.Context()))
	require.Equal(t, []string{"started", "ready", "crashed", "started", "ready", "stopped"}, changes.list())
}

func responds(addr string) bool {
	return Ready{HTTP: "http://" + addr + "/livez"}.check(context.Background(), nil) == nil
}

func TestHangAndResume(t *testing.T) {
	s, addr, _ := startService(t, "server")
	require.NoError(t, s.Hang())
	require.True(t, s.Running())
	c, err := net.DialTimeout("tcp", addr, 5*time.Second)
	require.NoError(t, err, "the kernel still accepts")
	defer c.Close()
	_, err = fmt.Fprint(c, "GET /livez HTTP/1.0\r\n\r\n")
	require.NoError(t, err)
	require.NoError(t, c.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
	_, err = c.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NoError(t, s.Resume())
	require.NoError(t, s.Resume(), "resuming twice does nothing")
	require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
	_, err = c.Read(make([]byte, 1))
	require.NoError(t, err)
}

func TestStopStubbornAndHungServices(t *testing.T) {
	for _, role := range []string{"stubborn", "server"} {
		t.Run(role, func(t *testing.T) {
			s, _, changes := startService(t, role)
			if role == "server" {
				require.NoError(t, s.Hang())
			}
			pid := s.PID()
			err := s.Stop(t.Context())
			require.True(t, exited(pid))
			if role == "server" {
				require.NoError(t, err)
				require.Equal(t, "stopped", changes.list()[len(changes.list())-1])
				return
			}
			var unstopped *Unstopped
			require.ErrorAs(t, err, &unstopped)
			require.ErrorContains(t, err, `"stubborn" did not end within 1s of SIGTERM and was killed: this was a crash, not an orderly stop`)
			require.Equal(t, "killed", changes.list()[len(changes.list())-1])
		})
	}
}

func TestGrandchildrenAreKilledWithTheirGroup(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	sp := spec(log, "parent", "")
	sp.Ready = Ready{Line: regexp.MustCompile(`^grandchild \d+$`), Within: patience}
	s, err := Start(t.Context(), sp)
	require.NoError(t, err)
	raw, err := os.ReadFile(log)
	require.NoError(t, err)
	pid, err := strconv.Atoi(string(regexp.MustCompile(`grandchild (\d+)`).FindSubmatch(raw)[1]))
	require.NoError(t, err)
	require.False(t, exited(pid))
	require.NoError(t, s.Crash(t.Context()))
	requireExited(t, pid)
}

// requireExited waits until a process has exited. A grandchild is reaped by the process that adopts
// it, so in a container it may remain a zombie.
func requireExited(t *testing.T, pid int) {
	t.Helper()
	require.Eventually(t, func() bool {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return exited(pid) || (err == nil && strings.Contains(string(raw), ") Z "))
	}, patience, 5*time.Millisecond)
}

func TestErrorsIncludeLogTail(t *testing.T) {
	dir := t.TempDir()
	_, err := Start(t.Context(), spec(filepath.Join(dir, "a"), "broken", ""))
	if err == nil { // the service was considered ready before it exited
		t.Log("started before it broke")
	}
	sp := spec(filepath.Join(dir, "b"), "broken", "")
	sp.Ready = Ready{TCP: machine.FreeAddr(t), Within: patience}
	_, err = Start(t.Context(), sp)
	require.ErrorContains(t, err, `start service "broken": it exited before it was ready: exit status 3`)
	require.ErrorContains(t, err, "cannot open the database")

	sp = spec(filepath.Join(dir, "c"), "sleeper", "")
	sp.Ready = Ready{TCP: machine.FreeAddr(t), Within: 50 * time.Millisecond}
	_, err = Start(t.Context(), sp)
	require.ErrorContains(t, err, "not ready within 50ms")
	require.ErrorContains(t, err, "its log is empty")

	_, err = Start(t.Context(), Spec{Name: "x", Args: []string{filepath.Join(dir, "nothing")}, Log: filepath.Join(dir, "d")})
	require.ErrorContains(t, err, "no such file")
	_, err = Start(t.Context(), Spec{Name: "x"})
	require.ErrorContains(t, err, "are required")
}

func TestUnexpectedExitIsReported(t *testing.T) {
	s, _, changes := startService(t, "server")
	require.NoError(t, syscall.Kill(s.PID(), syscall.SIGKILL))
	require.Eventually(t, func() bool { return !s.Running() }, patience, 5*time.Millisecond)
	require.Equal(t, []string{"started", "ready", "exited"}, changes.list())
}

func TestEnvironmentIsNotInherited(t *testing.T) {
	t.Setenv("FIREDRILL_SECRET", "s3cret")
	_, addr, _ := startService(t, "server")
	resp, err := http.Get("http://" + addr + "/environment")
	require.NoError(t, err)
	defer resp.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	var b strings.Builder
	_, err = fmt.Fprint(&b, readAll(t, resp))
	require.NoError(t, err)
	require.Contains(t, b.String(), "ROLE=server")
	require.NotContains(t, b.String(), "s3cret")
}

func readAll(t *testing.T, resp *http.Response) string {
	t.Helper()
	var b strings.Builder
	buf := make([]byte, 4096)
	for {
		n, err := resp.Body.Read(buf)
		b.Write(buf[:n])
		if err != nil {
			return b.String()
		}
	}
}

// TestServiceDiesWithItsRunner kills a runner with SIGKILL while its service runs, and while the
// service hangs.
func TestServiceDiesWithItsRunner(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("only Linux ends a child with its parent")
	}
	for _, hang := range []string{"", "yes"} {
		t.Run("hung="+hang, func(t *testing.T) {
			addr := machine.FreeAddr(t)
			out := filepath.Join(t.TempDir(), "out")
			file, err := os.Create(out)
			require.NoError(t, err)
			defer file.Close()
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "ROLE=runner", "ADDR="+addr, "HANG="+hang, "LOG="+filepath.Join(t.TempDir(), "log"))
			cmd.Stdout, cmd.Stderr = file, file
			require.NoError(t, cmd.Start())
			var pid int
			require.Eventually(t, func() bool {
				raw, _ := os.ReadFile(out)
				m := regexp.MustCompile(`started (\d+)`).FindSubmatch(raw)
				if m != nil {
					pid, _ = strconv.Atoi(string(m[1]))
				}
				return pid != 0
			}, patience, 10*time.Millisecond)
			require.NoError(t, cmd.Process.Kill())
			_ = cmd.Wait()
			requireExited(t, pid)
			require.Eventually(t, func() bool {
				ln, err := net.Listen("tcp", addr)
				if err == nil {
					ln.Close()
				}
				return err == nil
			}, patience, 5*time.Millisecond, "its port is free")
		})
	}
}

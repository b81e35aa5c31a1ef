package process

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// TestMain lets this test binary be the processes that the tests start.
func TestMain(m *testing.M) {
	if role := os.Getenv("ROLE"); role != "" {
		play(role)
	}
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/firedrill-dev/firedrill/injector/process.init.func1.1"))
}

func play(role string) {
	switch role {
	case "server", "stubborn":
		if role == "stubborn" {
			signal.Ignore(syscall.SIGTERM)
		}
		fmt.Println("about to listen")
		mux := http.NewServeMux()
		mux.HandleFunc("/livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "alive") })
		mux.HandleFunc("/environment", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, strings.Join(os.Environ(), "\n")) })
		fmt.Println(http.ListenAndServe(os.Getenv("ADDR"), mux)) //nolint:gosec // a test's server
	case "parent": // starts a grandchild in its own group, and tells its pid
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), "ROLE=sleeper")
		if err := child.Start(); err != nil {
			panic(err)
		}
		fmt.Printf("grandchild %d\n", child.Process.Pid)
		time.Sleep(time.Hour)
	case "sleeper":
		time.Sleep(time.Hour)
	case "broken":
		fmt.Println("cannot open the database")
		os.Exit(3)
	case "runner": // starts a service as a runner does, and waits to be killed
		s, err := Start(context.Background(), spec(os.Getenv("LOG"), "server", os.Getenv("ADDR")))
		if err != nil {
			panic(err)
		}
		if os.Getenv("HANG") != "" {
			if err := s.Hang(); err != nil {
				panic(err)
			}
		}
		fmt.Printf("started %d\n", s.PID())
		time.Sleep(time.Hour)
	}
	os.Exit(0)
}

func spec(log, role, addr string) Spec {
	s := Spec{Name: role, Args: []string{os.Args[0]}, Env: []string{"ROLE=" + role, "ADDR=" + addr}, Log: log, Grace: time.Second}
	if role == "server" || role == "stubborn" {
		s.Ready = Ready{HTTP: "http://" + addr + "/livez", Within: 20 * time.Second}
	}
	return s
}

func freeAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	return ln.Addr().String()
}

// events collects what a service tells.
type events struct {
	mu  sync.Mutex
	all []string
}

func (e *events) add(ev Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, ev.What)
}

func (e *events) list() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string(nil), e.all...)
}

func begin(t *testing.T, role string) (*Service, string, *events) {
	t.Helper()
	addr := freeAddr(t)
	sp := spec(filepath.Join(t.TempDir(), "log"), role, addr)
	told := &events{}
	sp.Event = told.add
	s, err := Start(t.Context(), sp)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop(context.Background())) })
	return s, addr, told
}

func gone(pid int) bool { return syscall.Kill(pid, 0) != nil }

func TestCrashAndRestart(t *testing.T) {
	s, addr, told := begin(t, "server")
	require.True(t, met(addr))
	pid := s.PID()
	require.NoError(t, s.Crash(t.Context()))
	require.True(t, gone(pid))
	require.False(t, s.Running())
	require.Zero(t, s.PID())
	_, err := net.Dial("tcp", addr)
	require.ErrorIs(t, err, syscall.ECONNREFUSED, "the client sees what the operating system shows")
	require.ErrorContains(t, s.Crash(t.Context()), "does not run")

	require.NoError(t, s.Restart(t.Context()))
	require.NoError(t, s.Restart(t.Context()), "a running one is left alone")
	require.True(t, met(addr), "on the same address")
	require.NotEqual(t, pid, s.PID())
	require.NoError(t, s.Stop(t.Context()))
	require.NoError(t, s.Stop(t.Context()))
	require.Equal(t, []string{"started", "ready", "crashed", "started", "ready", "stopped"}, told.list())
}

func met(addr string) bool {
	return Ready{HTTP: "http://" + addr + "/livez"}.met(context.Background(), "", 0)
}

func TestHangIsSilenceAndResumeEndsIt(t *testing.T) {
	s, addr, _ := begin(t, "server")
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
	require.NoError(t, c.SetReadDeadline(time.Now().Add(20*time.Second)))
	_, err = c.Read(make([]byte, 1))
	require.NoError(t, err)
}

func TestStopEndsTheStubbornAndTheHung(t *testing.T) {
	for _, role := range []string{"stubborn", "server"} {
		t.Run(role, func(t *testing.T) {
			s, _, _ := begin(t, role)
			if role == "server" {
				require.NoError(t, s.Hang())
			}
			pid := s.PID()
			require.NoError(t, s.Stop(t.Context()))
			require.True(t, gone(pid))
		})
	}
}

func TestGrandchildrenDieWithTheirGroup(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	sp := spec(log, "parent", "")
	sp.Ready = Ready{Line: regexp.MustCompile(`^grandchild \d+$`), Within: 20 * time.Second}
	s, err := Start(t.Context(), sp)
	require.NoError(t, err)
	raw, err := os.ReadFile(log)
	require.NoError(t, err)
	pid, err := strconv.Atoi(string(regexp.MustCompile(`grandchild (\d+)`).FindSubmatch(raw)[1]))
	require.NoError(t, err)
	require.False(t, gone(pid))
	require.NoError(t, s.Crash(t.Context()))
	requireZombieOrGone(t, pid)
}

// requireZombieOrGone: a grandchild is reaped by whoever adopts it, which in a container may be nobody.
func requireZombieOrGone(t *testing.T, pid int) {
	t.Helper()
	require.Eventually(t, func() bool {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return gone(pid) || (err == nil && strings.Contains(string(raw), ") Z "))
	}, 10*time.Second, 5*time.Millisecond)
}

func TestErrorsTellTheLogsTail(t *testing.T) {
	dir := t.TempDir()
	_, err := Start(t.Context(), spec(filepath.Join(dir, "a"), "broken", ""))
	if err == nil { // it was found running before it ended
		t.Log("started before it broke")
	}
	sp := spec(filepath.Join(dir, "b"), "broken", "")
	sp.Ready = Ready{TCP: freeAddr(t), Within: 20 * time.Second}
	_, err = Start(t.Context(), sp)
	require.ErrorContains(t, err, `start service "broken": it ended before it was ready: exit status 3`)
	require.ErrorContains(t, err, "cannot open the database")

	sp = spec(filepath.Join(dir, "c"), "sleeper", "")
	sp.Ready = Ready{TCP: freeAddr(t), Within: 50 * time.Millisecond}
	_, err = Start(t.Context(), sp)
	require.ErrorContains(t, err, "not ready within 50ms")
	require.ErrorContains(t, err, "its log is empty")

	_, err = Start(t.Context(), Spec{Name: "x", Args: []string{filepath.Join(dir, "nothing")}, Log: filepath.Join(dir, "d")})
	require.ErrorContains(t, err, "no such file")
	_, err = Start(t.Context(), Spec{Name: "x"})
	require.ErrorContains(t, err, "are needed")
}

func TestAnExitOfItsOwnIsTold(t *testing.T) {
	s, _, told := begin(t, "server")
	require.NoError(t, syscall.Kill(s.PID(), syscall.SIGKILL))
	require.Eventually(t, func() bool { return !s.Running() }, 10*time.Second, 5*time.Millisecond)
	require.Equal(t, []string{"started", "ready", "exited"}, told.list())
}

func TestNoSecretOfTheRunnerIsHandedDown(t *testing.T) {
	t.Setenv("FIREDRILL_SECRET", "s3cret")
	_, addr, _ := begin(t, "server")
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

// TestAServiceDiesWithItsRunner kills a runner with SIGKILL while its service runs, and while it hangs.
func TestAServiceDiesWithItsRunner(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("only Linux ends a child with its parent")
	}
	for _, hang := range []string{"", "yes"} {
		t.Run("hung="+hang, func(t *testing.T) {
			addr := freeAddr(t)
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
			}, 30*time.Second, 10*time.Millisecond)
			require.NoError(t, cmd.Process.Kill())
			_ = cmd.Wait()
			requireZombieOrGone(t, pid)
			require.Eventually(t, func() bool {
				ln, err := net.Listen("tcp", addr)
				if err == nil {
					ln.Close()
				}
				return err == nil
			}, 10*time.Second, 5*time.Millisecond, "its port is free")
		})
	}
}

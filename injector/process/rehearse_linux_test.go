package process

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// What is proved of a service leaves it as it was.
func TestWhatCanBeProvedOfAService(t *testing.T) {
	s, addr, changes := startService(t, "server")
	pid := s.PID()
	proved, err := s.CanSignal()
	require.NoError(t, err)
	require.Contains(t, proved, "it runs, and may be signalled (")
	require.Contains(t, proved, strconv.Itoa(pid))
	require.Contains(t, proved, ", and nothing else listens at "+addr)
	proved, err = s.CanRestart()
	require.NoError(t, err)
	require.Equal(t, `"`+os.Args[0]+`" is there to start it again at `+addr, proved)
	require.Equal(t, pid, s.PID())
	require.True(t, responds(addr))
	require.Equal(t, []string{"started", "ready"}, changes.list())

	require.NoError(t, s.Crash(t.Context()))
	_, err = s.CanSignal()
	require.ErrorContains(t, err, "does not run and listen")
}

// A program that is gone, or a log that cannot be written, is found before the service is down.
func TestServiceThatCouldNotBeStartedAgain(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "program")
	require.NoError(t, os.Link(os.Args[0], program))
	spec := spec(filepath.Join(dir, "log"), "sleeper", "")
	spec.Args = []string{program}
	s, err := Start(t.Context(), spec)
	require.NoError(t, err)
	defer s.Stop(t.Context())
	proved, err := s.CanRestart()
	require.NoError(t, err)
	require.Equal(t, `"`+program+`" is there to start it again`, proved)

	require.NoError(t, os.Remove(spec.Log))
	_, err = s.CanRestart()
	require.NoError(t, err, "it would be created")
	require.NoError(t, os.Mkdir(spec.Log, 0o700))
	_, err = s.CanRestart()
	require.ErrorContains(t, err, `start again "sleeper": open `+spec.Log)
	require.NoError(t, os.Remove(program))
	_, err = s.CanRestart()
	require.ErrorContains(t, err, `start again "sleeper": exec: "`+program+`"`)
	_, err = s.CanSignal()
	require.NoError(t, err)
}

// Another program at the address of a service would hide its crash.
func TestServiceWhoseAddressAnotherProgramShares(t *testing.T) {
	s, addr, _ := startShared(t)
	other, err := reuse.Listen(t.Context(), "tcp", addr)
	require.NoError(t, err)
	defer other.Close()
	_, err = s.CanSignal()
	require.ErrorContains(t, err, "listens on "+addr+" and does not belong to this service")
}

// A process that has become another user cannot be signalled: a dry run finds that, and not the drill.
func TestServiceThatMayNotBeSignalled(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can start a program as another user")
	}
	dir, err := os.MkdirTemp("", "other-user") // whose parent everybody may enter
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	const nobody = 65534
	for _, name := range []string{"runner", "becomes-root"} {
		raw, err := os.ReadFile(os.Args[0])
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), raw, 0o755))
	}
	require.NoError(t, os.Chmod(filepath.Join(dir, "becomes-root"), 0o755|os.ModeSetuid))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "tmp"), 0o755))
	require.NoError(t, os.Chown(filepath.Join(dir, "tmp"), nobody, nobody))

	cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "runner"))
	cmd.Dir = dir
	cmd.Env = []string{"ROLE=asks", "PROGRAM=" + filepath.Join(dir, "becomes-root"), "TMPDIR=" + filepath.Join(dir, "tmp")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	over, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan())
	pid, err := strconv.Atoi(lines.Text())
	require.NoError(t, err, lines.Text())
	require.True(t, lines.Scan())
	require.Regexp(t, `signal "becomes-root" \(pid `+strconv.Itoa(pid)+`\): operation not permitted: it runs as another user`, lines.Text())
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	require.NoError(t, over.Close())
	require.NoError(t, cmd.Wait())
}

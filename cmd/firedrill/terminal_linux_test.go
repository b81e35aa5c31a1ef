package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// openTerminal returns both ends of a pseudo-terminal.
func openTerminal(t *testing.T) (master, terminal *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	require.NoError(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	return master, terminal
}

// onTerminal runs the program on a terminal and returns its output.
func onTerminal(t *testing.T, env []string, args ...string) string {
	t.Helper()
	master, terminal := openTerminal(t)
	defer master.Close()
	cmd := exec.CommandContext(t.Context(), built(t), args...)
	cmd.Env = append(append(os.Environ(), "NO_COLOR="), env...)
	cmd.Stdout, cmd.Stderr = terminal, terminal
	require.NoError(t, cmd.Start())
	require.NoError(t, terminal.Close())
	var printed bytes.Buffer
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(&printed, master) // fails when the program has closed the terminal
	}()
	err := cmd.Wait()
	<-read
	t.Logf("%v: %q", err, printed.String())
	return printed.String()
}

// A run whose terminal is closed heals, writes its report and ends as interrupted.
func TestLostTerminal(t *testing.T) {
	t.Parallel()
	dir, sleep := waitingDrill(t)
	tmp := t.TempDir()
	master, terminal := openTerminal(t)
	p := &program{out: &buffer{}, errOut: &buffer{}, runs: t.TempDir()}
	p.cmd = exec.CommandContext(t.Context(), built(t), "run", filepath.Join(dir, "slow.feature"), "--dir", p.runs)
	p.cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = terminal, terminal, terminal
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	require.NoError(t, p.cmd.Start())
	require.NoError(t, terminal.Close())
	go func() { _, _ = io.Copy(io.Discard, master) }()
	p.until(t, `"what":"ready"`)
	require.NotEmpty(t, sleepingProcesses(sleep))
	require.NoError(t, master.Close())
	require.Equal(t, 130, p.code(t))
	require.Empty(t, sleepingProcesses(sleep))
	raw := p.until(t, `"outcome":"interrupted"`)
	require.Contains(t, string(raw), `"end":`)
	require.FileExists(t, filepath.Join(p.runs, "latest", "report.html"))
	files, err := filepath.Glob(filepath.Join(tmp, "firedrill-*", "*"))
	require.NoError(t, err)
	require.Empty(t, files)
}

// TestPlainTerminals: with a dumb terminal or NO_COLOR, the output has neither colours nor cursor movements.
func TestPlainTerminals(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	feature := filepath.Join(dir, "a.feature")
	text := "Feature: A\n  Scenario: waits\n    Given the service \"a\" at \"127.0.0.1:1\"\n    When 1500ms pass\n"
	require.NoError(t, os.WriteFile(feature, []byte(text), 0o600))
	for name, c := range map[string]struct {
		env    []string
		styled bool
	}{
		"xterm":    {[]string{"TERM=xterm"}, true},
		"dumb":     {[]string{"TERM=dumb"}, false},
		"no name":  {[]string{"TERM="}, false},
		"no color": {[]string{"TERM=xterm", "NO_COLOR=1"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			printed := onTerminal(t, c.env, "run", feature, "--dir", filepath.Join(t.TempDir(), "runs"))
			require.Contains(t, printed, "waits")
			require.Equal(t, c.styled, bytes.ContainsRune([]byte(printed), '\x1b'), "%q", printed)
		})
	}
}

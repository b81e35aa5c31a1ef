package main

import (
	"bytes"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/runner/control"
)

// long is a drill of a link that would last ten minutes. It has a second scenario.
const long = `Feature: long
  Scenario: long
    Given the system described in "system.yaml"
    When "clients" and "web" are cut off from each other for 10m
    And 1s pass
  Scenario: never
    Given the system described in "system.yaml"
    When "clients" and "web" are cut off from each other for 10m
    And 1s pass
`

// longDrill writes the long drill to a folder, and serves its service.
func longDrill(t *testing.T) (feature string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := &http.Server{Handler: http.NotFoundHandler()}
	go server.Serve(ln)
	t.Cleanup(func() { server.Close() })
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "system.yaml"), []byte("services: {web: {address: \""+ln.Addr().String()+"\"}}\nclients: {depends: {web: http}}\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "long.feature"), []byte(long), 0o600))
	return filepath.Join(dir, "long.feature")
}

// firedrill runs the program to its end.
func firedrill(t *testing.T, args ...string) (code int, output string) {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.CommandContext(t.Context(), built(t), args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	_ = cmd.Run()
	return cmd.ProcessState.ExitCode(), out.String()
}

func TestAbort(t *testing.T) {
	t.Parallel()
	p := start(t, "", "run", "--parallel", "1", longDrill(t))
	p.until(t, `"stage":"live"`)
	code, said := firedrill(t, "abort", "--dir", p.runs)
	require.Zero(t, code, said)
	assert.Contains(t, said, "long; every fault was healed: clients -> web answers as \"web\" itself does")
	require.Equal(t, 4, p.code(t), p.output())
	raw, err := os.ReadFile(filepath.Join(p.runs, "latest", "journal.ndjson"))
	require.NoError(t, err)
	assert.Contains(t, string(raw), "stopped: aborted by "+me())
	assert.Contains(t, string(raw), `"code":"aborted"`)
	assert.Contains(t, p.out.String(), "stopped: aborted by "+me()+"; every fault was healed")
	assert.Contains(t, p.out.String(), "1 stopped, 1 not run")
	assert.NoFileExists(t, filepath.Join(p.runs, "latest", "control.sock"))

	code, said = firedrill(t, "abort", "--dir", p.runs)
	assert.Equal(t, usage, code)
	assert.Contains(t, said, "no drill runs in")
}

// The socket of a run that was killed is removed by "heal" and by the next run, and asking it says that the run is over. That
// of a run which goes on stays.
func TestSocketOfAKilledRun(t *testing.T) {
	t.Parallel()
	p := start(t, "", "run", "--parallel", "1", longDrill(t))
	kill := func(folder string, cmd *exec.Cmd) {
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait()
		require.FileExists(t, filepath.Join(folder, control.Name))
	}
	next := func() (*exec.Cmd, string) {
		cmd := exec.CommandContext(t.Context(), built(t), "run", "--parallel", "1", longDrill(t), "--dir", p.runs)
		require.NoError(t, cmd.Start())
		var running []string
		require.Eventually(t, func() bool {
			var err error
			running, err = control.Running(t.Context(), p.runs)
			return err == nil && len(running) == 1
		}, time.Minute, 20*time.Millisecond)
		return cmd, running[0]
	}
	p.until(t, `"stage":"live"`)
	first, err := filepath.EvalSymlinks(filepath.Join(p.runs, "latest"))
	require.NoError(t, err)
	kill(first, p.cmd)
	for _, ask := range [][]string{{"abort", "--dir", p.runs, "latest"}, {"inject", "--run", first, "--list"}} {
		code, said := firedrill(t, ask...)
		assert.Equal(t, usage, code)
		assert.Contains(t, said, "is over: it was killed, and its links ended with it; firedrill heal removes its socket")
	}

	second, folder := next()
	assert.NoFileExists(t, filepath.Join(first, control.Name), "the next run removes it")
	code, said := firedrill(t, "heal", "--dir", p.runs)
	require.Zero(t, code, said)
	assert.NotContains(t, said, "control socket")
	kill(folder, second)
	third, live := next()
	require.NoError(t, os.Rename(filepath.Join(live, control.Name), filepath.Join(folder, control.Name)))
	code, said = firedrill(t, "heal", "--dir", p.runs)
	require.Zero(t, code, said)
	require.FileExists(t, filepath.Join(folder, control.Name), "a program listens at it")
	kill(folder, third)
	code, said = firedrill(t, "heal", "--dir", p.runs)
	require.Zero(t, code, said)
	assert.Contains(t, said, "✓ removed the control socket of "+folder+", which was killed\n")
	assert.NoFileExists(t, filepath.Join(folder, control.Name))
	require.FileExists(t, filepath.Join(folder, "journal.ndjson"))
}

// If several drills run, they are listed, and one has to be named.
func TestAbortOneOfSeveral(t *testing.T) {
	t.Parallel()
	first := start(t, "", "run", "--parallel", "1", longDrill(t))
	first.until(t, `"stage":"live"`)
	alone, err := control.Running(t.Context(), first.runs)
	require.NoError(t, err)
	require.Len(t, alone, 1)
	var out bytes.Buffer
	second := exec.CommandContext(t.Context(), built(t), "run", "--parallel", "1", longDrill(t), "--dir", first.runs)
	second.Stdout, second.Stderr = &out, &out
	require.NoError(t, second.Start())
	require.Eventually(t, func() bool {
		code, listed := firedrill(t, "abort", "--dir", first.runs, "no-such-run")
		require.Equal(t, usage, code)
		require.Contains(t, listed, "nothing runs in")
		running, err := control.Running(t.Context(), first.runs)
		return err == nil && len(running) == 2
	}, time.Minute, 100*time.Millisecond)
	code, said := firedrill(t, "abort", "--dir", first.runs)
	assert.Equal(t, usage, code)
	assert.Contains(t, said, "several drills run, so name one")
	assert.Contains(t, said, `long: fault; "clients" and "web" are cut off from each other`)

	running, err := control.Running(t.Context(), first.runs)
	require.NoError(t, err)
	other := slices.DeleteFunc(running, func(run string) bool { return run == alone[0] }) // they are sorted by name, not by age
	require.Len(t, other, 1)
	code, said = firedrill(t, "abort", "--dir", first.runs, filepath.Base(other[0]))
	require.Zero(t, code, said)
	_ = second.Wait()
	assert.Equal(t, 4, second.ProcessState.ExitCode(), out.String())
	code, said = firedrill(t, "abort", alone[0])
	require.Zero(t, code, said)
	assert.Equal(t, 4, first.code(t), first.output())
}

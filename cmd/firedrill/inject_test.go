package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/runner/control"
)

// standing are links of a real program, in front of a real server.
type standing struct {
	*program
	folder string // of the control socket
	addr   string // of the link from orders to payments
}

// linksTo starts links to a server that answers at once. more is added to the system file.
func linksTo(t *testing.T, more string) *standing {
	t.Helper()
	payments := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "paid") }))
	t.Cleanup(payments.Close)
	file := filepath.Join(t.TempDir(), "system.yaml")
	require.NoError(t, os.WriteFile(file, []byte("services:\n  orders: {address: \"127.0.0.1:1\", depends: {payments: http}}\n  payments: {address: \""+payments.Listener.Addr().String()+"\"}\n"+more), 0o600))
	s := &standing{program: startWith(t, nil, nil, "links", "up", "--api", "127.0.0.1:0", file)}
	t.Cleanup(func() { _ = s.cmd.Process.Kill() })
	require.Eventually(t, func() bool { return strings.Contains(s.out.String(), "control socket is in") }, time.Minute, 10*time.Millisecond, "%s", s.errOut)
	s.addr = regexp.MustCompile(`orders-payments  (\S+) ->`).FindStringSubmatch(s.out.String())[1]
	s.folder = regexp.MustCompile(`control socket is in (\S+)`).FindStringSubmatch(s.out.String())[1]
	return s
}

// call calls payments through the link.
func (s *standing) call() (took time.Duration, err error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}
	began := time.Now()
	resp, err := client.Get("http://" + s.addr + "/charge")
	if err == nil {
		_ = resp.Body.Close()
	}
	return time.Since(began), err
}

// injecting is a program that injects a fault.
type injecting struct {
	*exec.Cmd
	out *buffer
}

// inject starts to inject a fault, and waits until it is live.
func inject(t *testing.T, args ...string) *injecting {
	t.Helper()
	i := &injecting{Cmd: exec.CommandContext(t.Context(), built(t), append([]string{"inject"}, args...)...), out: &buffer{}}
	i.Stdout, i.Stderr = i.out, i.out
	require.NoError(t, i.Start())
	require.Eventually(t, func() bool { return strings.Contains(i.out.String(), "is live") || i.out.String() != "" }, time.Minute, 10*time.Millisecond)
	require.Contains(t, i.out.String(), "is live")
	return i
}

// code waits for the program to end and returns its exit code.
func (i *injecting) code() int {
	_ = i.Wait()
	return i.ProcessState.ExitCode()
}

const (
	delayed = `calls from "orders" to "payments" are delayed by 400ms`
	refused = `"payments" refuses connections from "orders"`
)

// A fault by hand is met by a real client, is listed, and is gone once it is healed.
func TestInjectIntoLinks(t *testing.T) {
	t.Parallel()
	s := linksTo(t, "")
	_, err := s.call()
	require.NoError(t, err)
	i := inject(t, "--dir", s.runs, "--until-heal", delayed)
	took, err := s.call()
	require.NoError(t, err)
	assert.GreaterOrEqual(t, took, 400*time.Millisecond)
	second := inject(t, "--dir", s.runs, refused+" for 10m")
	_, err = s.call()
	require.Error(t, err)

	code, said := firedrill(t, "inject", "--dir", s.runs, "--list")
	require.Zero(t, code, said)
	assert.Contains(t, said, "hand-1  "+delayed)
	assert.Regexp(t, `by `+me()+` since [\d:]+, until it is healed: 1 of 1 calls affected`, said)
	assert.Regexp(t, `hand-2  `+refused+`\n +by `+me()+` since [\d:]+, ends at [\d:]+ \(in (10m0|9m\d+)s\): `, said)

	code, said = firedrill(t, "inject", "--dir", s.runs, "--heal", "hand-2")
	require.Zero(t, code, said)
	assert.Regexp(t, `hand-2 is healed after [\d.]+m?s, by `+me(), said)
	assert.Zero(t, second.code(), second.out)
	_, err = s.call()
	require.NoError(t, err, "no longer refused")
	code, said = firedrill(t, "inject", "--dir", s.runs, "--heal", "all")
	require.Zero(t, code, said)
	assert.Zero(t, i.code(), i.out)
	assert.Regexp(t, `hand-1 is healed after .*: 2 of 2 calls affected`, i.out.String())
	code, said = firedrill(t, "inject", "--dir", s.runs, "--list")
	require.Zero(t, code, said)
	assert.Contains(t, said, "no fault injected by hand is live")
}

// A fault that nothing met says so, with exit code 3; one with a duration ends by itself.
func TestInjectedFaultMeetsNothing(t *testing.T) {
	t.Parallel()
	s := linksTo(t, "")
	code, said := firedrill(t, "inject", "--dir", s.runs, delayed+" for 50ms")
	assert.Equal(t, 3, code)
	assert.Contains(t, said, "since its time is over: it met nothing: no calls that it could act on came while it was live")
	i := inject(t, "--dir", s.runs, "--until-heal", `only "POST /refunds" calls from "orders" to "payments" are delayed by 400ms`)
	_, err := s.call()
	require.NoError(t, err)
	require.NoError(t, i.Process.Signal(os.Interrupt))
	assert.Equal(t, 130, i.code(), i.out)
	assert.Contains(t, i.out.String(), "since the program that asked for it has ended: it met nothing")
}

// A fault does not outlive the program that injected it.
func TestKilledInjectorHeals(t *testing.T) {
	t.Parallel()
	s := linksTo(t, "")
	for _, signal := range []os.Signal{syscall.SIGKILL, syscall.SIGHUP} {
		i := inject(t, "--dir", s.runs, refused+" for 10m")
		_, err := s.call()
		require.Error(t, err)
		require.NoError(t, i.Process.Signal(signal))
		_ = i.Wait()
		require.Eventually(t, func() bool { _, err := s.call(); return err == nil }, time.Minute, 10*time.Millisecond, "after %v", signal)
	}
}

// Links that end take the faults with them, and say so; a killed program leaves a socket that is told from a live one.
func TestLinksEndWithInjectedFaults(t *testing.T) {
	t.Parallel()
	s := linksTo(t, "")
	i := inject(t, "--dir", s.runs, "--until-heal", delayed)
	_, err := s.call()
	require.NoError(t, err)
	require.NoError(t, s.cmd.Process.Signal(os.Interrupt))
	require.Zero(t, s.code(t), s.output())
	assert.Zero(t, i.code(), i.out)
	assert.Contains(t, i.out.String(), "since its links ended: 1 of 1 calls affected")
	assert.NoDirExists(t, s.folder)

	s = linksTo(t, "")
	i = inject(t, "--dir", s.runs, "--until-heal", delayed)
	require.NoError(t, s.cmd.Process.Kill())
	require.Equal(t, -1, s.code(t))
	assert.Equal(t, 2, i.code())
	assert.Contains(t, i.out.String(), "ended meanwhile, with its links and what was live on them")
	_, err = s.call()
	require.Error(t, err, "the link ended with its program")
	code, said := firedrill(t, "inject", "--dir", s.runs, "--list")
	assert.Equal(t, usage, code)
	assert.Contains(t, said, "no links stand in")
	code, said = firedrill(t, "inject", "--run", s.folder, "--list")
	assert.Equal(t, usage, code)
	assert.Contains(t, said, "it was killed, which left its socket")

	old := time.Now().Add(-time.Hour)
	require.NoError(t, os.Chtimes(filepath.Join(s.folder, control.Name), old, old))
	control.RemoveStale(t.Context(), s.runs)
	assert.NoDirExists(t, s.folder, "the next links remove it")
}

// "abort" heals what was injected and closes all links.
func TestAbortLinks(t *testing.T) {
	t.Parallel()
	s := linksTo(t, "")
	info, err := os.Stat(filepath.Join(s.folder, control.Name))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	i := inject(t, "--dir", s.runs, "--until-heal", refused)
	code, said := firedrill(t, "abort", "--dir", s.runs)
	require.Zero(t, code, said)
	assert.Contains(t, said, "all links are closed, and no fault acts on them any more")
	require.Zero(t, s.code(t), s.output())
	assert.Equal(t, 3, i.code(), "nothing had met it: %s", i.out)
	assert.NoDirExists(t, s.folder)
}

// Faults by hand obey the limits of the system file, with the texts that features get.
func TestHandsObeyLimits(t *testing.T) {
	t.Parallel()
	s := linksTo(t, "limits: {share: 50%, at_once: 1, duration: 30s}\n")
	for sentence, says := range map[string]string{
		delayed + " for 10s":             "this fault acts on 100% of the traffic of orders -> payments, and the limits of the system allow 50%",
		"50% of " + delayed + " for 31s": "this fault would be live for 31s, and the limits of the system allow 30s",
		"50% of " + delayed:              "it is not said for how long the fault is live",
		`calls from "orders" to "payments" are delaid by 400ms for 30s`: "did you mean",
		`at least 99% of requests succeed during the fault`:             "is not a fault that can be injected by hand",
	} {
		code, said := firedrill(t, "inject", "--dir", s.runs, sentence)
		assert.Equal(t, usage, code)
		assert.Contains(t, said, says)
	}
	i := inject(t, "--dir", s.runs, "50% of "+delayed+" for 30s")
	code, said := firedrill(t, "inject", "--dir", s.runs, "50% of "+delayed+" for 30s")
	assert.Equal(t, usage, code)
	assert.Contains(t, said, "2 faults would be live at the same time, and the limits of the system allow 1")
	require.NoError(t, i.Process.Kill())
	_ = i.Wait()
}

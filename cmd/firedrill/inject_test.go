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
	"github.com/firedrill-dev/firedrill/scenarios/journal"
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
	assert.Contains(t, said, "no links without a run are open in")
	code, said = firedrill(t, "inject", "--run", s.folder, "--list")
	assert.Equal(t, usage, code)
	assert.Contains(t, said, "is over: it was killed, and its links ended with it")

	removed, err := control.RemoveStale(t.Context(), s.runs)
	require.NoError(t, err)
	assert.Equal(t, []string{s.folder}, removed)
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

// byHand is a drill during which faults are injected by hand.
const byHand = `Feature: by hand
  Scenario: by hand
    Given the system described in "system.yaml"
    And a steady load of 40 requests per second on "GET /"
    And a baseline is measured for 2s
    When calls from "clients" to "web" are delayed by 20ms for 25s
    Then at least 50% of requests succeed
`

// startDrill starts a drill of a server that answers at once.
func startDrill(t *testing.T, feature, limits string) *program {
	t.Helper()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }))
	t.Cleanup(web.Close)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "system.yaml"), []byte("services: {web: {address: \""+web.Listener.Addr().String()+"\"}}\nclients: {depends: {web: http}}\n"+limits), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "by-hand.feature"), []byte(feature), 0o600))
	return start(t, "", "run", "--parallel", "1", filepath.Join(dir, "by-hand.feature"))
}

// verdictsOf returns the verdicts of a run, by kind.
func verdictsOf(t *testing.T, p *program) map[string]journal.Verdict {
	t.Helper()
	f, err := os.Open(filepath.Join(p.runs, "latest", "journal.ndjson"))
	require.NoError(t, err)
	defer f.Close()
	book, err := journal.Fold(f)
	require.NoError(t, err)
	all := map[string]journal.Verdict{}
	for _, v := range book.Scenarios[0].Verdicts {
		all[v.Kind] = v
	}
	return all
}

// A drill into which a fault was injected by hand is not the drill that was described: it is inconclusive, and journal and
// reports say who did what, and what it met. The same drill without it is judged.
func TestInjectIntoADrill(t *testing.T) {
	t.Parallel()
	p, _ := untilInjected(t, func() *program { return startDrill(t, byHand, "limits: {duration: 30s}\n") })
	run := filepath.Join(p.runs, "latest")
	code, said := firedrill(t, "inject", "--run", run, `calls from "clients" to "web" are delayed by 30ms for 1s`)
	require.Zero(t, code, said)
	assert.Regexp(t, `hand-1 is healed after .*, since its time is over: \d+ of \d+ calls affected`, said)
	code, said = firedrill(t, "inject", "--run", run, `only "POST /nothing" calls from "clients" to "web" are delayed by 30ms for 50ms`)
	assert.Equal(t, 3, code)
	assert.Contains(t, said, "it met nothing")
	code, said = firedrill(t, "inject", "--run", run, `calls from "clients" to "web" are delayed by 30ms for 31s`)
	assert.Equal(t, usage, code)
	assert.Contains(t, said, "this fault would be live for 31s, and the limits of the system allow 30s")
	code, said = firedrill(t, "inject", "--run", run, "--heal", "fault-1")
	assert.Equal(t, usage, code)
	assert.Contains(t, said, "no fault injected by hand is live", "the drill's own fault is its own")

	assert.Equal(t, 3, p.code(t), p.output())
	raw := p.until(t, `"id":"hand-1","stage":"healed"`)
	assert.Regexp(t, `"id":"hand-1","stage":"live",.*"by":"`+me()+`"`, string(raw))
	assert.Contains(t, p.out.String(), `calls from "clients" to "web" are delayed by 30ms (by hand, by `+me()+`)`)
	page, err := os.ReadFile(filepath.Join(run, "report.html"))
	require.NoError(t, err)
	assert.Contains(t, string(page), "(by hand, by "+me()+")")
	all := verdictsOf(t, p)
	assert.Equal(t, "inconclusive", all["none by hand"].Outcome)
	assert.Equal(t, "injected-by-hand", all["none by hand"].Code)
	assert.Equal(t, "inconclusive", all["success"].Outcome)
	assert.Contains(t, all["success"].Reason, "not judged, since it is not shown that every fault is one of the scenario; it would have passed")

	p = startDrill(t, strings.Replace(byHand, "25s", "1s", 1), "")
	p.code(t)
	assert.Equal(t, "passed", verdictsOf(t, p)["none by hand"].Outcome, p.output())
}

// The fault of a killed program is healed while the drill goes on; an abort heals it like the others.
func TestKilledInjectorOfADrill(t *testing.T) {
	t.Parallel()
	p := start(t, "", "run", "--parallel", "1", longDrill(t))
	p.until(t, `"stage":"live"`)
	run := filepath.Join(p.runs, "latest")
	const slow = `calls from "clients" to "web" are delayed by 30ms`
	i := inject(t, "--run", run, "--until-heal", slow)
	code, said := firedrill(t, "inject", "--run", run, "--list")
	require.Zero(t, code, said)
	assert.Contains(t, said, "hand-1  "+slow)
	require.NoError(t, i.Process.Kill())
	_ = i.Wait()
	raw := string(p.until(t, `"id":"hand-1","stage":"healed"`))
	assert.NotContains(t, raw, `"id":"fault-1","stage":"healed"`)

	i = inject(t, "--run", run, "--until-heal", slow)
	code, said = firedrill(t, "abort", "--dir", p.runs)
	require.Zero(t, code, said)
	assert.Equal(t, 3, i.code(), "nothing met it: %s", i.out)
	assert.Contains(t, i.out.String(), "hand-2 is healed after")
	assert.Equal(t, 4, p.code(t), p.output())
	p.until(t, `"id":"hand-2","stage":"healed"`)
}

// Before its first When a scenario has no fault that could be joined.
func TestInjectTooEarly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "system.yaml"), []byte("services: {web: {command: [sleep, \"600\"], ready: {line: never, within: 1h}}}\nclients: {depends: {web: http}}\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "early.feature"), []byte("Feature: early\n  Scenario: early\n    Given the system described in \"system.yaml\"\n    When \"clients\" and \"web\" are cut off from each other for 1s\n    And 1s pass\n"), 0o600))
	p := start(t, "", "run", "--parallel", "1", filepath.Join(dir, "early.feature"))
	p.until(t, `"what":"started"`)
	code, said := firedrill(t, "inject", "--run", filepath.Join(p.runs, "latest"), `calls from "clients" to "web" are delayed by 30ms for 1s`)
	assert.Equal(t, usage, code)
	assert.Contains(t, said, `"early" is in its phase "setup": a fault can be injected by hand in the phase "fault", from the first When until the first check`)
	code, said = firedrill(t, "abort", "--dir", p.runs)
	require.Zero(t, code, said)
	assert.Equal(t, 4, p.code(t), p.output())
}

// A service that the drill started can be crashed by hand, and is started again. That is no exit of its own.
func TestCrashByHand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "system.yaml"), []byte("services:\n  back: {command: [\"${self}\", service, ledger, --listen, \"127.0.0.1:${port}\"]}\n  lone: {command: [sh, -c, 'echo ready; exec sleep 600'], ready: {line: \"^ready$\"}}\nclients: {depends: {back: http}}\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "crash.feature"), []byte("Feature: crash\n  Scenario: crash\n    Given the system described in \"system.yaml\"\n    When 10m pass\n"), 0o600))
	p := start(t, "", "run", "--parallel", "1", filepath.Join(dir, "crash.feature"))
	p.until(t, `"phase":\{"name":"fault"\}`)
	run := filepath.Join(p.runs, "latest")
	code, said := firedrill(t, "inject", "--run", run, `"back" crashes for 200ms`)
	assert.Equal(t, 3, code, "no call to it failed: %s", said)
	assert.Regexp(t, "hand-1 is healed after .*: it met nothing", said)
	raw := string(p.until(t, `(?s)"what":"crashed".*"what":"ready".*"id":"hand-1","stage":"healed"`))
	assert.NotContains(t, raw, `"what":"exited"`)
	code, said = firedrill(t, "inject", "--run", run, `"lone" crashes for 200ms`)
	assert.Zero(t, code, said)
	assert.Contains(t, said, "calls to it are not counted, since neither a load nor a link leads to it")
	code, said = firedrill(t, "inject", "--run", run, `"front" crashes for 200ms`)
	assert.Equal(t, usage, code)
	assert.Contains(t, said, `there is no service "front"`)
	code, said = firedrill(t, "abort", "--dir", p.runs)
	require.Zero(t, code, said)
	assert.Equal(t, 4, p.code(t), p.output())
}

// A fault on several links is one fault, and a proxy that no system file describes is a link of "clients".
func TestInjectIntoSeveralLinks(t *testing.T) {
	t.Parallel()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }))
	defer web.Close()
	dir, address := t.TempDir(), web.Listener.Addr().String()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "system.yaml"), []byte("services:\n  orders: {address: \"127.0.0.1:1\", depends: {payments: http, stock: http}}\n  payments: {address: \""+address+"\"}\n  stock: {address: \""+address+"\"}\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "toxiproxy.json"), []byte(`[{"name": "plain", "listen": "127.0.0.1:0", "upstream": "`+address+`", "enabled": true, "protocol": "http"}]`), 0o600))
	p := startWith(t, nil, nil, "links", "up", "--api", "127.0.0.1:0", filepath.Join(dir, "system.yaml"), "--populate", filepath.Join(dir, "toxiproxy.json"))
	require.Eventually(t, func() bool { return strings.Contains(p.out.String(), "control socket is in") }, time.Minute, 10*time.Millisecond, "%s", p.errOut)
	patience := 30 * time.Second
	call := func(proxy string) error {
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
		resp, err := client.Get("http://" + regexp.MustCompile(proxy + `  (\S+) ->`).FindStringSubmatch(p.out.String())[1] + "/")
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				err = fmt.Errorf("status %d", resp.StatusCode)
			}
		}
		return err
	}
	i := inject(t, "--dir", p.runs, "--until-heal", `"orders" is cut off from "payments" and "stock"`)
	require.NoError(t, call("plain"))
	patience = 300 * time.Millisecond
	require.Error(t, call("orders-payments"))
	require.Error(t, call("orders-stock"))
	patience = 30 * time.Second
	require.NoError(t, i.Process.Signal(os.Interrupt))
	assert.Equal(t, 130, i.code(), i.out)
	require.NoError(t, call("orders-payments"))

	i = inject(t, "--dir", p.runs, "--until-heal", `calls from "clients" to "plain" answer with status 503`)
	require.ErrorContains(t, call("plain"), "503")
	require.NoError(t, call("orders-stock"))
	code, said := firedrill(t, "inject", "--dir", p.runs, "--heal", "all")
	require.Zero(t, code, said)
	assert.Contains(t, said, "1 of 1 calls affected")
	assert.Zero(t, i.code(), i.out)
	require.NoError(t, call("plain"))
	require.NoError(t, p.cmd.Process.Signal(os.Interrupt))
	require.Zero(t, p.code(t), p.output())
}

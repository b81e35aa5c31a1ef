package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/features/machine"
	"github.com/firedrill-dev/firedrill/runner"
)

// TestMain makes this test binary act as firedrill when tests start it as such, and when a run starts parts of the
// demo shop.
func TestMain(m *testing.M) {
	if os.Getenv("FIREDRILL_IS_PROGRAM") != "" || (len(os.Args) > 1 && (os.Args[1] == "shop" || os.Args[1] == "service")) {
		main()
	}
	code := m.Run()
	if builtDir != "" {
		_ = os.RemoveAll(builtDir)
	}
	os.Exit(code)
}

// build builds firedrill once, without the race detector: a run then takes a third of the CPU time.
var build = sync.OnceValues(func() (path string, err error) {
	if builtDir, err = os.MkdirTemp("", "firedrill"); err != nil {
		return "", err
	}
	return machine.Build(builtDir, "cmd/firedrill")
})

// builtDir is the folder of the program that build builds, or "" if no test needed it.
var builtDir string

// built returns the path of firedrill.
func built(t *testing.T) string {
	t.Helper()
	path, err := build()
	require.NoError(t, err)
	return path
}

// program is a running firedrill.
type program struct {
	cmd         *exec.Cmd
	out, errOut *buffer
	runs        string // parent of run folders
}

// start runs the program with a new folder for runs. The test stops it.
func start(t *testing.T, stdin string, args ...string) *program {
	t.Helper()
	return startWith(t, nil, strings.NewReader(stdin), args...)
}

// startWith is start with additional environment variables, and with a reader as input. With --step the program is this
// test binary, so that the race detector watches what an operator does.
func startWith(t *testing.T, env []string, stdin io.Reader, args ...string) *program {
	t.Helper()
	path := built(t)
	if slices.Contains(args, "--step") {
		var err error
		path, err = os.Executable()
		require.NoError(t, err)
	}
	p := &program{out: &buffer{}, errOut: &buffer{}, runs: t.TempDir()}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	p.cmd = exec.CommandContext(ctx, path, append(args, "--dir", p.runs)...)
	p.cmd.Env = append(append(os.Environ(), "FIREDRILL_IS_PROGRAM=1"), env...)
	p.cmd.Stdin = stdin
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.errOut
	require.NoError(t, p.cmd.Start())
	return p
}

// code waits for the program to end and returns its exit code; -1 means a signal.
func (p *program) code(t *testing.T) int {
	t.Helper()
	err := p.cmd.Wait()
	var exited *exec.ExitError
	if err != nil && !errors.As(err, &exited) {
		require.NoError(t, err)
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *program) output() string { return p.out.String() + p.errOut.String() }

// until waits until the journal of the run matches a pattern.
func (p *program) until(t *testing.T, pattern string) []byte {
	t.Helper()
	var raw []byte
	require.Eventually(t, func() bool {
		raw, _ = os.ReadFile(filepath.Join(p.runs, "latest", "journal.ndjson"))
		return regexp.MustCompile(pattern).Match(raw)
	}, time.Minute, 20*time.Millisecond, "the journal does not match %s\n%s", pattern, p.errOut)
	return raw
}

// notInjected is what a run prints whose baseline was not steady, as on a machine that is busy for a moment.
const notInjected = "nothing was injected"

// untilInjected starts a program and waits until its run has injected a fault. A run that injects nothing is
// started again.
func untilInjected(t *testing.T, begin func() *program) (p *program, journal []byte) {
	t.Helper()
	injected := regexp.MustCompile(`"stage":"injected"`)
	for range 1 + machine.Repeats {
		p = begin()
		require.Eventually(t, func() bool {
			journal, _ = os.ReadFile(filepath.Join(p.runs, "latest", "journal.ndjson"))
			return injected.Match(journal) || strings.Contains(p.errOut.String(), notInjected)
		}, time.Minute, 20*time.Millisecond, "no fault was injected:\n%s", p.errOut)
		if injected.Match(journal) {
			return p, journal
		}
		t.Logf("run again: exit code %d\n%s", p.code(t), p.output())
	}
	require.FailNow(t, "no fault was injected", p.output())
	return nil, nil
}

func TestMetricsPortTaken(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	p := start(t, "", "run", "../../cmd/firedrill/testdata/vacuous.feature", "--metrics", taken.Addr().String())
	require.Equal(t, usage, p.code(t), p.output())
	require.Contains(t, p.errOut.String(), taken.Addr().String())
	require.Contains(t, p.errOut.String(), "choose another port")
	entries, err := os.ReadDir(p.runs)
	require.NoError(t, err)
	require.Empty(t, entries, "something was started")
}

// TestParallelWithPeople: --parallel is refused where people take part, unless it says one scenario at a time.
func TestParallelWithPeople(t *testing.T) {
	t.Parallel()
	for _, flag := range []string{"--web", "--screen", "--step"} {
		dir := t.TempDir()
		var out, errOut bytes.Buffer
		code := Main([]string{"run", "testdata/vacuous.feature", flag, "--parallel", "4", "--dir", dir}, strings.NewReader(""), &out, &errOut)
		require.Equal(t, usage, code, errOut.String())
		require.Contains(t, errOut.String(), "--parallel 4: with "+flag+", people take part in one scenario at a time: leave out --parallel or "+flag)
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Empty(t, entries, "something was started")
	}
	r := runFlags{options: runner.Options{Parallel: 1, Repeat: 1}, step: true}
	require.NoError(t, r.check(true))
	r.options.Parallel = 4
	require.NoError(t, r.check(false), "it is the default")
}

func TestMissingProtectionExitsOneAndNamesTheOrders(t *testing.T) {
	t.Parallel()
	args := []string{"run", "--without", "idempotency keys", "../../cmd/firedrill/testdata/duplicates.feature"}
	p := start(t, "", args...)
	code := p.code(t)
	if code == 3 { // inconclusive
		t.Log("run again, because this machine may have been busy:", p.output())
		p = start(t, "", args...)
		code = p.code(t)
	}
	require.Equal(t, 1, code, p.output())
	raw := p.until(t, `"verdict"`)
	duplicated := regexp.MustCompile(`key ([0-9a-zA-Z-]+)[^"]*2 effects`).FindSubmatch(raw)
	require.NotNil(t, duplicated, p.output())
	require.Contains(t, p.out.String(), string(duplicated[1]), "the terminal names no duplicated order by its key")
}

func TestInterruptHealsAndLeavesNothing(t *testing.T) {
	t.Parallel()
	p, journal := untilInjected(t, func() *program { return start(t, "", "run", "../../cmd/firedrill/testdata/long.feature") })
	require.NoError(t, p.cmd.Process.Signal(os.Interrupt))
	require.Equal(t, 130, p.code(t), p.output())
	requireGone(t, journal)
	require.FileExists(t, filepath.Join(p.runs, "latest", "report.html"))
	p.until(t, `"stage":"healed"`)
}

func TestKilledRunnerLeavesNothingAndItsJournalRenders(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("children die with a SIGKILLed runner on Linux only")
	}
	t.Parallel()
	p, journal := untilInjected(t, func() *program { return start(t, "", "run", "../../cmd/firedrill/testdata/long.feature") })
	require.NoError(t, p.cmd.Process.Kill())
	require.Equal(t, -1, p.code(t))
	requireGone(t, journal)

	var out, errOut bytes.Buffer
	require.Equal(t, 0, Main([]string{"report", "latest", "--dir", p.runs}, strings.NewReader(""), &out, &errOut), errOut.String())
	require.Contains(t, out.String(), "killed, or is not over")
	page, err := os.ReadFile(filepath.Join(p.runs, "latest", "report.html"))
	require.NoError(t, err)
	require.Contains(t, string(page), "killed, or is not over")
}

func TestStepHealsOnAKey(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file string
		keys [][2]string // the text to wait for, and the key to press then
	}{
		"a fault that its step holds":    {"long.feature", [][2]string{{"s: skip", "\n"}, {"h: heal", "h"}}},
		"a fault that no step holds":     {"byhand.feature", [][2]string{{"s: skip", "\n"}, {"s: skip  h: heal", "\n"}, {"inject: calls", "h"}}},
		"a fault live behind a question": {"byhand.feature", [][2]string{{"s: skip", "\n"}, {"s: skip  h: heal", "h"}, {"healed by hand", "\n"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, typed := pressKeys(t, c.file, c.keys)
			if strings.Contains(p.errOut.String(), notInjected) {
				require.NoError(t, typed.Close())
				t.Logf("run again: exit code %d\n%s", p.code(t), p.output())
				p, typed = pressKeys(t, c.file, c.keys)
			}
			// The input stays open: closing it would cancel the run.
			p.until(t, `"stage":"healed"[^\n]*hangs`)
			book, err := readBook(filepath.Join(p.runs, "latest", "journal.ndjson"))
			require.NoError(t, err)
			f := book.Scenarios[0].Faults[0]
			require.Less(t, f.Healed-f.Injected, time.Minute, "the key did not heal, a step did")
			require.NoError(t, p.cmd.Process.Signal(os.Interrupt))
			require.NoError(t, typed.Close())
			p.code(t)
			require.Contains(t, p.errOut.String(), "healed by hand")
		})
	}
}

// pressKeys starts a run with --step and presses keys, each when its text has appeared. It stops if the run injects
// nothing.
func pressKeys(t *testing.T, file string, keys [][2]string) (p *program, typed *io.PipeWriter) {
	t.Helper()
	stdin, typed := io.Pipe()
	p = startWith(t, nil, stdin, "run", "--step", "../../cmd/firedrill/testdata/"+file)
	for _, k := range keys {
		require.Eventually(t, func() bool {
			printed := p.errOut.String()
			return strings.Contains(printed, k[0]) || strings.Contains(printed, notInjected)
		}, time.Minute, 10*time.Millisecond, "the output lacks %q:\n%s", k[0], p.errOut)
		if strings.Contains(p.errOut.String(), notInjected) {
			break
		}
		_, err := typed.Write([]byte(k[1]))
		require.NoError(t, err)
	}
	return p, typed
}

// TestStepQuitsTheRun: q cancels all scenarios at once.
func TestStepQuitsTheRun(t *testing.T) {
	t.Parallel()
	p := start(t, "q", "run", "--step", "../../cmd/firedrill/testdata/long.feature", "../../cmd/firedrill/testdata/vacuous.feature")
	require.Equal(t, 130, p.code(t), p.output())
	require.Equal(t, 1, strings.Count(p.errOut.String(), "next: "), p.errOut.String())
	require.Contains(t, p.out.String(), "the operator ended the run")
}

// requireGone checks that the processes in the journal are dead and that their ports and those of the links are
// closed.
func requireGone(t *testing.T, journal []byte) {
	t.Helper()
	addresses := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindAllString(string(journal), -1)
	require.NotEmpty(t, addresses, "the journal names no port")
	slices.Sort(addresses)
	for _, address := range slices.Compact(addresses) {
		require.Eventually(t, func() bool {
			c, err := net.DialTimeout("tcp", address, time.Second)
			if err == nil {
				c.Close()
			}
			return errors.Is(err, syscall.ECONNREFUSED)
		}, 10*time.Second, 20*time.Millisecond, "a process still listens on %s", address)
	}
	pids := regexp.MustCompile(`"pid":(\d+)`).FindAllSubmatch(journal, -1)
	require.NotEmpty(t, pids, "the journal names no process")
	for _, m := range pids {
		pid := number(t, string(m[1]))
		require.Eventually(t, func() bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }, 10*time.Second, 20*time.Millisecond, "process %d outlived the run", pid)
	}
}

// TestSeedsOfTheEnvironment: $FIREDRILL_SEED comes before the clock, so each flag that takes either of them names both.
func TestSeedsOfTheEnvironment(t *testing.T) {
	named := 0
	for _, c := range commands() {
		if f := c.Flags().Lookup("seed"); f != nil && f.DefValue == "0" {
			require.Contains(t, f.Usage, "0 takes $FIREDRILL_SEED or else one from the clock", c.CommandPath())
			named++
		}
	}
	require.Equal(t, 3, named, "run, gameday and demo")
}

//go:build linux

package runner_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/firedrill-dev/firedrill/features/machine"
	"github.com/firedrill-dev/firedrill/reports"
	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

var times = flag.Int("times", 1, "how often TestOwnFaults runs each row")

// ownFault is something that befalls the runner itself, in a run that passes without it.
type ownFault struct {
	name    string
	web     string // the role of the service; "" means a server that is the child of the started process
	feature string // added before the check
	system  string // added to the service in the system file
	run     []string
	arrange func(t *testing.T, dir string)             // before the run
	during  func(t *testing.T, dir string, pid int)    // while the service hangs
	after   func(t *testing.T, dir string, out string) // after the run
	journal string                                     // the outcome by the journal, if it is another one
	want    string                                     // the outcome: passed, inconclusive, stopped, "unwritten" reports, "killed" by a signal, or "refused" before anything starts
	says    string                                     // in what the run prints, or in its journal
}

var ownFaults = []ownFault{
	{name: "none", want: "passed"},
	{name: "a step of the user panics", feature: "    And it panics\n", want: "inconclusive", says: "boom"},
	{name: "a step of the user ends the program", feature: "    And it exits\n", want: "killed"},
	{name: "a step of the user panics elsewhere", feature: "    And a goroutine panics\n", want: "killed", says: "panic: boom"},
	{name: "the disk of the run is full before the journal ends", arrange: runsOn("size=16k"), want: "inconclusive", says: "no space left on device"},
	{name: "the disk of the run is full before the reports", arrange: runsOn("size=64k"), want: "unwritten", journal: "passed", says: ".part: no space left on device", after: reportsFollow},
	{name: "the disk of the run is full of files", arrange: runsOn("nr_inodes=6"), want: "inconclusive", says: "no space left on device"},
	{name: "the folder of runs is read-only", arrange: runsOn("ro"), want: "refused", says: "read-only file system"},
	{name: "a file may not grow", run: []string{"sh", "-c", `ulimit -f 8 && exec "$@"`, "sh"}, want: "inconclusive", says: "file too large"},
	{name: "there are few descriptors", run: []string{"sh", "-c", `ulimit -n 24 && exec "$@"`, "sh"}, want: "inconclusive", says: "too many open files"},
	{name: "another program has the port of a link", system: "    depends: {back: {protocol: http, listen: \"127.0.0.1:PORT\"}}\n  back: {address: \"127.0.0.1:1\"}\n", arrange: takePort, want: "inconclusive", says: "address already in use"},
	{name: "the service ignores SIGTERM", web: "stubborn", system: "    stop: {within: 300ms}\n", want: "passed", says: "did not end within 300ms of SIGTERM and was killed"},
	{name: "the service becomes a daemon", web: "daemon", want: "passed", says: "which continues as the service"},
	{name: "the log of the service has no bound", web: "chatty", want: "passed", after: logIsCut},
	{name: "the process group is killed", during: signalGroup(syscall.SIGKILL), want: "killed"},
	{name: "the terminal is lost", run: []string{"env", "--default-signal=HUP"}, during: signalGroup(syscall.SIGHUP), want: "killed"},
	{name: "memory runs out", during: func(t *testing.T, _ string, pid int) { // what the kernel does then
		require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	}, want: "killed"},
}

const ownFeature = `Feature: own faults
  Scenario: the service hangs
    Given the system described in "system.yaml"
    And a steady load of 50 requests per second on "GET /a"
    And a baseline is measured for 1s
    When "web" hangs for %s
%s    Then at least 1%% of requests succeed
`

const ownSystem = `services:
  web:
    command: ["${self}", %q]
    env: {ROLE: %s, ADDR: "127.0.0.1:${port}"}
    serves: [/]
%s`

// TestOwnFaults exposes the runner to each fault, -times times. Nothing may be left, seen from outside, its journal must be
// readable, and it must not claim more than was proved.
func TestOwnFaults(t *testing.T) {
	t.Parallel()
	for row, f := range ownFaults {
		t.Run(strings.ReplaceAll(f.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			for i := range *times {
				f.befall(t, fmt.Sprintf("own-%d-%d-%d.", os.Getpid(), row, i))
			}
			t.Logf("%d of %d runs: %s, and nothing was left", *times, *times, f.want)
		})
	}
}

func (f ownFault) befall(t *testing.T, mark string) {
	var got, out, dir string
	var raw []byte
	for range 1 + runner.Repeats { // a busy machine makes a run inconclusive, for another reason
		dir = t.TempDir()
		got, out = f.once(t, dir, mark)
		raw, _ = os.ReadFile(filepath.Join(dir, "runs", "latest", "journal.ndjson"))
		if got != "inconclusive" || f.want == got && strings.Contains(out+string(raw), f.says) {
			break
		}
	}
	require.Equal(t, f.want, got, "%s", out)
	require.Contains(t, out+string(raw), f.says)
	if f.after != nil {
		f.after(t, dir, out)
	}
	if i := bytes.IndexByte(raw, '\n'); i >= 0 {
		book, err := journal.Fold(bytes.NewReader(raw))
		require.NoError(t, err)
		switch outcome := reports.Outcome(book); {
		case f.journal != "":
			require.Equal(t, f.journal, outcome)
		case f.want == "killed":
			require.Equal(t, "inconclusive", outcome)
		default:
			require.Equal(t, f.want, outcome)
		}
	}
}

// once runs the feature in a process of its own, and returns its outcome and what it printed.
func (f ownFault) once(t *testing.T, dir, mark string) (outcome, out string) {
	t.Helper()
	role := f.web
	if role == "" {
		role = "session"
	}
	hangs := "1s"
	if f.during != nil { // which must not come too late
		hangs = "30s"
	}
	tmp := filepath.Join(dir, "tmp")
	for _, folder := range []string{tmp, filepath.Join(dir, "runs")} {
		require.NoError(t, os.Mkdir(folder, 0o700))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a.feature"), fmt.Appendf(nil, ownFeature, hangs, f.feature), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "system.yaml"), fmt.Appendf(nil, ownSystem, mark, role, f.system), 0o600))
	if f.arrange != nil {
		f.arrange(t, dir)
	}
	args := append(f.run, os.Args[0], "-test.run=^$")
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "ROLE=own faults", "DIR="+dir, "TMPDIR="+tmp)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var printed bytes.Buffer
	cmd.Stdout, cmd.Stderr = &printed, &printed
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var err error
	if f.during != nil && awaitLive(dir, ended) {
		f.during(t, dir, cmd.Process.Pid)
	}
	select {
	case err = <-ended:
	case <-time.After(2 * time.Minute):
		_ = cmd.Process.Kill()
		require.Fail(t, "the run does not end", "%s", printed.String())
	}
	var exited *exec.ExitError
	if err != nil && !errors.As(err, &exited) {
		require.NoError(t, err)
	}
	require.Empty(t, remainingProcesses(t, mark), "services")
	require.Empty(t, remainingProcesses(t, tmp+"/"), "guardian")
	records, err := filepath.Glob(filepath.Join(tmp, "*", "*"))
	require.NoError(t, err)
	require.Empty(t, records)
	byCode := map[int]string{0: "passed", 1: "failed", 3: "inconclusive", 4: "stopped", 5: "unwritten", refusedCode: "refused", panicCode: "killed", exitedCode: "killed", -1: "killed"}
	return byCode[cmd.ProcessState.ExitCode()], printed.String()
}

// awaitLive waits until a fault is live in the journal, and reports whether that happened before the run ended.
func awaitLive(dir string, ended chan error) bool {
	for {
		raw, _ := os.ReadFile(filepath.Join(dir, "runs", "latest", "journal.ndjson"))
		if bytes.Contains(raw, []byte(`"stage":"live"`)) {
			return true
		}
		select {
		case err := <-ended:
			ended <- err
			return false
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// runsOn mounts a small file system at the folder of runs.
func runsOn(options string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		if os.Geteuid() != 0 {
			machine.Need(t, errors.New("mounting needs root"), "")
		}
		runs := filepath.Join(dir, "runs")
		flags, data := uintptr(0), options
		if options == "ro" {
			flags, data = unix.MS_RDONLY, ""
		}
		require.NoError(t, unix.Mount("firedrill-test", runs, "tmpfs", flags, data))
		t.Cleanup(func() { assert.NoError(t, unix.Unmount(runs, 0), "nothing may be open there") })
	}
}

// reportsFollow verifies that no part of a report was left, and that the reports can be written once there is room. They
// say what the journal says.
func reportsFollow(t *testing.T, dir, out string) {
	require.Contains(t, out, `the outcome is "passed", as its journal says, but reports are missing`)
	require.FileExists(t, filepath.Join(dir, "runs", "latest", "junit.xml"), "what is small has room")
	parts, err := filepath.Glob(filepath.Join(dir, "runs", "latest", "*.part"))
	require.NoError(t, err)
	require.Empty(t, parts)
	require.NoError(t, unix.Mount("firedrill-test", filepath.Join(dir, "runs"), "tmpfs", unix.MS_REMOUNT, "size=16m"))
	raw, err := os.ReadFile(filepath.Join(dir, "runs", "latest", "journal.ndjson"))
	require.NoError(t, err)
	book, err := journal.Fold(bytes.NewReader(raw))
	require.NoError(t, err)
	require.NoError(t, reports.Formats().WriteDir(filepath.Join(dir, "runs", "latest"), book))
	text, err := os.ReadFile(filepath.Join(dir, "runs", "latest", "report.txt"))
	require.NoError(t, err)
	require.Contains(t, string(text), "PASSED")
}

// takePort listens at the port of the link.
func takePort(t *testing.T, dir string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	path := filepath.Join(dir, "system.yaml")
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(ln.Addr().String())
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, bytes.ReplaceAll(raw, []byte("PORT"), []byte(port)), 0o600))
}

func signalGroup(sig syscall.Signal) func(*testing.T, string, int) {
	return func(t *testing.T, _ string, pid int) { require.NoError(t, syscall.Kill(-pid, sig)) }
}

// logIsCut verifies that the log of the service was cut, with a note.
func logIsCut(t *testing.T, dir string, _ string) {
	logs, err := filepath.Glob(filepath.Join(dir, "runs", "latest", "scenarios", "*", "logs", "web.log"))
	require.NoError(t, err)
	require.Len(t, logs, 1)
	info, err := os.Stat(logs[0])
	require.NoError(t, err)
	require.LessOrEqual(t, info.Size(), int64(64<<20))
	raw, err := os.ReadFile(logs[0])
	require.NoError(t, err)
	require.Contains(t, string(raw), "--- truncated: the log had grown to ")
}

package truth

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// under names conditions under which no verdict may be wrong. With half a core, or beside other programs, a drill may
// be inconclusive; it is then not run again.
var under = flag.String("under", "", `"half": drills have half a core; "load": other programs use all cores; "clock": the wall clock steps by an hour, back and forth`)

// limited reports whether drills may be inconclusive under the conditions.
func limited() bool { return *under == "half" || *under == "load" }

// halfACore returns the arguments that run a command, and all that it starts, with half a core.
func halfACore(t *testing.T, command []string) []string {
	t.Helper()
	parent, limit, text := "/sys/fs/cgroup", "cpu.max", "50000 100000" // cgroup v2
	if _, err := os.Stat(parent + "/cgroup.controllers"); err != nil {
		parent, limit, text = parent+"/cpu", "cpu.cfs_quota_us", "50000" // of 100 ms
	}
	group, err := os.MkdirTemp(parent, "firedrill")
	require.NoError(t, err, "half a core needs control groups, and root")
	t.Cleanup(func() { assert.NoError(t, os.Remove(group)) })
	require.NoError(t, os.WriteFile(group+"/"+limit, []byte(text), 0o600))
	return append([]string{"sh", "-c", `echo $$ >"$0"/cgroup.procs && exec "$@"`, group}, command...)
}

// burnCPU uses all cores until the test ends.
func burnCPU(t *testing.T) {
	for range runtime.NumCPU() {
		cmd := exec.Command("sh", "-c", "while :; do :; done")
		require.NoError(t, cmd.Start())
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	}
}

// stepped replaces the wall clock's reading in time.Now: it is right, an hour late, right, and an hour early, each for
// half a second. The monotonic clock is left alone, as it is when an administrator or NTP sets the time.
const stepped = `sec, nsec, mono := runtimeNow()
	sec += []int64{0, -3600, 0, 3600}[mono/500_000_000%4]`

// stepClock returns the flag of go build that replaces time.Now.
func stepClock(t *testing.T) string {
	t.Helper()
	source := filepath.Join(runtime.GOROOT(), "src/time/time.go") //nolint:staticcheck // the tests run where Go is installed
	raw, err := os.ReadFile(source)
	require.NoError(t, err)
	now := regexp.MustCompile(`(func Now\(\) Time \{\n\t)sec, nsec, mono := runtimeNow\(\)`)
	require.Regexp(t, now, string(raw))
	replaced, overlay := filepath.Join(scratch, "time.go"), filepath.Join(scratch, "overlay.json")
	require.NoError(t, os.WriteFile(replaced, now.ReplaceAll(raw, []byte("${1}"+stepped)), 0o600))
	text, err := json.Marshal(map[string]any{"Replace": map[string]string{source: replaced}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(overlay, text, 0o600))
	return "-overlay=" + overlay
}

// TestClockSteps verifies that a program that is built with the flag of stepClock sees the wall clock step, and its
// monotonic clock not.
func TestClockSteps(t *testing.T) {
	if *under != "clock" {
		t.Skip(`builds Go's library; run it with -under clock`)
	}
	file := filepath.Join(t.TempDir(), "main.go")
	require.NoError(t, os.WriteFile(file, []byte(`package main

import ("fmt"; "time")

func main() {
	began := time.Now()
	least, most := began.Unix(), began.Unix()
	for time.Since(began) < 2*time.Second {
		now := time.Now().Unix()
		least, most = min(least, now), max(most, now)
		time.Sleep(10*time.Millisecond)
	}
	fmt.Print(most-least > 7000)
}
`), 0o600))
	out, err := exec.Command("go", "run", stepClock(t), file).CombinedOutput() //nolint:gosec // our own program
	require.NoError(t, err, "%s", out)
	require.Equal(t, "true", string(out), "the wall clock did not step by two hours in all")
}

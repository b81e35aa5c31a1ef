//go:build linux

package runner_test

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/process"
)

var kills = flag.Int("kills", 8, "how many runs TestKilledRunsLeaveNothing kills")

// killableKinds returns the kinds of faults, each with a service that it acts on or that its link
// leads to.
func killableKinds() (all [][2]string) {
	for _, k := range injector.Kinds() {
		all = append(all, [2]string{k.Name, "back"}, [2]string{k.Name, "db"})
	}
	return all
}

// TestKilledRunsLeaveNothing kills runs with SIGKILL at random moments, -kills of them.
func TestKilledRunsLeaveNothing(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", filepath.Join(dir, "tmp"))
	require.NoError(t, os.Mkdir(os.TempDir(), 0o700))
	seed := uint64(time.Now().UnixNano()) //nolint:gosec // any number will do
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // only determines when to kill
	kinds := killableKinds()
	random.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
	cleaned := 0
	for i := range *kills {
		kind, on := kinds[i%len(kinds)][0], kinds[i%len(kinds)][1]
		name := kind + " on " + on
		mark := fmt.Sprintf("killed-%d-%d", os.Getpid(), i)
		run := filepath.Join(dir, fmt.Sprint(i))
		require.NoError(t, os.Mkdir(run, 0o700))
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), "ROLE=killed", "FAULT="+kind, "ON="+on, "DIR="+run, "MARK="+mark)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		require.NoError(t, cmd.Start())
		after := time.Duration(random.Int64N(int64(4 * time.Second)))
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case <-time.After(after):
			require.NoError(t, cmd.Process.Kill())
			<-ended
		case <-ended:
		}
		notes, err := process.Reclaim()
		require.NoError(t, err, "%s, killed after %v", name, after)
		cleaned += len(notes)
		require.Empty(t, remainingProcesses(t, mark), "%s, killed after %v; %v\n%s", name, after, notes, out.String())
		require.NoFileExists(t, filepath.Join(run, "db.sock"), "%s, killed after %v", name, after)
		files, err := filepath.Glob(filepath.Join(os.TempDir(), "*", "*"))
		require.NoError(t, err)
		require.Empty(t, files)
		require.NoError(t, os.RemoveAll(run))
	}
	require.Positive(t, cleaned, "some left something, which was found")
	t.Logf("%d runs were killed, %d of them left something that was found", *kills, cleaned)
}

func TestKillableKindsAreComplete(t *testing.T) {
	for _, k := range killableKinds() {
		_, err := underFault(k[0], k[1], "/db.sock")
		assert.NoError(t, err, "%s", k)
	}
}

// remainingProcesses returns the processes with a mark among their arguments. It waits for processes
// that are being killed.
func remainingProcesses(t *testing.T, mark string) []string {
	t.Helper()
	var found []string
	for range 200 { // the kernel kills the children of the runner with some delay
		found = nil
		paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
		require.NoError(t, err)
		for _, path := range paths {
			if raw, err := os.ReadFile(path); err == nil && bytes.Contains(raw, []byte(mark)) {
				found = append(found, path+" "+strings.ReplaceAll(string(raw), "\x00", " "))
			}
		}
		if len(found) == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return found
}

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
	"sync"
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

// TestKilledRunsLeaveNothing kills runs with SIGKILL at random moments, -kills of them, and cleans up.
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
	for begin := 0; begin < *kills; begin += killedTogether {
		var runs sync.WaitGroup
		var killed []*killedRun
		for i := begin; i < min(begin+killedTogether, *kills); i++ {
			r := &killedRun{
				kind: kinds[i%len(kinds)][0], on: kinds[i%len(kinds)][1], dir: filepath.Join(dir, fmt.Sprint(i)),
				mark: fmt.Sprintf("killed-%d-%d", os.Getpid(), i), after: time.Duration(random.Int64N(int64(4 * time.Second))),
			}
			require.NoError(t, os.Mkdir(r.dir, 0o700))
			killed = append(killed, r)
			runs.Go(func() { r.err = r.run() })
		}
		runs.Wait()
		notes, err := process.Reclaim()
		require.NoError(t, err)
		cleaned += len(notes)
		for _, r := range killed {
			require.NoError(t, r.err)
			require.Empty(t, remainingProcesses(t, r.mark), "%s on %s, killed after %v; %v\n%s", r.kind, r.on, r.after, notes, r.out.String())
			require.NoFileExists(t, filepath.Join(r.dir, "db.sock"), "%s on %s, killed after %v", r.kind, r.on, r.after)
			require.NoError(t, os.RemoveAll(r.dir))
		}
		files, err := filepath.Glob(filepath.Join(os.TempDir(), "*", "*"))
		require.NoError(t, err)
		require.Empty(t, files)
	}
	require.Positive(t, cleaned, "none of the runs left anything")
	t.Logf("of %d killed runs, %d things were cleaned up", *kills, cleaned)
}

// killedTogether is how many runs are killed before their leftovers are cleaned up.
const killedTogether = 4

// killedRun is a run in a process of its own that is killed after a time.
type killedRun struct {
	kind, on  string // the fault, and the service that it acts on
	dir, mark string
	after     time.Duration
	out       bytes.Buffer
	err       error
}

// run starts the run and kills it, unless it ends before that.
func (r *killedRun) run() error {
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), "ROLE=killed", "FAULT="+r.kind, "ON="+r.on, "DIR="+r.dir, "MARK="+r.mark)
	cmd.Stdout, cmd.Stderr = &r.out, &r.out
	if err := cmd.Start(); err != nil {
		return err
	}
	kill := time.AfterFunc(r.after, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	_ = cmd.Wait() // the exit status does not matter
	return nil
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

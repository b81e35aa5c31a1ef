//go:build linux

package runner_test

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/reports"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

var kills = flag.Int("kills", 30, "how many runs TestKilledRunsLeaveNothing kills")

// killableKinds returns the kinds of faults, each with a service that it acts on or that its link
// leads to.
func killableKinds() (all [][2]string) {
	for _, k := range injector.Kinds() {
		all = append(all, [2]string{k.Name, "back"}, [2]string{k.Name, "db"})
	}
	return all
}

// TestKilledRunsLeaveNothing kills runs with SIGKILL at random moments, -kills of them: the program, or its whole process
// group. Their guardians clean up, their journals can be read, and none of them has passed.
func TestKilledRunsLeaveNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	tmp := filepath.Join(dir, "tmp")
	require.NoError(t, os.Mkdir(tmp, 0o700))
	seed := uint64(time.Now().UnixNano()) //nolint:gosec // any number will do
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // only determines when to kill
	kinds := killableKinds()
	random.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
	ends := map[string]int{}
	for begin := 0; begin < *kills; begin += killedTogether {
		var runs sync.WaitGroup
		var killed []*killedRun
		for i := begin; i < min(begin+killedTogether, *kills); i++ {
			r := &killedRun{
				kind: kinds[i%len(kinds)][0], on: kinds[i%len(kinds)][1], dir: filepath.Join(dir, fmt.Sprint(i)), tmp: tmp, group: random.IntN(2) == 0,
				mark: fmt.Sprintf("killed-%d-%d", os.Getpid(), i), after: time.Duration(random.Int64N(int64(6 * time.Second))),
			}
			require.NoError(t, os.Mkdir(r.dir, 0o700))
			killed = append(killed, r)
			runs.Go(func() { r.err = r.run() })
		}
		runs.Wait()
		for _, r := range killed {
			require.NoError(t, r.err)
			require.Empty(t, r.left(t), "%s\n%s", r, r.out.String())
			ends[r.end(t)]++
			require.NoError(t, os.RemoveAll(r.dir))
		}
		require.Empty(t, remainingProcesses(t, tmp+"/"), "guardians")
		files, err := filepath.Glob(filepath.Join(tmp, "*", "*"))
		require.NoError(t, err)
		require.Empty(t, files, "records")
		if done := min(begin+killedTogether, *kills); done%100 < killedTogether || done == *kills {
			t.Logf("%d runs, of which nothing is left: %v", done, ends)
		}
	}
	require.Positive(t, ends[underAFault]+ends[withoutAFault], "%v", ends)
}

// killedTogether is how many runs are killed at about the same time.
const killedTogether = 4

// killedRun is a run in a process of its own that is killed after a time.
type killedRun struct {
	kind, on  string // the fault, and the service that it acts on
	dir, mark string
	tmp       string // the folder of the guardians' records
	after     time.Duration
	group     bool // its process group is killed, too
	out       bytes.Buffer
	err       error
}

func (r *killedRun) String() string {
	return fmt.Sprintf("%s on %s, killed after %v, with its group: %v", r.kind, r.on, r.after, r.group)
}

// run starts the run and kills it, unless it ends before that.
func (r *killedRun) run() error {
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), "ROLE=killed", "FAULT="+r.kind, "ON="+r.on, "DIR="+r.dir, "MARK="+r.mark, "TMPDIR="+r.tmp)
	cmd.Stdout, cmd.Stderr = &r.out, &r.out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	kill := time.AfterFunc(r.after, func() {
		if r.group {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		} else {
			_ = cmd.Process.Kill()
		}
	})
	defer kill.Stop()
	_ = cmd.Wait() // the exit status does not matter
	return nil
}

// How a run ended.
const (
	beforeTheJournal = "killed before there was a journal"
	withoutAFault    = "killed without a live fault"
	underAFault      = "killed under a fault"
	byItself         = "ended by itself"
)

// left returns what is left of the run, seen from outside. It waits for what is being undone.
func (r *killedRun) left(t *testing.T) (all []string) {
	t.Helper()
	for range 1000 {
		all = append(processesWith(t, r.mark), mountsBelow(t, r.dir)...)
		if _, err := os.Lstat(filepath.Join(r.dir, "db.sock")); err == nil {
			all = append(all, "the socket db.sock")
		}
		if len(all) == 0 {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return all
}

// mountsBelow returns the file systems that are mounted below a folder, and the loop devices whose images are there.
func mountsBelow(t *testing.T, dir string) (all []string) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	require.NoError(t, err)
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, dir+"/") {
			all = append(all, "mount "+line)
		}
	}
	images, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	require.NoError(t, err)
	for _, path := range images {
		if image, _ := os.ReadFile(path); strings.HasPrefix(string(image), dir+"/") {
			all = append(all, path+" "+string(image))
		}
	}
	return all
}

// end reads the journal of the run and describes how it ended. It fails if the journal cannot be read, or claims more than
// was proved.
func (r *killedRun) end(t *testing.T) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(r.dir, "runs", "2*", "journal.ndjson"))
	require.NoError(t, err)
	if len(names) == 0 {
		return beforeTheJournal
	}
	raw, err := os.ReadFile(names[0])
	require.NoError(t, err)
	if !bytes.ContainsRune(raw, '\n') {
		return beforeTheJournal
	}
	book, err := journal.Fold(bytes.NewReader(raw))
	require.NoError(t, err, "%s", r)
	require.NoError(t, reports.Text(io.Discard, book, false))
	if book.End != nil {
		require.Equal(t, reports.Outcome(book), book.End.Outcome)
		return byItself
	}
	require.Equal(t, "inconclusive", reports.Outcome(book), "%s", r)
	for _, h := range book.Scenarios {
		if slices.ContainsFunc(h.Faults, func(f *journal.Injection) bool { return f.Live > 0 && f.Healed == 0 }) {
			return underAFault
		}
	}
	return withoutAFault
}

func TestKillableKindsAreComplete(t *testing.T) {
	for _, k := range killableKinds() {
		_, err := underFault(k[0], k[1], "/db.sock")
		assert.NoError(t, err, "%s", k)
	}
}

// remainingProcesses returns the processes with a mark among their arguments. It waits for processes
// that are being killed.
func remainingProcesses(t *testing.T, mark string) (found []string) {
	t.Helper()
	for range 1000 {
		if found = processesWith(t, mark); len(found) == 0 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	return found
}

func processesWith(t *testing.T, mark string) (found []string) {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	for _, path := range paths {
		if raw, err := os.ReadFile(path); err == nil && bytes.Contains(raw, []byte(mark)) {
			found = append(found, path+" "+strings.ReplaceAll(string(raw), "\x00", " "))
		}
	}
	return found
}

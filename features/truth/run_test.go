package truth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// got is the result of a row.
type got struct {
	outcome string   // as in row
	reasons string   // all reasons, a line each
	failed  []string // checks
	kinds   []string // kinds and outcomes of all checks, as "success: failed"
	sent    int      // requests sent by the load generator
	left    []string // command lines of processes that outlived the run
}

// outcomes are the outcomes by exit code.
var outcomes = map[int]string{0: "passed", 1: "failed", 2: "problem", 3: "inconclusive", 4: "stopped", 130: "interrupted"}

// run runs the program in the folder of a row.
func (r row) run(t *testing.T, f folder, path string, seed int) (got, error) {
	var g got
	paths := r.paths
	if paths == nil {
		paths = []string{"a.feature"}
	}
	for range max(1, r.runs) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		defer cancel()
		var errors bytes.Buffer
		cmd := exec.CommandContext(ctx, path, append([]string{"run", "--parallel", strconv.Itoa(max(1, r.parallel)), "--seed", strconv.Itoa(seed), "--dir", "runs"}, paths...)...)
		if *under == "half" {
			cmd.Args = halfACore(t, append([]string{path}, cmd.Args[1:]...))
			cmd.Path = "/bin/sh"
		}
		cmd.Dir, cmd.Env, cmd.Stderr = f.dir, append(os.Environ(), marker+f.dir), &errors
		code, err := r.wait(cmd, f)
		if err != nil {
			return g, err
		}
		if g, err = read(f, code, errors.String()); err != nil {
			return g, err
		}
	}
	g.left = leftBehind(f.dir)
	return g, nil
}

// wait runs the program with the file limit of the row, and r.beside meanwhile, and returns the exit code.
func (r row) wait(cmd *exec.Cmd, f folder) (int, error) {
	if r.descriptors > 0 {
		cmd.Args = append([]string{"sh", "-c", `ulimit -n "$0" && exec "$@"`, strconv.Itoa(r.descriptors), cmd.Path}, cmd.Args[1:]...)
		cmd.Path = "/bin/sh"
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	ended := make(chan struct{})
	var besides sync.WaitGroup
	if r.beside != nil {
		besides.Go(func() { r.beside(cmd.Process.Pid, func() bool { return awaitLive(f.dir, ended) }) })
	}
	err := cmd.Wait()
	close(ended)
	besides.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 0, err
	}
	if code := cmd.ProcessState.ExitCode(); code >= 0 {
		return code, nil
	}
	return 0, fmt.Errorf("the program was killed: %w", err)
}

// awaitLive waits until the journal has a live fault. It returns false if the run ends before that.
func awaitLive(dir string, ended <-chan struct{}) bool {
	for {
		raw, _ := os.ReadFile(dir + "/runs/latest/journal.ndjson")
		if bytes.Contains(raw, []byte(`"stage":"live"`)) {
			return true
		}
		select {
		case <-ended:
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// read returns the outcome of a run, from its exit code and journal.
func read(f folder, code int, errorText string) (got, error) {
	g := got{outcome: outcomes[code]}
	if g.outcome == "" {
		return g, fmt.Errorf("exit code %d: %s", code, errorText)
	}
	if g.outcome == "problem" {
		g.reasons = errorText
		return g, nil
	}
	file, err := os.Open(f.dir + "/runs/latest/journal.ndjson")
	if err != nil {
		return g, err
	}
	defer file.Close()
	book, err := journal.Fold(file)
	if err != nil {
		return g, err
	}
	var reasons []string
	for _, h := range book.Scenarios {
		if h.End != nil && h.End.Reason != "" {
			reasons = append(reasons, h.End.Reason)
		}
		if h.Load != nil {
			g.sent += h.Load.Sent
		}
		for _, v := range h.Verdicts {
			g.kinds = append(g.kinds, v.Kind+": "+v.Outcome)
			if v.Outcome == "failed" {
				g.failed = append(g.failed, v.Check)
			}
			if v.Outcome != "passed" {
				reasons = append(reasons, fmt.Sprintf("%s: %s: observed %s; %s", v.Check, v.Outcome, v.Observed, v.Reason))
			}
		}
	}
	g.reasons = strings.Join(reasons, "\n")
	return g, nil
}

// marker begins an environment variable of all processes that a row starts.
const marker = "TRUTH_ROW="

// leftBehind kills processes of a folder that do not end in time, and returns their command lines, and mounts below it.
func leftBehind(dir string) []string {
	var pids []int
	for deadline := time.Now().Add(2 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if pids = processesOf(dir); len(pids) == 0 || time.Now().After(deadline) {
			break
		}
	}
	var left []string
	for _, pid := range pids {
		command, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		left = append(left, strings.TrimSpace(strings.ReplaceAll(string(command), "\x00", " ")))
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	mounts, _ := os.ReadFile("/proc/self/mounts")
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, " "+dir+"/") {
			left = append(left, "the mount "+strings.TrimSpace(line))
		}
	}
	slices.Sort(left)
	return slices.Compact(left)
}

// processesOf returns the processes with the marker of a folder in their environment, or with a working
// directory in it: daemons may overwrite their environment.
func processesOf(dir string) []int {
	entries, _ := os.ReadDir("/proc")
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		env, _ := os.ReadFile("/proc/" + e.Name() + "/environ")
		cwd, _ := os.Readlink("/proc/" + e.Name() + "/cwd")
		if slices.Contains(strings.Split(string(env), "\x00"), marker+dir) || cwd == dir || strings.HasPrefix(cwd, dir+"/") {
			pids = append(pids, pid)
		}
	}
	return pids
}

package process

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestReadyLineOfProgramThatExits checks that a program that prints the ready line and exits is never
// reported as ready.
func TestReadyLineOfProgramThatExits(t *testing.T) {
	for range 10 {
		sp := Spec{Name: "web", Args: []string{"sh", "-c", "echo listening"}, Log: filepath.Join(t.TempDir(), "log"), Ready: Ready{Line: regexp.MustCompile("listening"), Within: patience}}
		_, err := Start(t.Context(), sp)
		require.EqualError(t, err, "start service \"web\": it exited before it was ready: exit status 0; the end of its log:\n    listening")
	}
}

func TestUnexpectedExitIncludesLog(t *testing.T) {
	changes := &events{}
	sp := Spec{Name: "web", Args: []string{"sh", "-c", "echo up; while [ ! -e end ]; do sleep 0.01; done; echo out of memory >&2; exit 7"}, Dir: t.TempDir(), Log: filepath.Join(t.TempDir(), "log")}
	sp.Ready, sp.Event = Ready{Line: regexp.MustCompile("^up$"), Within: patience}, changes.add
	s, err := Start(t.Context(), sp)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(sp.Dir, "end"), nil, 0o600))
	require.Eventually(t, func() bool { return !s.Running() }, patience, 5*time.Millisecond)
	last := changes.last()
	require.Equal(t, "exited", last.What)
	require.Equal(t, "exit status 7", last.Detail)
	require.Equal(t, "up\nout of memory", last.Log)
	require.True(t, last.Ready)
	raw, err := os.ReadFile(sp.Log)
	require.NoError(t, err)
	require.Equal(t, "--- started: \"sh\"\nup\nout of memory\n", string(raw), "without arguments, which may hold secrets")
}

// A service that exited by itself is reported as such, even if it is stopped before the exit was noticed.
func TestExitBeforeStop(t *testing.T) {
	for range 10 {
		changes := &events{}
		sp := spec(filepath.Join(t.TempDir(), "log"), "sleeper", "")
		sp.Event = changes.add
		s, err := Start(t.Context(), sp)
		require.NoError(t, err)
		r := s.current()
		require.NoError(t, syscall.Kill(s.PID(), syscall.SIGKILL))
		for !r.exited() {
		}
		require.NoError(t, s.Stop(t.Context()))
		require.Equal(t, "exited", changes.last().What)
		require.Equal(t, "signal: killed", changes.last().Detail)
	}
}

func TestStopSignal(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	sp := spec(log, "interruptible", "")
	sp.Signal, sp.Grace = "SIGINT", patience
	sp.Ready = Ready{Line: regexp.MustCompile("waits"), Within: patience}
	s, err := Start(t.Context(), sp)
	require.NoError(t, err)
	require.NoError(t, s.Stop(t.Context()))
	raw, err := os.ReadFile(log)
	require.NoError(t, err)
	require.Contains(t, string(raw), "got interrupt")

	sp.Signal = "SIGKILL"
	_, err = Start(t.Context(), sp)
	require.ErrorContains(t, err, `"SIGKILL" is not a stop signal: use one of SIGHUP, SIGINT`)
}

func TestRetiredServiceIsNotStarted(t *testing.T) {
	sp := spec(filepath.Join(t.TempDir(), "log"), "sleeper", "")
	sp.Ready = Ready{Line: regexp.MustCompile("never"), Within: time.Hour}
	s, err := newService(sp)
	require.NoError(t, err)
	began := make(chan struct{})
	s.spec.Event = func(e Event) {
		if e.What == Started {
			close(began)
		}
	}
	ended := make(chan error)
	go func() { ended <- s.Restart(t.Context()) }()
	<-began
	s.Retire()
	require.NoError(t, <-ended, "a start that is under way ends at once")
	require.False(t, s.Running())
	require.NoError(t, s.Restart(t.Context()))
	require.False(t, s.Running())
}

func TestCanceledStartLeavesNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	sp := spec(filepath.Join(t.TempDir(), "log"), "sleeper", "")
	sp.Ready = Ready{Line: regexp.MustCompile("never"), Within: time.Hour}
	sp.Event = func(e Event) {
		if e.What == Started {
			cancel()
		}
	}
	s, err := Start(ctx, sp)
	require.ErrorIs(t, err, context.Canceled)
	require.False(t, s.Running())
}

func TestTruncateLogWhileItIsWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	defer f.Close()
	write := func(s string) {
		_, err := f.WriteString(s)
		require.NoError(t, err)
	}
	write("the beginning\n" + strings.Repeat("x", 2<<20) + "\n")
	require.NoError(t, truncateLog(path, 4<<20, 14))
	require.NoError(t, truncateLog(path, 1<<20, 14))
	write("afterwards\n")
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "the beginning\n\n--- truncated: the log had grown to 2 MiB; everything from here until now was removed\nafterwards\n", string(raw))
	require.ErrorIs(t, truncateLog(path+"x", 1, 1), os.ErrNotExist)
}

func TestTailAllocatesLittle(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	f, err := os.Create(path)
	require.NoError(t, err)
	defer f.Close()
	_, err = f.WriteAt([]byte("\nthe\xff end\n"), 300<<20)
	require.NoError(t, err)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	text := tail(path, 5)
	runtime.ReadMemStats(&after)
	require.True(t, strings.HasSuffix(text, "\nthe\uFFFD end"), "%q", text[max(0, len(text)-30):])
	require.LessOrEqual(t, len(text), maxTailShown+4)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20))
	require.Empty(t, tail(path+"x", 0))
}

func TestFinderAcrossPartialWrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	f, err := os.Create(path)
	require.NoError(t, err)
	defer f.Close()
	write := func(s string) {
		_, err := f.WriteString(s)
		require.NoError(t, err)
	}
	write("ready of the life before\n")
	line := &finder{path: path, at: 25}
	pattern := regexp.MustCompile("^ready (to|for) accept$")
	require.False(t, line.next(pattern))
	write(strings.Repeat("a long line ", 20_000) + "\nready ")
	require.False(t, line.next(pattern))
	write("to acc")
	require.False(t, line.next(pattern))
	write("ept\r\nmore\n")
	require.True(t, line.next(pattern))
	require.True(t, line.next(pattern))

	cut := &finder{path: path, at: 1 << 30}
	require.True(t, cut.next(pattern), "a log that was cut is read from its beginning")
}

package runner

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/runner/internal/load"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

func TestWatchdogRecordsPauses(t *testing.T) {
	began := time.Now()
	var pauses []journal.Pause
	w := newWatchdog(func(at time.Time) time.Duration { return at.Sub(began) }, func(p journal.Pause) { pauses = append(pauses, p) })
	w.begin(began)
	at := func(d time.Duration) time.Time { return began.Add(d) }
	for _, d := range []time.Duration{10, 20, 130, 140, 260, 270} {
		// Late by 100 ms, which does not exceed LongPause, and by 110 ms.
		w.tick(at(d * time.Millisecond))
	}
	require.Equal(t, []journal.Pause{{From: 140 * time.Millisecond, To: 260 * time.Millisecond, Took: 120 * time.Millisecond}}, pauses)
	for _, c := range []struct {
		from, to time.Duration
		want     bool
	}{{0, 139, false}, {0, 140, true}, {200, 210, true}, {260, 400, true}, {261, 265, false}} {
		w.begin(time.Now()) // so that no pause is in progress
		assert.Equal(t, c.want, w.overlapsPause(c.from*time.Millisecond, c.to*time.Millisecond), "%d to %d", c.from, c.to)
	}
}

// Requests that end as soon as the runner continues are marked, even if the watchdog has not ticked
// yet.
func TestPauseCountsBeforeItIsRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		w := newWatchdog(func(at time.Time) time.Duration { return at.Sub(began) }, func(journal.Pause) {})
		time.Sleep(111 * time.Millisecond)
		assert.True(t, w.overlapsPause(0, 111*time.Millisecond))
		assert.False(t, w.overlapsPause(-2, -1))
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWatchdog(func(at time.Time) time.Duration { return 0 }, func(journal.Pause) { t.Error("a tick that is in time records a pause") })
		quit := make(chan struct{})
		time.AfterFunc(time.Minute, func() { close(quit) })
		w.run(quit)
	})
}

// The monotonic clock stops while a machine sleeps.
func TestMachineSleepIsAPause(t *testing.T) {
	var pauses []journal.Pause
	began := time.Now()
	w := newWatchdog(func(at time.Time) time.Duration { return at.Sub(began) }, func(p journal.Pause) { pauses = append(pauses, p) })
	slept := time.Hour // before the run
	w.asleep = func() time.Duration { return slept }
	w.begin(began)
	slept += 2 * time.Second
	assert.True(t, w.overlapsPause(0, time.Second))
	w.tick(began.Add(10 * time.Millisecond))
	w.tick(began.Add(20 * time.Millisecond))
	require.Len(t, pauses, 1)
	assert.Equal(t, 2*time.Second+10*time.Millisecond, pauses[0].Took)
}

// TestStoppedRunner stops a process that runs a load with SIGSTOP. Requests in flight are marked,
// and the pause is recorded with its length.
func TestStoppedRunner(t *testing.T) {
	if address := os.Getenv("FIREDRILL_TEST_STOPPED"); address != "" {
		stoppedChild(t, address)
		return
	}
	t.Parallel()
	arrived := make(chan struct{}, 1000)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done() // no answer: it times out, because of the pause or by itself
	}))
	defer server.Close()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestStoppedRunner$", "-test.v")
	cmd.Env = append(os.Environ(), "FIREDRILL_TEST_STOPPED="+strings.TrimPrefix(server.URL, "http://"))
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	<-arrived
	require.NoError(t, cmd.Process.Signal(syscall.SIGSTOP))
	time.Sleep(1500 * time.Millisecond) // the length of the pause; nothing waits for a result
	require.NoError(t, cmd.Process.Signal(syscall.SIGCONT))
	lines, err := io.ReadAll(bufio.NewReader(out))
	require.NoError(t, err)
	require.NoError(t, cmd.Wait(), string(lines))
	assert.Contains(t, string(lines), "paused=true timeout")
	assert.Regexp(t, `pause 1\.[4-9]|pause [2-9]\.`, string(lines))
}

func stoppedChild(t *testing.T, address string) {
	w := journal.NewWriter(io.Discard, time.Now())
	f := newFold()
	f.baseline = 0
	pauses := make(chan journal.Pause, 100)
	watchdog := newWatchdog(w.Since, func(p journal.Pause) { pauses <- p })
	f.paused = watchdog.overlapsPause
	quit := make(chan struct{})
	go watchdog.run(quit)
	over := make(chan struct{})
	l := &scenarios.Load{Rate: 1, Mix: []scenarios.Route{{Method: "GET", Path: "/", Share: 1}}, GiveUp: time.Second}
	c := load.NewClient(t.Context(), load.Config{Load: l, Address: func(string) string { return address }, Ended: func(e load.Result) {
		f.request(e, w.Since(e.Due), w.Since(e.End))
		close(over)
	}})
	defer c.Close()
	go c.Do(0, time.Now())
	<-over
	for _, e := range f.flush(1 << 62) {
		for kind := range e.Sample.Errors {
			fmt.Printf("paused=%v %s\n", e.Sample.Paused, kind)
		}
	}
	for {
		if p := <-pauses; p.Took > time.Second {
			fmt.Printf("pause %.3f\n", p.Took.Seconds())
			break
		}
	}
	close(quit)
}

func TestLateWindows(t *testing.T) {
	const ms = time.Millisecond
	sample := func(w journal.Window, from time.Duration, slip ...journal.Bucket) journal.Sample {
		return journal.Sample{From: from, To: from + time.Second, Window: w, Slip: slip}
	}
	h := &journal.History{
		Samples: []journal.Sample{
			sample(journal.Warmup, 0, journal.Bucket{Up: time.Second, N: 50}),
			sample(journal.Before, time.Second, journal.Bucket{Up: ms, N: 99}, journal.Bucket{Up: 50 * ms, N: 1}),
			sample(journal.During, 2*time.Second, journal.Bucket{Up: ms, N: 98}, journal.Bucket{Up: 50 * ms, N: 2}),
			sample(journal.After, 3*time.Second, journal.Bucket{Up: 20 * ms, N: 100}),
		},
	}
	assert.Empty(t, h.Late(journal.Before))
	assert.Contains(t, h.Late(journal.During), "was late")
	assert.Empty(t, h.Late(journal.After))
	h.Pauses = []journal.Pause{{From: 3500 * ms, To: 3700 * ms, Took: 200 * ms}}
	assert.Equal(t, "the runner was paused for 200ms from +3.5s", h.Late(journal.After))
	assert.Empty(t, h.Late(journal.Before))
	h.Samples[1].Paused = true
	assert.Contains(t, h.Late(journal.Before), "while requests were in flight")
}

// Paused requests add up with the other requests of their slice and can be left out.
func TestPausedRequestsAreSeparate(t *testing.T) {
	f := newDrilledFold()
	f.paused = func(from, _ time.Duration) bool { return from > 6*sec }
	for _, due := range []time.Duration{6 * sec, 6*sec + 1} {
		at := time.Now()
		f.request(load.Result{Route: "GET /", Outcome: load.Ambiguous, Kind: "timeout", Due: at, Attempts: []load.Attempt{{At: at.Add(30 * time.Millisecond)}}}, due, due+1)
	}
	h := &journal.History{}
	for _, e := range f.flush(1 << 62) {
		h.Samples = append(h.Samples, *e.Sample)
	}
	require.Len(t, h.Samples, 2)
	assert.Equal(t, 2, h.Sum(func(journal.Sample) bool { return true }).Errors["timeout"])
	assert.Equal(t, 1, h.Total(journal.During, "").Sent)
	assert.Equal(t, []journal.Bucket{{Up: 50 * time.Millisecond, N: 1}}, h.Samples[0].Slip)
}

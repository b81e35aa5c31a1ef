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
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/runner/internal/aggregate"
	"github.com/firedrill-dev/firedrill/runner/internal/load"
	"github.com/firedrill-dev/firedrill/runner/internal/watchdog"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

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
	pauses := make(chan journal.Pause, 100)
	dog := watchdog.New(w.Since, func(p journal.Pause) { pauses <- p })
	a := aggregate.New(aggregate.Settings{Paused: dog.Overlaps})
	a.BeginBaseline(0)
	quit := make(chan struct{})
	go dog.Run(quit)
	over := make(chan struct{})
	l := &scenarios.Load{Rate: 1, Mix: []scenarios.Route{{Method: "GET", Path: "/", Share: 1}}, GiveUp: time.Second}
	c := load.NewClient(t.Context(), load.Config{Load: l, Address: func(string) string { return address }, Ended: func(e load.Result) {
		a.Request(e, w.Since(e.Due), w.Since(e.End))
		close(over)
	}})
	defer c.Close()
	go c.Do(0, time.Now())
	<-over
	for _, e := range a.Flush(1 << 62) {
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

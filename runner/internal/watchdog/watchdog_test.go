package watchdog

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

func TestWatchdogRecordsPauses(t *testing.T) {
	began := time.Now()
	var pauses []journal.Pause
	w := New(func(at time.Time) time.Duration { return at.Sub(began) }, func(p journal.Pause) { pauses = append(pauses, p) })
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
		assert.Equal(t, c.want, w.Overlaps(c.from*time.Millisecond, c.to*time.Millisecond), "%d to %d", c.from, c.to)
	}
}

// Requests that end as soon as the runner continues are marked, even if the watchdog has not ticked
// yet.
func TestPauseCountsBeforeItIsRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		w := New(func(at time.Time) time.Duration { return at.Sub(began) }, func(journal.Pause) {})
		time.Sleep(111 * time.Millisecond)
		assert.True(t, w.Overlaps(0, 111*time.Millisecond))
		assert.False(t, w.Overlaps(-2, -1))
	})
	synctest.Test(t, func(t *testing.T) {
		w := New(func(at time.Time) time.Duration { return 0 }, func(journal.Pause) { t.Error("a tick that is in time records a pause") })
		quit := make(chan struct{})
		time.AfterFunc(time.Minute, func() { close(quit) })
		w.Run(quit)
	})
}

// The monotonic clock stops while a machine sleeps.
func TestMachineSleepIsAPause(t *testing.T) {
	var pauses []journal.Pause
	began := time.Now()
	w := New(func(at time.Time) time.Duration { return at.Sub(began) }, func(p journal.Pause) { pauses = append(pauses, p) })
	slept := time.Hour // before the run
	w.asleep = func() time.Duration { return slept }
	w.begin(began)
	slept += 2 * time.Second
	assert.True(t, w.Overlaps(0, time.Second))
	w.tick(began.Add(10 * time.Millisecond))
	w.tick(began.Add(20 * time.Millisecond))
	require.Len(t, pauses, 1)
	assert.Equal(t, 2*time.Second+10*time.Millisecond, pauses[0].Took)
}

// A pause counts as far as it overlaps the time that is asked about, also while it lasts.
func TestPaused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		w := New(func(at time.Time) time.Duration { return at.Sub(began) }, nil)
		w.pauses = []span{{from: time.Second, to: 3 * time.Second}}
		assert.Equal(t, time.Second, w.Paused(2*time.Second, 4*time.Second))
		time.Sleep(8 * time.Second)
		w.last = began.Add(7 * time.Second)
		assert.Equal(t, 2*time.Second, w.Paused(2*time.Second, 8*time.Second))
	})
}

package runner

import (
	"slices"
	"sync"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// watchdog records when the runner itself did not run: the process was stopped, or the machine froze,
// was suspended or had no CPU time left. It ticks every 10 ms. A tick that is late by more than
// journal.LongPause ends a pause that began with the previous tick. It compares both the monotonic and
// the wall clock, because the monotonic clock stops while a machine sleeps.
type watchdog struct {
	mu     sync.Mutex
	last   time.Time // time of the last tick
	pauses []span    // on the run's clock; only from and to are set
	since  func(time.Time) time.Duration
	record func(journal.Pause)
}

const watchEvery = 10 * time.Millisecond

func newWatchdog(since func(time.Time) time.Duration, record func(journal.Pause)) *watchdog {
	return &watchdog{last: time.Now(), since: since, record: record}
}

// run ticks until quit is closed.
func (w *watchdog) run(quit <-chan struct{}) {
	every := time.NewTicker(watchEvery)
	defer every.Stop()
	w.begin(time.Now())
	for {
		select {
		case <-quit:
			return
		case <-every.C:
			w.tick(time.Now())
		}
	}
}

func (w *watchdog) begin(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = now
}

// tick records that the runner is running now.
func (w *watchdog) tick(now time.Time) {
	w.mu.Lock()
	last := w.last
	w.last = now
	took := lasted(last, now)
	long := took > watchEvery+journal.LongPause
	p := journal.Pause{From: w.since(last), To: w.since(now), Took: took}
	if long {
		w.pauses = append(w.pauses, span{from: p.From, to: p.To})
	}
	w.mu.Unlock()
	if long {
		w.record(p)
	}
}

// lasted returns the time between two moments by the clock that advanced further.
func lasted(from, to time.Time) time.Duration {
	return max(to.Sub(from), to.Round(0).Sub(from.Round(0)))
}

// overlapsPause reports whether the time between from and to, on the run's clock, overlaps a pause. It
// includes a pause that is ending now and is not recorded yet.
func (w *watchdog) overlapsPause(from, to time.Duration) bool {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if lasted(w.last, now) > watchEvery+journal.LongPause && to >= w.since(w.last) {
		return true
	}
	for _, p := range w.pauses {
		if from <= p.to && to >= p.from {
			return true
		}
	}
	return false
}

// paused returns how long the runner did not run between from and to, on the run's clock. It includes
// a pause that is ending now and is not recorded yet.
func (w *watchdog) paused(from, to time.Duration) (sum time.Duration) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.pauses
	if lasted(w.last, now) > watchEvery+journal.LongPause {
		all = append(slices.Clone(all), span{from: w.since(w.last), to: w.since(now)})
	}
	for _, p := range all {
		sum += max(0, min(p.to, to)-max(p.from, from))
	}
	return sum
}

// Package watchdog detects that the runner itself did not run.
package watchdog

import (
	"slices"
	"sync"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Watchdog records when the runner itself did not run: the process was stopped, or the machine froze,
// was suspended or had no CPU time left. It ticks every 10 ms. A tick that is late by more than
// journal.LongPause ends a pause that began with the previous tick. The time that the machine slept is
// added, because the monotonic clock stops meanwhile. The wall clock is not asked: it may be set.
type Watchdog struct {
	mu     sync.Mutex
	last   time.Time     // time of the last tick
	slept  time.Duration // how long the machine had slept then
	asleep func() time.Duration
	pauses []span // on the run's clock
	since  func(time.Time) time.Duration
	record func(journal.Pause)
}

type span struct{ from, to time.Duration }

const watchEvery = 10 * time.Millisecond

// New returns a Watchdog that calls record with each pause when it is over. since converts a time to the run's clock.
func New(since func(time.Time) time.Duration, record func(journal.Pause)) *Watchdog {
	return &Watchdog{last: time.Now(), slept: asleep(), asleep: asleep, since: since, record: record}
}

// Run ticks until quit is closed.
func (w *Watchdog) Run(quit <-chan struct{}) {
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

func (w *Watchdog) begin(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last, w.slept = now, w.asleep()
}

// tick records that the runner is running now.
func (w *Watchdog) tick(now time.Time) {
	w.mu.Lock()
	last, took := w.last, w.lasted(now)
	w.last, w.slept = now, w.asleep()
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

// lasted returns the time since the last tick, in which the machine may have slept.
func (w *Watchdog) lasted(now time.Time) time.Duration {
	slept := w.asleep() - w.slept
	if slept < watchEvery { // two clocks are not read at the same moment
		slept = 0
	}
	return now.Sub(w.last) + slept
}

// Overlaps reports whether the time between from and to, on the run's clock, overlaps a pause. It
// includes a pause that is ending now and is not recorded yet.
func (w *Watchdog) Overlaps(from, to time.Duration) bool {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lasted(now) > watchEvery+journal.LongPause && to >= w.since(w.last) {
		return true
	}
	for _, p := range w.pauses {
		if from <= p.to && to >= p.from {
			return true
		}
	}
	return false
}

// Paused returns how long the runner did not run between from and to, on the run's clock. It includes
// a pause that is ending now and is not recorded yet.
func (w *Watchdog) Paused(from, to time.Duration) (sum time.Duration) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.pauses
	if w.lasted(now) > watchEvery+journal.LongPause {
		all = append(slices.Clone(all), span{from: w.since(w.last), to: w.since(now)})
	}
	for _, p := range all {
		sum += max(0, min(p.to, to)-max(p.from, from))
	}
	return sum
}

package runner

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// recent is what finished since the last tick.
type recent struct {
	requests, errors int
	latency          *hdrhistogram.Histogram
}

// tally counts requests that ended, and the good ones among them.
type tally struct{ all, good int }

// sent notes a request that is under way from now on, until it is folded.
func (f *fold) sent(n uint64, due time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting[n] = due
}

// tick is the live picture since the last one.
func (f *fold) tick(every time.Duration) journal.Tick {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := journal.Tick{Rate: float64(f.recent.requests) / every.Seconds(), P99: time.Duration(f.recent.latency.ValueAtQuantile(99)) * time.Microsecond, Errors: f.recent.errors}
	f.recent.requests, f.recent.errors = 0, 0
	f.recent.latency.Reset()
	return t
}

// success is the share of requests that succeeded among those that ended since t, and those that have been waiting since before it: a system that hangs
// ends nothing, and is no success. ok is false when there were none.
func (f *fold) success(t time.Duration) (ratio float64, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all, good := 0, 0
	for second, n := range f.ended {
		if time.Duration(second)*time.Second >= t {
			all += n.all
			good += n.good
		}
	}
	for _, due := range f.waiting {
		if due < t {
			all++
		}
	}
	return float64(good) / float64(max(1, all)), all > 0
}

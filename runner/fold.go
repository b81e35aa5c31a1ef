package runner

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// fold aggregates requests and calls in slices of at most a second, so that memory grows with time and
// not with the load. A new slice starts at each mark: a phase, an injection, a heal.
type fold struct {
	mu            sync.Mutex
	marks         []time.Duration // in ascending order
	baseline      time.Duration   // requests due earlier belong to the warm-up
	faults        []*span
	samples       map[sliceKey]*sampleBuilder
	calls         map[sliceKey]*callsBuilder
	loadEnd       time.Duration    // calls that began later do not count as the load's
	endedCalls    map[string]int64 // by link: number of calls that have ended
	recent        recent
	inFlight      map[requestID]inFlightRequest
	endedRequests map[int64]endCount // by the tenth of a second in which they ended

	outages           []*outage
	horizon           time.Duration   // how far back stop rules look
	limits            []time.Duration // of the latency, that stop rules ask about
	slowest           time.Duration   // longest latency of a successful request
	fallbackIsSuccess bool            // from the scenario's definition of success
	paused            func(from, to time.Duration) bool
}

// sliceKey identifies the slice that a request or a call is counted in.
type sliceKey struct {
	from   time.Duration
	window journal.Window
	name   string // route or link
	load   string // its name, for requests
	copy   string // see journal.Sample.Copy
	paused bool   // see journal.Sample.Paused
}

func newFold() *fold {
	f := &fold{
		horizon: time.Hour,
		marks:   []time.Duration{0}, baseline: 1 << 62, loadEnd: 1 << 62,
		samples: map[sliceKey]*sampleBuilder{}, calls: map[sliceKey]*callsBuilder{}, endedCalls: map[string]int64{},
		inFlight: map[requestID]inFlightRequest{}, endedRequests: map[int64]endCount{}, paused: func(_, _ time.Duration) bool { return false },
	}
	f.recent.latency = histogram()
	return f
}

// maxLatency is the longest latency that is recorded exactly. Longer ones are recorded as maxLatency.
const maxLatency = 7 * 24 * time.Hour

// histogram returns a histogram of microseconds up to maxLatency with two significant digits.
func histogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, maxLatency.Microseconds(), 2) }

func record(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(max(1, d.Microseconds()), maxLatency.Microseconds()))
}

func buckets(h *hdrhistogram.Histogram) []journal.Bucket {
	var all []journal.Bucket
	for _, bar := range h.Distribution() {
		if bar.Count > 0 {
			all = append(all, journal.Bucket{Up: time.Duration(bar.To) * time.Microsecond, N: bar.Count})
		}
	}
	return all
}

// mark starts new slices at t.
func (f *fold) mark(t time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.marks = append(f.marks, t)
}

// endLoad sets the time from which calls no longer count as the load's.
func (f *fold) endLoad(t time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.loadEnd = t
}

// slice returns the bounds of the slice that contains t, as far as they are known: a later mark may
// shorten it.
func (f *fold) slice(t time.Duration) (from, to time.Duration) {
	i, _ := slices.BinarySearchFunc(f.marks, t, func(m, t time.Duration) int { return cmp.Compare(m, t+1) })
	start := f.marks[max(0, i-1)]
	from = start + (t-start)/time.Second*time.Second
	to = from + time.Second
	if i < len(f.marks) {
		to = min(to, f.marks[i])
	}
	return from, to
}

// flush removes the slices that ended before t and returns them as events in order of time. What is
// folded into such a slice later becomes another event with the same bounds; readers add them up.
func (f *fold) flush(t time.Duration) []journal.Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	var events []journal.Event
	for at, s := range f.samples {
		if _, s.To = f.slice(at.from); s.To <= t {
			events = append(events, journal.Event{Sample: s.finish()})
			delete(f.samples, at)
		}
	}
	for at, c := range f.calls {
		if _, c.To = f.slice(at.from); c.To <= t {
			events = append(events, journal.Event{Calls: c.finish()})
			delete(f.calls, at)
		}
	}
	slices.SortFunc(events, func(a, b journal.Event) int { return cmp.Compare(startOf(a), startOf(b)) })
	return events
}

func startOf(e journal.Event) time.Duration {
	if e.Sample != nil {
		return e.Sample.From
	}
	return e.Calls.From
}

// Package aggregate adds up what happens in a scenario while it happens: requests of the load and calls on links, in
// slices of time for the journal, and what the live view, stop rules and the evidence of outages ask about the last
// seconds.
package aggregate

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Aggregator adds up requests and calls in slices of at most a second, so that memory grows with time and
// not with the load. A new slice starts at each mark: a phase, an injection, a heal. All times are on the run's clock.
// Its methods may be called concurrently.
type Aggregator struct {
	settings      Settings
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

	outages []*Outage
	slowest time.Duration // longest latency of a successful request
}

// Settings are what an Aggregator needs to know of its scenario.
type Settings struct {
	Horizon           time.Duration                     // how far back stop rules look
	Limits            []time.Duration                   // of the latency, that stop rules ask about
	FallbackIsSuccess bool                              // the scenario's definition of success
	Paused            func(from, to time.Duration) bool // whether the runner itself did not run at some time between; nil: it always ran
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

// New returns an Aggregator for a scenario whose baseline has not begun.
func New(s Settings) *Aggregator {
	if s.Paused == nil {
		s.Paused = func(_, _ time.Duration) bool { return false }
	}
	a := &Aggregator{
		settings: s,
		marks:    []time.Duration{0}, baseline: 1 << 62, loadEnd: 1 << 62,
		samples: map[sliceKey]*sampleBuilder{}, calls: map[sliceKey]*callsBuilder{}, endedCalls: map[string]int64{},
		inFlight: map[requestID]inFlightRequest{}, endedRequests: map[int64]endCount{},
	}
	a.recent.latency = histogram()
	return a
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

// Mark starts new slices at t.
func (a *Aggregator) Mark(t time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mark(t)
}

// mark adds a mark. Concurrent callers may have read the clock in another order than that in which they get here.
func (a *Aggregator) mark(t time.Duration) {
	i, _ := slices.BinarySearch(a.marks, t)
	a.marks = slices.Insert(a.marks, i, t)
}

// BeginBaseline sets the time from which requests are judged. Those that are due earlier belong to the warm-up.
func (a *Aggregator) BeginBaseline(t time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.baseline = t
}

// Baseline returns when the baseline began, or a time that is never reached if it has not.
func (a *Aggregator) Baseline() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.baseline
}

// EndLoad sets the time from which calls no longer count as the load's.
func (a *Aggregator) EndLoad(t time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.loadEnd = t
}

// slice returns the bounds of the slice that contains t, as far as they are known: a later mark may
// shorten it.
func (a *Aggregator) slice(t time.Duration) (from, to time.Duration) {
	i, _ := slices.BinarySearchFunc(a.marks, t, func(m, t time.Duration) int { return cmp.Compare(m, t+1) })
	start := a.marks[max(0, i-1)]
	from = start + (t-start)/time.Second*time.Second
	to = from + time.Second
	if i < len(a.marks) {
		to = min(to, a.marks[i])
	}
	return from, to
}

// Flush removes the slices that ended before t and returns them as events in order of time. What is
// folded into such a slice later becomes another event with the same bounds; readers add them up.
func (a *Aggregator) Flush(t time.Duration) []journal.Event {
	a.mu.Lock()
	defer a.mu.Unlock()
	var events []journal.Event
	for at, s := range a.samples {
		if _, s.To = a.slice(at.from); s.To <= t {
			events = append(events, journal.Event{Sample: s.finish()})
			delete(a.samples, at)
		}
	}
	for at, c := range a.calls {
		if _, c.To = a.slice(at.from); c.To <= t {
			events = append(events, journal.Event{Calls: c.finish()})
			delete(a.calls, at)
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

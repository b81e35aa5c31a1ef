package runner

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// fold sums requests and calls up in slices of at most a second, so that memory grows with time and not with the load. Slices start anew at each
// mark: a phase, an injection, a heal.
type fold struct {
	mu       sync.Mutex
	marks    []time.Duration // ascending
	baseline time.Duration   // requests due before it are the warm-up
	faults   []*span
	samples  map[place]*sampled
	calls    map[place]*called
	collect  time.Duration    // calls that began later are not the load's
	over     map[string]int64 // by link: all calls that have ended
	recent   recent
	waiting  map[uint64]time.Duration // requests under way, by number: when they were due
	ended    map[int64]tally          // by the second in which they ended
}

// tally counts requests that ended, and the good ones among them.
type tally struct{ all, good int }

// span is a live time of an injection; to is 0 while it lasts.
type span struct{ from, to time.Duration }

// place is where a request or a call belongs.
type place struct {
	from   time.Duration
	window journal.Window
	name   string // route or link
}

type sampled struct {
	journal.Sample
	latency, good *hdrhistogram.Histogram
}

type called struct {
	journal.Calls
	duration *hdrhistogram.Histogram
}

// recent is what finished since the last tick.
type recent struct {
	requests, errors int
	latency          *hdrhistogram.Histogram
}

func newFold() *fold {
	f := &fold{
		marks: []time.Duration{0}, samples: map[place]*sampled{}, calls: map[place]*called{}, over: map[string]int64{}, baseline: 1 << 62, collect: 1 << 62,
		waiting: map[uint64]time.Duration{}, ended: map[int64]tally{},
	}
	f.recent.latency = histogram()
	return f
}

// histogram holds microseconds up to ten minutes with two digits.
func histogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, 600_000_000, 2) }

func record(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(max(1, d.Microseconds()), 600_000_000))
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

// mark starts slices anew at t.
func (f *fold) mark(t time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.marks = append(f.marks, t)
}

// collects ends what is the load's.
func (f *fold) collects(t time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.collect = t
}

// inject notes that a fault is live from t on; the returned func ends that.
func (f *fold) inject(t time.Duration) func(time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := &span{from: t}
	f.faults = append(f.faults, s)
	f.marks = append(f.marks, t)
	return func(to time.Duration) {
		f.mu.Lock()
		defer f.mu.Unlock()
		s.to = to
		f.marks = append(f.marks, to)
	}
}

// window says where a life from due to end lies relative to the faults.
func (f *fold) window(due, end time.Duration) journal.Window {
	if due < f.baseline {
		return journal.Warmup
	}
	w := journal.Before
	for _, s := range f.faults {
		if (s.to == 0 || due < s.to) && end >= s.from {
			return journal.During
		}
		if due >= s.from {
			w = journal.After
		}
	}
	return w
}

// slice is the slice that t lies in, as far as it is known now: a later mark may cut it short.
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

// sent notes a request that is under way from now on, until it is folded.
func (f *fold) sent(n uint64, due time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting[n] = due
}

// request folds one request of the load; due and end are on the run's clock. One that the runner itself cut short says nothing of the system, and is
// left out.
func (f *fold) request(e ended, due, end time.Duration) journal.Window {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.waiting, e.n)
	if e.kind == cut {
		return f.window(due, end)
	}
	t := f.ended[int64(end/time.Second)]
	t.all++
	if e.outcome == acknowledged {
		t.good++
	}
	f.ended[int64(end/time.Second)] = t
	s := f.sample(due, end, e.route)
	took := end - due
	s.Sent++
	s.Attempts += len(e.attempts)
	s.Wire += e.wire
	record(s.latency, took)
	last := e.attempts[len(e.attempts)-1]
	switch {
	case e.outcome == acknowledged && e.fallback:
		s.Fallback++
		record(s.good, took)
	case e.outcome == acknowledged:
		s.OK++
		record(s.good, took)
	case e.outcome == refused:
		s.Refused++
	case e.key == "" && last.status != 0:
		s.Failed++
	default:
		s.Ambiguous++
	}
	f.recent.requests++
	record(f.recent.latency, took)
	if e.kind != "" {
		s.Errors[e.kind]++
		f.recent.errors++
	}
	return s.Window
}

// unsent folds a request that was due and never sent.
func (f *fold) unsent(route string, due time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sample(due, due, route).Unsent++
}

func (f *fold) sample(due, end time.Duration, route string) *sampled {
	from, _ := f.slice(due)
	at := place{from, f.window(due, end), route}
	s := f.samples[at]
	if s == nil {
		s = &sampled{Sample: journal.Sample{From: from, Window: at.window, Route: route, Errors: map[string]int{}}, latency: histogram(), good: histogram()}
		f.samples[at] = s
	}
	return s
}

// call folds one exchange that a link saw. What the probes cause after the load is not the load's.
func (f *fold) call(link string, c message.Call, start, end time.Duration) {
	if c.Op == "" {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over[link]++; start >= f.collect {
		return
	}
	from, _ := f.slice(start)
	at := place{from, f.window(start, end), link}
	s := f.calls[at]
	if s == nil {
		s = &called{Calls: journal.Calls{From: from, Window: at.window, Link: link}, duration: histogram()}
		f.calls[at] = s
	}
	s.Calls.Calls++
	if c.Affected {
		s.Affected++
	}
	if c.GaveUp {
		s.GaveUp++
	}
	record(s.duration, end-start)
}

// open is how many of the calls that a link took in have not ended, and when the load did.
func (f *fold) open(link string, in int64) (n int64, since time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return max(0, in-f.over[link]), f.collect
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

// flush takes out the slices that ended before t, as events in order of time. What ends later makes another event of the same slice; readers add them up.
func (f *fold) flush(t time.Duration) []journal.Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	var events []journal.Event
	for at, s := range f.samples {
		if _, s.To = f.slice(at.from); s.To <= t {
			s.Latency, s.Good = buckets(s.latency), buckets(s.good)
			sample := s.Sample
			events = append(events, journal.Event{Sample: &sample})
			delete(f.samples, at)
		}
	}
	for at, c := range f.calls {
		if _, c.To = f.slice(at.from); c.To <= t {
			c.Duration = buckets(c.duration)
			calls := c.Calls
			events = append(events, journal.Event{Calls: &calls})
			delete(f.calls, at)
		}
	}
	slices.SortFunc(events, func(a, b journal.Event) int { return cmp.Compare(order(a), order(b)) })
	return events
}

func order(e journal.Event) time.Duration {
	if e.Sample != nil {
		return e.Sample.From
	}
	return e.Calls.From
}

package runner

import (
	"cmp"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/firedrill-dev/firedrill/injector/message"
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
	inFlight      map[uint64]inFlightRequest // by request number
	endedRequests map[int64]endCount         // by the tenth of a second in which they ended

	outages           []*outage
	horizon           time.Duration // how far back stop rules look
	slowest           time.Duration // longest latency of a successful request
	fallbackIsSuccess bool          // from the scenario's definition of success
	paused            func(from, to time.Duration) bool
}

// span is the time of an injection: requested at from, live since live, healing since to. live and to
// are 0 until known.
type span struct{ from, live, to time.Duration }

// sliceKey identifies the slice that a request or a call is counted in.
type sliceKey struct {
	from   time.Duration
	window journal.Window
	name   string // route or link
	paused bool   // see journal.Sample.Paused
}

type sampleBuilder struct {
	journal.Sample
	latency, good, waited *hdrhistogram.Histogram
	slip                  slips
}

type callsBuilder struct {
	journal.Calls
	duration *hdrhistogram.Histogram
}

func newFold() *fold {
	f := &fold{
		horizon: time.Hour,
		marks:   []time.Duration{0}, samples: map[sliceKey]*sampleBuilder{}, calls: map[sliceKey]*callsBuilder{}, endedCalls: map[string]int64{}, baseline: 1 << 62, loadEnd: 1 << 62,
		inFlight: map[uint64]inFlightRequest{}, endedRequests: map[int64]endCount{}, paused: func(_, _ time.Duration) bool { return false },
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

// addOutage starts to count requests of the load that end during an outage, until removeOutage.
// Requests still waiting are counted by metOutage.
func (f *fold) addOutage(o *outage) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.outages = append(f.outages, o)
}

func (f *fold) removeOutage(o *outage) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.outages = slices.DeleteFunc(f.outages, func(other *outage) bool { return other == o })
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

// addFault notes that a fault was requested at t. The returned functions record when it became live
// and when healing began.
func (f *fold) addFault(t time.Duration) (live, ended func(time.Duration)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := &span{from: t}
	f.faults = append(f.faults, s)
	f.marks = append(f.marks, t)
	recorder := func(at *time.Duration) func(time.Duration) {
		return func(t time.Duration) {
			f.mu.Lock()
			defer f.mu.Unlock()
			*at = t
			f.marks = append(f.marks, t)
		}
	}
	return recorder(&s.live), recorder(&s.to)
}

// maxWindowGap is the longest gap between two faults that still form one fault window.
const maxWindowGap = 100 * time.Millisecond

// windows returns the fault windows so far, in order. Faults that overlap, or follow each other within
// maxWindowGap, form one window.
func (f *fold) windows() []span {
	var all []span
	for _, s := range f.faults { // in order of injection
		n := len(all)
		switch {
		case n > 0 && s.from == all[n-1].from: // faults of one step: the window is live when all are
			all[n-1].live = max(all[n-1].live, s.live)
			if s.to == 0 {
				all[n-1].to = 0
			} else if all[n-1].to != 0 {
				all[n-1].to = max(s.to, all[n-1].to)
			}
		case n > 0 && all[n-1].to == 0:
		case n > 0 && s.from <= all[n-1].to+maxWindowGap:
			if s.to == 0 || s.to > all[n-1].to {
				all[n-1].to = s.to
			}
		default:
			all = append(all, *s)
		}
	}
	return all
}

// window returns the window of a request or call that lasted from due to end, as journal.Window
// defines it. If it was in flight when healing began, healed is that time; otherwise it is 0.
func (f *fold) window(due, end time.Duration) (w journal.Window, healed time.Duration) {
	if due < f.baseline {
		return journal.Warmup, 0
	}
	w = journal.Before
	for _, s := range f.windows() {
		switch {
		case due >= s.from && s.to != 0 && due >= s.to:
			w = journal.After
		case end < s.from:
			return w, 0
		case s.live == 0 || due < s.live:
			return journal.AtInjection, 0
		case s.to != 0 && end > s.to:
			return journal.AtHealing, s.to
		default:
			return journal.During, 0
		}
	}
	return w, 0
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

// request folds one request of the load; due and end are on the run's clock. A request that the runner
// itself aborted shows nothing about the system and is not counted.
func (f *fold) request(e result, due, end time.Duration) journal.Window {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.inFlight, e.n)
	if e.kind == aborted {
		w, _ := f.window(due, end)
		return w
	}
	if e.unsent {
		s, _ := f.sampleFor(due, end, e.route, false)
		s.Unsent++
		return s.Window
	}
	f.countEnd(end, e.outcome == acknowledged && (f.fallbackIsSuccess || !e.fallback))
	for _, o := range f.outages {
		// A request that succeeded at its first attempt was answered before the outage took effect.
		if end >= o.from && (e.outcome != acknowledged || len(e.attempts) > 1) && slices.Contains(o.routes, e.route) {
			o.requests++
		}
	}
	s, healed := f.sampleFor(due, end, e.route, f.paused(due, end))
	took := end - due
	s.slip.add(e.attempts[0].at.Sub(e.due))
	s.Sent++
	s.Attempts += len(e.attempts)
	s.Wire += e.wire
	for _, a := range e.attempts {
		if a.kind == timedOut {
			s.GaveUp++
		}
	}
	record(s.latency, took)
	last := e.attempts[len(e.attempts)-1]
	switch {
	case e.outcome == acknowledged:
		if e.fallback {
			s.Fallback++
		} else {
			s.OK++
		}
		record(s.good, took)
		f.slowest = max(f.slowest, took)
		if healed > 0 {
			record(s.waited, healed-due)
		}
	case e.outcome == refused:
		s.Refused++
	case e.key == "" && last.status != 0:
		s.Failed++
	default:
		s.Ambiguous++
	}
	if e.outcome != acknowledged && (s.FirstBad == 0 || due < s.FirstBad) {
		s.FirstBad = due
	}
	f.recent.requests++
	record(f.recent.latency, took)
	if e.kind != "" {
		s.Errors[e.kind]++
		f.recent.errors++
	}
	return s.Window
}

// unsent folds a request that was due but never sent.
func (f *fold) unsent(route string, due time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, _ := f.sampleFor(due, due, route, false)
	s.Unsent++
}

// sampleFor returns the sample in which a request is counted. If the request was in flight when
// healing began, it also returns that time.
func (f *fold) sampleFor(due, end time.Duration, route string, paused bool) (*sampleBuilder, time.Duration) {
	from, _ := f.slice(due)
	w, healed := f.window(due, end)
	at := sliceKey{from, w, route, paused}
	s := f.samples[at]
	if s == nil {
		s = &sampleBuilder{Sample: journal.Sample{From: from, Window: w, Route: route, Paused: paused, Errors: map[string]int{}}, latency: histogram(), good: histogram(), waited: histogram(), slip: slips{}}
		f.samples[at] = s
	}
	return s, healed
}

// call folds one call observed on a link. sent is when the request was forwarded to the dependency, 0
// if it never was. Calls that begin after the load, such as those caused by probes, are not counted.
func (f *fold) call(link string, c message.Call, start, sent, end time.Duration) {
	if c.Op == "" {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.endedCalls[link]++; start >= f.loadEnd {
		return
	}
	for _, o := range f.outages {
		switch _, on := o.before[link]; {
		case !on:
		case start >= o.from && c.Status != 0:
			o.answered[link]++
		case start < o.from && end >= o.from && c.Status == 0:
			o.calls[link]++
		}
	}
	s := f.callsFor(link, start, end)
	s.Calls.Calls++
	if c.Affected {
		s.Affected++
	}
	switch {
	case c.GaveUp:
		s.GaveUp++
	case c.Status == 0 || c.Status == http.StatusTooManyRequests || c.Status >= http.StatusInternalServerError:
		s.Failed++
	}
	record(s.duration, end-start)
	if sent > 0 {
		f.callsFor(link, sent, end).Arrived++
	}
}

// failedDials folds n dials of a link's dependency that failed between from and to. No fault window
// begins or ends in between. The dials are spread evenly over the slices.
func (f *fold) failedDials(link string, n int64, from, to time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if to >= f.loadEnd {
		return
	}
	for n > 0 {
		_, end := f.slice(from)
		part := n
		if end < to {
			part = int64(float64(n) * float64(end-from) / float64(to-from))
		}
		f.callsFor(link, from, from).Refused += int(part)
		n, from = n-part, end
	}
}

// callsFor returns the slice in which a call is counted. f.mu must be held.
func (f *fold) callsFor(link string, start, end time.Duration) *callsBuilder {
	from, _ := f.slice(start)
	w, _ := f.window(start, end)
	at := sliceKey{from: from, window: w, name: link}
	s := f.calls[at]
	if s == nil {
		s = &callsBuilder{Calls: journal.Calls{From: from, Window: at.window, Link: link}, duration: histogram()}
		f.calls[at] = s
	}
	return s
}

// openCalls returns how many of the in calls that a link received have not ended, and when the load
// ended.
func (f *fold) openCalls(link string, in int64) (n int64, since time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return max(0, in-f.endedCalls[link]), f.loadEnd
}

// flush removes the slices that ended before t and returns them as events in order of time. What is
// folded into such a slice later becomes another event with the same bounds; readers add them up.
func (f *fold) flush(t time.Duration) []journal.Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	var events []journal.Event
	for at, s := range f.samples {
		if _, s.To = f.slice(at.from); s.To <= t {
			s.Latency, s.Good, s.Waited, s.Slip = buckets(s.latency), buckets(s.good), buckets(s.waited), s.slip.buckets()
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
	slices.SortFunc(events, func(a, b journal.Event) int { return cmp.Compare(startOf(a), startOf(b)) })
	return events
}

func startOf(e journal.Event) time.Duration {
	if e.Sample != nil {
		return e.Sample.From
	}
	return e.Calls.From
}

package runner

import (
	"net/http"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

type callsBuilder struct {
	journal.Calls
	duration *hdrhistogram.Histogram
	shared   *hdrhistogram.Histogram // nil if there are none
}

// finish completes the calls for the journal.
func (s *callsBuilder) finish() *journal.Calls {
	calls := s.Calls
	calls.Duration = buckets(s.duration)
	if s.shared != nil {
		calls.Shared = buckets(s.shared)
	}
	return &calls
}

// wait records how long the caller of a call waited for its answer.
func (s *callsBuilder) wait(d time.Duration, shared bool) {
	record(s.duration, d)
	if !shared {
		return
	}
	if s.shared == nil {
		s.shared = histogram()
	}
	record(s.shared, d)
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

// call folds one call observed on a link. sent is when the request was forwarded to the dependency, 0
// if it never was. Calls that begin after the load, such as those caused by probes, are not counted.
func (f *fold) call(link string, c message.Call, start, sent, end time.Duration) {
	if c.Op == "" {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !c.Blocking { // see Relay.Unawaited
		f.endedCalls[link]++
	}
	if start >= f.loadEnd {
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
	case c.Blocking:
	case c.GaveUp:
		s.GaveUp++
	case c.Status == 0 || c.Status == http.StatusTooManyRequests || c.Status >= http.StatusInternalServerError:
		s.Failed++
	}
	if !c.Blocking {
		s.wait(end-start, c.Shared)
	}
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

// foldDials folds the dials that failed since its last call. A caller whose dial fails has still made
// a call. foldDials is called each second, and before a fault window begins or ends.
func (s *session) foldDials() {
	if s.system == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.foldedDials == nil {
		s.foldedDials = map[string]int64{}
	}
	now := s.now()
	for name, l := range s.system.links {
		o := l.Outage()
		n := o.Refused + o.Unreached
		s.fold.failedDials(name, n-s.foldedDials[name], s.dialsFoldedAt, now)
		s.foldedDials[name] = n
	}
	s.dialsFoldedAt = now
}

package aggregate

import (
	"math"
	"net/http"
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

// count counts n calls that arrived, or could not be made, at a time of the slice.
func (s *callsBuilder) count(at time.Duration, n int) {
	i := max(0, int(at/journal.Tenth-s.From/journal.Tenth))
	for len(s.Tenths) <= i {
		s.Tenths = append(s.Tenths, 0)
	}
	s.Tenths[i] += n
}

// Call counts one call observed on a link. sent is when the request was forwarded to the dependency, 0
// if it never was. Calls that begin after the load, such as those caused by probes, are not counted. Of a stream, only
// how it ended is counted: see Stream.
func (a *Aggregator) Call(link string, c message.Call, start, sent, end time.Duration) {
	if c.Op == "" {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !c.Blocking && !c.Stream { // see Relay.Unawaited and Stream
		a.endedCalls[link]++
	}
	if start >= a.loadEnd {
		return
	}
	for _, o := range a.outages {
		switch n, counted := o.calls[link]; {
		case !counted:
		case start >= o.from && c.Status != 0 && !c.Stream:
			o.answered[link]++
		case start < o.from && end >= o.from && c.Status == 0:
			o.calls[link] = n + 1
		}
	}
	s := a.callsFor(link, start, end)
	if c.Affected {
		s.Affected++
	}
	if c.Stream {
		if c.Status == 0 && !c.GaveUp { // a caller that ends a stream gives up on nothing
			s.Failed++
		}
		return
	}
	s.Calls.Calls++
	switch {
	case c.Blocking:
	case c.GaveUp:
		s.GaveUp++
	case failed(c.Status):
		s.Failed++
	}
	if !c.Blocking {
		s.wait(end-start, c.Shared)
	}
	a.arrived(link, sent, end)
}

// Stream counts a call whose caller has had the beginning of a stream since begun, and does not wait any longer. Call
// follows when the stream has ended.
func (a *Aggregator) Stream(link string, c message.Call, start, sent, begun time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.endedCalls[link]++
	if start >= a.loadEnd {
		return
	}
	for _, o := range a.outages {
		if _, counted := o.calls[link]; counted && start >= o.from {
			o.answered[link]++
		}
	}
	s := a.callsFor(link, start, begun)
	s.Calls.Calls++
	if failed(c.Status) {
		s.Failed++
	}
	s.wait(begun-start, c.Shared)
	a.arrived(link, sent, begun)
}

// failed reports whether a call with this status, 0 if it has none, failed.
func failed(status int) bool {
	return status == 0 || status == http.StatusTooManyRequests || status >= http.StatusInternalServerError
}

// arrived counts a call that was forwarded to the dependency, unless sent is 0. a.mu must be held.
func (a *Aggregator) arrived(link string, sent, end time.Duration) {
	if sent > 0 {
		s := a.callsFor(link, sent, end)
		s.Arrived++
		s.count(sent, 1)
	}
}

// FailedDials counts n dials of a link's dependency that failed between from and to. No fault window
// begins or ends in between. The dials are spread evenly over that time.
func (a *Aggregator) FailedDials(link string, n int64, from, to time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if to >= a.loadEnd {
		return
	}
	for n > 0 {
		_, end := a.slice(from)
		end = min(end, (from/journal.Tenth+1)*journal.Tenth)
		part := n
		if end < to {
			part = int64(math.Round(float64(n) * float64(end-from) / float64(to-from)))
		}
		if part > 0 {
			s := a.callsFor(link, from, from)
			s.Refused += int(part)
			s.count(from, int(part))
		}
		n, from = n-part, end
	}
}

// callsFor returns the slice in which a call is counted. a.mu must be held.
func (a *Aggregator) callsFor(link string, start, end time.Duration) *callsBuilder {
	from, _ := a.slice(start)
	w, _ := a.window(start, end)
	at := sliceKey{from: from, window: w, name: link}
	s := a.calls[at]
	if s == nil {
		s = &callsBuilder{Calls: journal.Calls{From: from, Window: at.window, Link: link}, duration: histogram()}
		a.calls[at] = s
	}
	return s
}

// OpenCalls returns how many of the in calls that a link received have not ended, and when the load
// ended.
func (a *Aggregator) OpenCalls(link string, in int64) (n int64, since time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return max(0, in-a.endedCalls[link]), a.loadEnd
}

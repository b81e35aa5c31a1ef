package runner

import (
	"maps"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// recent counts the requests that ended since the last tick.
type recent struct {
	requests, errors     int
	ended, good, retries int
	latency              *hdrhistogram.Histogram
}

// endCount counts the requests that ended, those among them that succeeded and, for each of fold.limits, those that did
// not take longer.
type endCount struct {
	all, good int
	quick     []int
}

// endResolution is the resolution with which the ends of requests are counted for stop rules.
const endResolution = 100 * time.Millisecond

// countEnd counts a request that ended at t and took a time. f.mu must be held.
func (f *fold) countEnd(t, took time.Duration, good bool) {
	n := f.endedRequests[int64(t/endResolution)]
	n.all++
	if good {
		n.good++
	}
	if n.quick == nil && len(f.limits) > 0 {
		n.quick = make([]int, len(f.limits))
	}
	for i, limit := range f.limits {
		if took <= limit {
			n.quick[i]++
		}
	}
	f.endedRequests[int64(t/endResolution)] = n
	if time.Duration(len(f.endedRequests))*endResolution > 2*f.horizon {
		maps.DeleteFunc(f.endedRequests, func(at int64, _ endCount) bool { return time.Duration(at)*endResolution < t-f.horizon })
	}
}

// inFlightRequest is a request that was sent and has not ended.
type inFlightRequest struct {
	due   time.Duration
	route string
}

// requestID identifies a request: the name of its load, and its number.
type requestID struct {
	load string
	n    uint64
}

// started records that a request is in flight until it is folded.
func (f *fold) started(load string, n uint64, route string, due time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.inFlight[requestID{load, n}] = inFlightRequest{due, route}
}

// metOutage returns how many requests of the load an outage has affected so far: those that ended
// during it without an answer, and those that have waited for noticeable or longer. It also returns,
// by link, how many calls the outage broke and how many were answered nevertheless.
func (f *fold) metOutage(o *outage, now time.Duration) (n int64, broken, answered map[string]int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n = o.requests
	for _, r := range f.inFlight {
		if now-max(r.due, o.from) >= noticeable && slices.Contains(o.routes, r.route) {
			n++
		}
	}
	return n, maps.Clone(o.calls), maps.Clone(o.answered)
}

// tick returns the requests since the last tick and resets the counts.
func (f *fold) tick(every time.Duration) journal.Tick {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := &f.recent
	quantile := func(q float64) time.Duration {
		return time.Duration(r.latency.ValueAtQuantile(q)) * time.Microsecond
	}
	t := journal.Tick{
		Rate: float64(r.requests) / every.Seconds(), P50: quantile(50), P99: quantile(99),
		Errors: r.errors, Ended: r.ended, Good: r.good, Retries: r.retries,
	}
	r.latency.Reset()
	*r = recent{latency: r.latency}
	return t
}

// goal is what a stop rule requires of a request: that it succeeds or, if limited, that it takes no longer than the
// i-th of fold.limits.
type goal struct {
	limited bool
	limit   int
}

// met returns how many requests met a goal out of those that ended in [from, to) and those that wait for an answer and
// cannot meet it: since before from or, at to, for longer than the limit. The latter are included because a system that
// hangs ends no requests.
func (f *fold) met(g goal, from, to time.Duration) (good, all int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for t := int64(from / endResolution); t < int64(to/endResolution); t++ {
		n, ok := f.endedRequests[t]
		switch {
		case !ok:
		case g.limited:
			good, all = good+n.quick[g.limit], all+n.all
		default:
			good, all = good+n.good, all+n.all
		}
	}
	for _, r := range f.inFlight {
		if g.limited && to-r.due > f.limits[g.limit] || !g.limited && r.due < from {
			all++
		}
	}
	return good, all
}

// failing reports whether less than ratio of the requests met a goal during all of d until now, and
// returns the share that did. It divides d into parts, as many as there are times enough requests, at most 10, and
// requires each to fail, so that one bad moment is not enough.
func (f *fold) failing(g goal, now, d time.Duration, ratio float64, enough int) (share float64, failing bool) {
	from := now - d
	good, all := f.met(g, from, now)
	if all == 0 || g.limited && all < enough || float64(good) >= ratio*float64(all) {
		return 0, false
	}
	parts := time.Duration(min(10, max(1, all/enough)))
	for i := range parts {
		good, all := f.met(g, from+d*i/parts, from+d*(i+1)/parts)
		if all > 0 && float64(good) >= ratio*float64(all) {
			return 0, false
		}
	}
	return float64(good) / float64(all), true
}

// overdue returns how many requests of the baseline have been waiting longer than any request that
// ended, and at least a second. It also returns the number of requests in the baseline.
func (f *fold) overdue(now time.Duration) (n, sent int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for t, ended := range f.endedRequests {
		if time.Duration(t)*endResolution >= f.baseline {
			sent += ended.all
		}
	}
	for _, r := range f.inFlight {
		if r.due >= f.baseline && now-r.due > max(f.slowest, time.Second) {
			n++
		}
	}
	return n, sent + n
}

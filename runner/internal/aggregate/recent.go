package aggregate

import (
	"maps"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/firedrill-dev/firedrill/runner/internal/load"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// recent counts the requests that ended since the last tick.
type recent struct {
	requests, errors     int
	ended, good, retries int
	fallbacks            int
	latency              *hdrhistogram.Histogram
}

// count counts a request that has ended.
func (r *recent) count(e load.Result, took time.Duration, good bool) {
	r.requests++
	r.ended++
	r.retries += e.Retries
	if good {
		r.good++
	}
	if e.Outcome == load.Acknowledged && e.Fallback {
		r.fallbacks++
	}
	if e.Kind != "" {
		r.errors++
	}
	record(r.latency, took)
}

// endCount counts the requests that ended, those among them that succeeded and, for each of Settings.Limits, those that did
// not take longer.
type endCount struct {
	all, good int
	quick     []int
}

// endResolution is the resolution with which the ends of requests are counted for stop rules.
const endResolution = 100 * time.Millisecond

// countEnd counts a request that ended at t and took a time. a.mu must be held.
func (a *Aggregator) countEnd(t, took time.Duration, good bool) {
	n := a.endedRequests[int64(t/endResolution)]
	n.all++
	if good {
		n.good++
	}
	if n.quick == nil && len(a.settings.Limits) > 0 {
		n.quick = make([]int, len(a.settings.Limits))
	}
	for i, limit := range a.settings.Limits {
		if took <= limit {
			n.quick[i]++
		}
	}
	a.endedRequests[int64(t/endResolution)] = n
	if time.Duration(len(a.endedRequests))*endResolution > 2*a.settings.Horizon {
		maps.DeleteFunc(a.endedRequests, func(at int64, _ endCount) bool { return time.Duration(at)*endResolution < t-a.settings.Horizon })
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

// Started records that a request is in flight until Request is called with it.
func (a *Aggregator) Started(load string, n uint64, route string, due time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.inFlight[requestID{load, n}] = inFlightRequest{due, route}
}

// Tick returns the requests since the last tick and resets the counts.
func (a *Aggregator) Tick(every time.Duration) journal.Tick {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := &a.recent
	quantile := func(q float64) time.Duration {
		return time.Duration(r.latency.ValueAtQuantile(q)) * time.Microsecond
	}
	t := journal.Tick{
		Rate: float64(r.requests) / every.Seconds(), P50: quantile(50), P99: quantile(99),
		Errors: r.errors, Ended: r.ended, Good: r.good, Fallback: r.fallbacks, Retries: r.retries,
	}
	r.latency.Reset()
	*r = recent{latency: r.latency}
	return t
}

// Goal is what a stop rule requires of a request: that it takes no longer than Limit, which is one of Settings.Limits, or,
// if that is 0, that it succeeds.
type Goal struct{ Limit time.Duration }

// Met returns how many requests met a goal out of those that ended in [from, to) and those that wait for an answer and
// cannot meet it: since before from or, at to, for longer than the limit. The latter are included because a system that
// hangs ends no requests.
func (a *Aggregator) Met(g Goal, from, to time.Duration) (good, all int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	limit := slices.Index(a.settings.Limits, g.Limit)
	for t := int64(from / endResolution); t < int64(to/endResolution); t++ {
		n, ok := a.endedRequests[t]
		switch {
		case !ok:
		case g.Limit > 0:
			good, all = good+n.quick[limit], all+n.all
		default:
			good, all = good+n.good, all+n.all
		}
	}
	for _, r := range a.inFlight {
		if g.Limit > 0 && to-r.due > g.Limit || g.Limit == 0 && r.due < from {
			all++
		}
	}
	return good, all
}

// Failing reports whether less than ratio of the requests met a Goal during all of d until now, and
// returns the share that did. It divides d into parts, as many as there are times enough requests, at most 10, and
// requires each to fail, so that one bad moment is not enough.
func (a *Aggregator) Failing(g Goal, now, d time.Duration, ratio float64, enough int) (share float64, failing bool) {
	from := now - d
	good, all := a.Met(g, from, now)
	if all == 0 || g.Limit > 0 && all < enough || float64(good) >= ratio*float64(all) {
		return 0, false
	}
	parts := time.Duration(min(10, max(1, all/enough)))
	for i := range parts {
		good, all := a.Met(g, from+d*i/parts, from+d*(i+1)/parts)
		if all > 0 && float64(good) >= ratio*float64(all) {
			return 0, false
		}
	}
	return float64(good) / float64(all), true
}

// Overdue returns how many requests of the baseline have been waiting longer than any request that
// ended, and at least a second. It also returns the number of requests in the baseline.
func (a *Aggregator) Overdue(now time.Duration) (n, sent int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for t, ended := range a.endedRequests {
		if time.Duration(t)*endResolution >= a.baseline {
			sent += ended.all
		}
	}
	for _, r := range a.inFlight {
		if r.due >= a.baseline && now-r.due > max(a.slowest, time.Second) {
			n++
		}
	}
	return n, sent + n
}

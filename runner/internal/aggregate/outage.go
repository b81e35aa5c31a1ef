package aggregate

import (
	"maps"
	"slices"
	"time"
)

// Outage counts what is affected while a service is down or hangs.
type Outage struct {
	from     time.Duration
	routes   []string         // routes of the load that the service answers directly, without a link
	requests int64            // requests of the load on routes that ended during the outage
	calls    map[string]int64 // by link to the service: calls that were in flight when it began and got no answer
	answered map[string]int64 // by link: calls that began during the outage and were answered, as between repeated crashes
}

// BeginOutage starts to count what is affected by an outage that began at from: requests of the load on routes, and calls
// on links. EndOutage ends it. Requests that are still waiting are counted by Affected.
func (a *Aggregator) BeginOutage(from time.Duration, routes, links []string) *Outage {
	o := &Outage{from: from, routes: routes, calls: map[string]int64{}, answered: map[string]int64{}}
	for _, l := range links {
		o.calls[l] = 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.outages = append(a.outages, o)
	return o
}

// EndOutage stops counting.
func (a *Aggregator) EndOutage(o *Outage) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.outages = slices.DeleteFunc(a.outages, func(other *Outage) bool { return other == o })
}

// Affected returns how many requests of the load an outage has affected so far: those that ended
// during it without an answer, and those that have waited for a time, counted from its beginning. It also returns,
// by link, how many calls the outage broke and how many were answered nevertheless.
func (a *Aggregator) Affected(o *Outage, now, waited time.Duration) (n int64, broken, answered map[string]int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n = o.requests
	for _, r := range a.inFlight {
		if now-max(r.due, o.from) >= waited && slices.Contains(o.routes, r.route) {
			n++
		}
	}
	return n, maps.Clone(o.calls), maps.Clone(o.answered)
}

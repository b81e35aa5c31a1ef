package runner

import (
	"maps"
	"slices"
	"time"

	"github.com/firedrill-dev/firedrill/runner/internal/aggregate"
	"github.com/firedrill-dev/firedrill/scenarios"
)

// outage is a time in which a service is down or hangs, and counts what is affected by it.
type outage struct {
	*aggregate.Outage
	before map[string]usage // usage of the links to the service when the outage began
}

// outage begins to count what is affected by a fault on a service.
func (s *session) outage(service string, at time.Duration) *outage {
	o := &outage{before: map[string]usage{}}
	var routes []string
	all := s.linkUsage()
	for _, l := range s.e.System.Links {
		if l.To == service {
			o.before[l.Name()] = all[l.Name()]
		}
	}
	if _, linked := s.system.Link(scenarios.Clients + " -> " + service); !linked {
		for _, l := range s.e.Loads() {
			for _, r := range l.Mix {
				if r.Asks(service) {
					routes = append(routes, r.Name())
				}
			}
		}
	}
	o.Outage = s.aggregator.BeginOutage(at, routes, slices.Collect(maps.Keys(o.before)))
	return o
}

// outageHits is what was affected by an outage: requests of the load and, by link, the calls or
// connections that were affected and the traffic meanwhile.
type outageHits struct {
	requests int64
	links    map[string]int64
	flows    map[string]usage
}

// hitsOf returns what the outage has affected so far.
func (s *session) hitsOf(o *outage) outageHits {
	requests, calls, answered := s.aggregator.Affected(o.Outage, s.now(), noticeable)
	hits := outageHits{requests: requests, links: map[string]int64{}, flows: map[string]usage{}}
	all := s.linkUsage()
	for name, before := range o.before {
		u := all[name].since(before)
		n := max(0, u.messages()-answered[name])
		if open := s.system.Links[name]; open != nil {
			met := u.outage.Refused + u.outage.Unreached
			if s.system.Relays[name] == nil { // calls are not parsed: count connections in use
				met = u.outage.Met() + open.Waiting(noticeable)
			}
			n = max(n, met)
		}
		hits.links[name], hits.flows[name] = n+calls[name], u
	}
	return hits
}

// totalHits returns how many calls, connections and requests an outage affected, how many of them are
// background, and whether the load is known to have caused some of the others.
func (s *session) totalHits(hits outageHits) (met, background int64, certain bool) {
	met, certain = hits.requests, hits.requests > 0
	for name, n := range hits.links {
		flow, idle := hits.flows[name], s.idleUse[name]
		usual, known := s.attribute(name, n, flow.operations, flow)
		if s.e.Load != nil {
			// The operation of calls in flight is not known.
			usual = max(usual, min(n, idle.expected(idle.messages(), flow.at)))
		}
		met += n
		background += min(n, usual)
		certain = certain || known && n > usual
	}
	return met, background, certain
}

// freezeHits fixes the hits of an injection at their current values.
func (s *session) freezeHits(in *injection, usages map[string]usage) {
	in.usageDuring = usages[in.targetName()].since(in.usageAtStart)
	if in.outage == nil {
		return
	}
	in.hits = s.hitsOf(in.outage)
	s.aggregator.EndOutage(in.outage.Outage)
}

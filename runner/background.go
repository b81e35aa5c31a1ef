package runner

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/link"
	"github.com/firedrill-dev/firedrill/scenarios"
)

// A fault counts as having acted only if it affected traffic that the load caused. Services also talk
// to each other without any load: health checks, heartbeats, polling. To distinguish the two, the
// links are watched for a moment before the load begins, and again after it has ended, because some
// heartbeats begin with the first request.
//
// The rate of an operation without the load is taken as its background rate for the whole run. Of what
// a fault affected, that share counts as background and the rest as hits. An operation that was not
// clearly more frequent in the baseline counts as background altogether. Traffic that carries the
// load's trace context always counts as the load's. Heartbeats with a period longer than the time for
// which the links are watched cannot be detected.

// idleTime is how long the links are watched without the load.
const idleTime = time.Second

// usage is the traffic of a link up to a moment, or during an interval.
type usage struct {
	at         time.Duration
	operations map[string]int64 // messages by operation; empty for a link with protocol tcp
	opened     int64            // connections opened
	bytes      int64            // bytes sent to the server
	outage     link.Outage
}

// linkUsage returns the traffic of every link up to now.
func (s *session) linkUsage() map[string]usage {
	all := map[string]usage{}
	at := s.now()
	for _, l := range s.e.System.Links {
		u := usage{at: at}
		if r := s.system.relays[l.Name()]; r != nil {
			u.operations = r.Operations()
		}
		if open := s.system.links[l.Name()]; open != nil {
			c := open.Counters()
			u.opened, u.bytes, u.outage = c.Opened, c.BytesToServer, open.Outage()
		}
		all[l.Name()] = u
	}
	return all
}

// since returns the difference between two usages of a link. In the result, at is the length of the
// interval.
func (u usage) since(o usage) usage {
	d := usage{at: u.at - o.at, operations: map[string]int64{}, opened: u.opened - o.opened, bytes: u.bytes - o.bytes, outage: u.outage.Sub(o.outage)}
	for op, n := range u.operations {
		if n -= o.operations[op]; n > 0 {
			d.operations[op] = n
		}
	}
	return d
}

// messages returns the number of messages of all operations.
func (u usage) messages() (n int64) {
	for _, of := range u.operations {
		n += of
	}
	return n
}

// measureIdle measures the traffic of the links before the load begins, if the scenario injects
// faults. If there is any, it measures again, for longer, because services do some work only right
// after their start, such as filling a pool or a cache.
func (s *session) measureIdle() {
	if !s.injectsFaults() {
		return
	}
	s.idleUse = s.usageWithin(idleTime)
	for _, u := range s.idleUse {
		if !u.isEmpty() {
			s.idleUse = s.usageWithin(2 * idleTime)
			return
		}
	}
}

// measureIdleAgain measures the traffic of the links after the load has ended. If the links that
// faults acted on carried any, services may still be finishing work of the load. It then takes a later
// measurement; see unfinished.
func (s *session) measureIdleAgain() {
	if !s.injectsFaults() || s.client == nil || s.stopCause() != nil {
		return
	}
	watched := idleTime
	if s.carriedRarely() {
		watched = 4 * idleTime
	}
	after := s.usageWithin(watched)
	if !s.anyCarried(after) {
		return
	}
	if watched == idleTime {
		after = s.usageWithin(2 * idleTime)
	}
	for name, u := range after {
		s.idleUse[name] = s.idleUse[name].busier(u.unfinished(s.idleUse[name], s.e.Load.Rate))
	}
}

// unfinished drops operations that did not occur before the load and continue at no less than half the
// rate of the load: services are still working through a long queue of its requests.
func (u usage) unfinished(before usage, rate float64) usage {
	u.operations = maps.Clone(u.operations)
	maps.DeleteFunc(u.operations, func(op string, n int64) bool {
		return before.operations[op] == 0 && 2*float64(n) >= rate*u.at.Seconds()
	})
	return u
}

// carriedRarely reports whether a fault on a link met far fewer messages than the load sent requests
// meanwhile. They may belong to a heartbeat that is just as rare.
func (s *session) carriedRarely() bool {
	return slices.ContainsFunc(s.allPlaced(), func(in *injection) bool {
		t := in.count.Tally()
		requested := s.e.Load.Rate * in.usageDuring.at.Seconds()
		return in.From != "" && t.Traced == 0 && t.Seen > 0 && len(t.Ops) > 0 && float64(t.Seen) < requested/4
	})
}

// anyCarried reports whether there was traffic on a link that a fault acted on, or on a link to a
// service that a fault acted on.
func (s *session) anyCarried(usages map[string]usage) bool {
	placed := s.allPlaced()
	return slices.ContainsFunc(s.e.System.Links, func(l scenarios.Link) bool {
		return !usages[l.Name()].isEmpty() && slices.ContainsFunc(placed, func(in *injection) bool { return in.targetName() == l.Name() || in.targetName() == l.To })
	})
}

// busier scales u to the length of o and returns the larger of the two, for each operation separately.
func (u usage) busier(o usage) usage {
	if u.at <= 0 || o.at <= 0 {
		return o
	}
	scale := func(n int64) int64 { return int64(math.Ceil(float64(n) * o.at.Seconds() / u.at.Seconds())) }
	o.operations = maps.Clone(o.operations)
	for op, n := range u.operations {
		o.operations[op] = max(o.operations[op], scale(n))
	}
	o.opened, o.bytes = max(o.opened, scale(u.opened)), max(o.bytes, scale(u.bytes))
	return o
}

// usageWithin returns the traffic of every link during d, or nil if the session ends first.
func (s *session) usageWithin(d time.Duration) map[string]usage {
	before := s.linkUsage()
	if s.sleep(d, nil) != nil {
		return nil
	}
	all := s.linkUsage()
	for name, u := range all {
		all[name] = u.since(before[name])
	}
	return all
}

// isEmpty reports whether there was no traffic.
func (u usage) isEmpty() bool { return u.messages() == 0 && u.bytes == 0 && u.opened == 0 }

// injectsFaults reports whether a step of the scenario injects a fault.
func (s *session) injectsFaults() bool {
	return slices.ContainsFunc(s.e.Steps, func(step scenarios.Step) bool { _, ok := step.Do.(scenarios.Inject); return ok })
}

// expected returns how many units to expect within d without the load, given that n of them were seen
// while the link was idle. It allows a margin because they do not arrive evenly.
func (u usage) expected(n int64, d time.Duration) int64 {
	if n == 0 || u.at <= 0 {
		return 0
	}
	return int64(math.Ceil(1.5*float64(n)*d.Seconds()/u.at.Seconds())) + 1
}

// attribute returns how much of what a fault met on a link is background, and whether the load is
// known to have caused some of the rest. ops counts what the fault met by operation and is empty if
// that is not known. flow is the traffic of the link meanwhile.
func (s *session) attribute(link string, met int64, ops map[string]int64, flow usage) (background int64, certain bool) {
	idle, base := s.idleUse[link], s.baselineUse[link]
	switch {
	case s.e.Load == nil || idle.isEmpty():
		return 0, true
	case len(ops) == 0 && !s.carriesLoad(link):
		return met, true
	case len(ops) == 0 && idle.opened > 0 && met <= idle.expected(idle.opened, flow.at):
		// Each heartbeat may open its own connection.
		return 0, false
	case len(ops) == 0 && len(base.operations) == 0:
		return 0, flow.atLeastHalf(flow.bytes, base.bytes, base.at)
	case len(ops) == 0:
		for op := range flow.operations {
			certain = certain || s.isLoad(link, op, flow)
		}
		return 0, certain
	}
	unaccounted, fresh := idle.messages(), int64(0)
	for op, n := range ops {
		q, b := idle.operations[op], base.operations[op]
		unaccounted -= q
		switch {
		case q == 0 && b == 0:
			fresh += n
		case q > 0 && !idle.clearlyLess(q, b, base.at):
			// Not caused by the load; it may be more frequent because it fails and is retried.
			background += n
		default:
			background += min(n, idle.expected(q, flow.at))
			certain = certain || s.isLoad(link, op, flow)
		}
	}
	usual := idle.expected(unaccounted, flow.at) // operations whose path contains a different word each time
	return background + min(fresh, usual), certain || fresh > usual
}

// isLoad reports whether an operation of flow is known to be caused by the load: it occurred in the
// baseline and not without the load. An operation that also occurs without the load may be a heartbeat
// that is more frequent because it fails.
func (s *session) isLoad(link, op string, flow usage) bool {
	return s.idleUse[link].operations[op] == 0 && s.baselineUse[link].operations[op] > 0 && flow.operations[op] > 0
}

// atLeastHalf reports whether n within u.at is at least half the rate of was within d.
func (u usage) atLeastHalf(n, was int64, d time.Duration) bool {
	return 2*float64(n)*d.Seconds() >= float64(was)*u.at.Seconds()
}

// carriesLoad reports whether a link carried clearly more in the baseline than without the load. A
// link without any idle traffic carries only the load.
func (s *session) carriesLoad(link string) bool {
	quiet, base := s.idleUse[link], s.baselineUse[link]
	return quiet.isEmpty() || quiet.clearlyLess(quiet.messages(), base.messages(), base.at) || quiet.clearlyLess(quiet.bytes, base.bytes, base.at)
}

// clearlyLess reports whether n in the idle time is a clearly lower rate than later within d.
func (u usage) clearlyLess(n, later int64, d time.Duration) bool { return later > u.expected(n, d) }

// outage is a period in which a service is down or hangs, and counts what was affected by it.
type outage struct {
	routes   []string // routes of the load that the service answers directly, without a link
	from     time.Duration
	before   map[string]usage // usage of the links to the service when the outage began
	requests int64            // requests of the load on routes that ended during the outage
	calls    map[string]int64 // by link: calls that were in flight when it began and got no answer
	answered map[string]int64 // by link: calls that began during the outage and were answered, as between repeated crashes
}

// outage begins to count what is affected by a fault on a service.
func (s *session) outage(service string, at time.Duration) *outage {
	o := &outage{from: at, before: map[string]usage{}, calls: map[string]int64{}, answered: map[string]int64{}}
	all := s.linkUsage()
	for _, l := range s.e.System.Links {
		if l.To == service {
			o.before[l.Name()] = all[l.Name()]
		}
	}
	if _, linked := s.system.link(scenarios.Clients + " -> " + service); !linked && s.e.Load != nil {
		for _, r := range s.e.Load.Mix {
			if r.Service == service {
				o.routes = append(o.routes, r.Name())
			}
		}
	}
	s.fold.addOutage(o)
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
	requests, calls, answered := s.fold.metOutage(o, s.now())
	hits := outageHits{requests: requests, links: map[string]int64{}, flows: map[string]usage{}}
	all := s.linkUsage()
	for name, before := range o.before {
		u := all[name].since(before)
		n := max(0, u.messages()-answered[name])
		if open := s.system.links[name]; open != nil {
			met := u.outage.Refused + u.outage.Unreached
			if s.system.relays[name] == nil { // calls are not parsed: count connections in use
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
	s.fold.removeOutage(in.outage)
}

// noticeable is the shortest wait that counts as an effect. A shorter one cannot be distinguished from
// usual latency.
const noticeable = 20 * time.Millisecond

// evidenceOf returns the evidence that the journal records for an injection. lived is how long the
// fault has been live. shared means that all of the affected traffic may be traffic that the load did
// not cause.
func (s *session) evidenceOf(in *injection, t evidence.Tally, lived time.Duration) (seen, affected, background int64, shared bool, hint string) {
	seen, affected = t.Seen, t.Affected
	certain := true
	switch {
	case in.outage != nil && s.e.Load == nil && len(in.outage.before) == 0:
		// User-defined steps call the service directly, which is not counted.
	case in.outage != nil && affected > 0:
		m := in.hits
		if in.healBegan == 0 {
			m = s.hitsOf(in.outage)
		}
		affected, background, certain = s.totalHits(m)
		seen = affected
		if affected == 0 {
			hint = fmt.Sprintf("no call or connection to %q met it: does the load make anything call %q, through a link?", in.To, in.To)
		}
	case in.From != "" && affected > 0:
		flow := in.usageDuring
		if in.healBegan == 0 {
			flow = s.linkUsage()[in.targetName()].since(in.usageAtStart)
		}
		background, certain = s.attribute(in.targetName(), affected, t.Ops, flow)
		if picks, ok := in.Fault.(interface{ Numbered() bool }); ok && picks.Numbered() && !s.idleUse[in.targetName()].isEmpty() {
			certain = false // it may have selected only heartbeats
		}
		background, certain = min(background, affected-t.Traced), certain || t.Traced > 0
	}
	if in.duration > 0 {
		lived = min(lived, in.duration) // do not count the runner's own delay
	}
	if k, ok := injector.KindOf(in.Fault); ok && k.Waits && in.healBegan > 0 && in.live > 0 && lived < noticeable && affected > 0 {
		background, hint = affected, fmt.Sprintf("it was live for %s, which is shorter than anything could notice", lived.Round(100*time.Microsecond))
	}
	if hint == "" && affected > 0 && background >= affected {
		hint = fmt.Sprintf("it affected %d %s, no more than without the load%s: heartbeats, or other traffic that the load does not cause",
			affected, in.unit, operationsOf(t))
	}
	return seen, affected, background, !certain && background < affected, hint
}

// operationsOf returns up to three of the operations that a fault affected, in parentheses.
func operationsOf(t evidence.Tally) string {
	var names []string
	for op := range t.Ops {
		names = append(names, fmt.Sprintf("%q", op))
	}
	if len(names) == 0 {
		return ""
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(a, b) })
	return " (" + strings.Join(names[:min(3, len(names))], ", ") + ")"
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

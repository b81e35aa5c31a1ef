package runner

import (
	"maps"
	"math"
	"slices"
	"time"

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
		if r := s.system.Relays[l.Name()]; r != nil {
			u.operations = r.Operations()
		}
		if open := s.system.Links[l.Name()]; open != nil {
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
// measurement, and further ones while there are operations that only the load began: heartbeats go on, but what a
// fault broke is repeated for some seconds only. See also unfinished.
func (s *session) measureIdleAgain() {
	if !s.injectsFaults() || len(s.loads) == 0 || s.stopCause() != nil {
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
	for range 3 {
		if !s.anyBegun(after) {
			break
		}
		after = s.usageWithin(2 * idleTime)
	}
	for name, u := range after {
		s.idleUse[name] = s.idleUse[name].busier(u.unfinished(s.idleUse[name], s.loadRate()))
	}
}

// anyBegun reports whether, after the load, a link carried an operation that a fault met and that did not occur before the
// load. Work of the load that is known to be unfinished does not count.
func (s *session) anyBegun(after map[string]usage) bool {
	return slices.ContainsFunc(s.allPlaced(), func(in *injection) bool {
		before := s.idleUse[in.targetName()]
		now := after[in.targetName()].unfinished(before, s.loadRate())
		for op := range in.count.Tally().Ops {
			if now.operations[op] > 0 && before.operations[op] == 0 {
				return true
			}
		}
		return false
	})
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

// loadRate returns the rate at which the loads began or, of a load without one, its mean rate.
func (s *session) loadRate() (rate float64) {
	for _, r := range s.loads {
		if r.Shape == scenarios.Open {
			rate += r.Rate
		} else {
			rate += r.meanRate
		}
	}
	return rate
}

// carriedRarely reports whether a fault on a link met far fewer messages than the load sent requests
// meanwhile. They may belong to a heartbeat that is just as rare.
func (s *session) carriedRarely() bool {
	return slices.ContainsFunc(s.allPlaced(), func(in *injection) bool {
		t := in.count.Tally()
		requested := s.loadRate() * in.usageDuring.at.Seconds()
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

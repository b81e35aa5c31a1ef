package scenarios

import (
	"fmt"
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/injector/protocols"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// scope is what a check requires from other sentences.
type scope struct {
	route    string
	window   journal.Window
	load     bool // needs requests
	baseline bool // needs a baseline
	ledger   bool // needs effects
	key      bool // needs keyed requests
}

func scopeOf(c check.Check) scope {
	switch c := c.(type) {
	case check.Success:
		return scope{route: c.Route, window: c.Window, load: true}
	case check.Latency:
		return scope{route: c.Route, window: c.Window, load: true, baseline: c.Times > 0}
	case check.Fallback:
		return scope{route: c.Route, window: c.Window, load: true}
	case check.NotAffected:
		return scope{route: c.Route, window: journal.During, load: true, baseline: true}
	case check.NothingSlower:
		return scope{route: c.Route, window: c.Window, load: true}
	case check.Recovers:
		return scope{route: c.Route, window: journal.After, load: true}
	case check.CallsTimesNormal:
		return scope{window: c.Window, load: true, baseline: true}
	case check.CallsPerSecond:
		return scope{window: c.Window}
	case check.GivesUp:
		return scope{window: journal.During}
	case check.Affected:
		return scope{window: journal.During}
	case check.ExactlyOnce, check.NoneLost, check.NoneTwice, check.NoPhantom:
		return scope{load: true, ledger: true, key: true}
	case check.SameResponse, check.KeyReuseRefused:
		return scope{load: true, key: true}
	}
	return scope{}
}

func after(c check.Check) bool { return scopeOf(c).window == journal.After }

// finishChecks validates the requirements of the checks, and completes them with settings of other sentences.
func (r *resolver) finishChecks() {
	for i, c := range r.Checks {
		at := r.checkPositions[i]
		s := scopeOf(c.Check)
		if s.window != "" && len(r.injections()) == 0 {
			r.addMissing(at, "no fault is injected in this scenario, so there is no time before, during or after it", "add a fault, or leave out when")
		}
		r.needsLoad(at, s)
		r.checkNames(at, c.Check)
		r.Checks[i].Check = r.completed(at, c.Check)
	}
	if r.Load == nil {
		return
	}
	if r.Load.Marker == nil {
		r.Load.Marker = r.System.Fallback
	}
	if r.System.FallbackIsSuccess {
		r.Load.FallbackIsSuccess = true
	}
}

func (r *resolver) needsLoad(at pos, s scope) {
	const add = `add: a steady load of 100 requests per second on "POST /orders"`
	if r.Load == nil {
		switch {
		case s.baseline:
			r.addMissing(at, "this compares with a baseline, and there is no load to measure one", add)
		case s.load:
			r.addMissing(at, "this asks about requests, and there is no load", add)
		}
		return
	}
	if s.ledger && r.Effects == nil {
		r.addMissing(at, "nobody knows where applied effects can be read", `add: applied effects are read from "GET /ledger"`)
	}
	if s.key && r.Load.KeyHeader == "" {
		r.addMissing(at, "requests carry no key, so none can be told from another", `add: every request carries a fresh idempotency key in the "Idempotency-Key" header`)
	}
	if _, _, err := parseRoute(s.route); err == nil {
		var routes []string
		for _, rt := range r.Load.Mix {
			routes = append(routes, rt.Name())
		}
		if !slices.Contains(routes, s.route) {
			r.addMissing(at, fmt.Sprintf("no load runs on %q", s.route), didYouMean(s.route, routes, "routes of the load"))
		}
	}
}

// checkNames validates the services and links that a check mentions.
func (r *resolver) checkNames(at pos, c check.Check) {
	switch c := c.(type) {
	case check.Affected:
		r.affected(at, c)
	case check.GivesUp:
		if l, ok := r.System.link(c.From, c.To); !ok {
			r.noLink(at, c.From, c.To)
		} else {
			r.requireCalls(at, l)
		}
	case check.CallsTimesNormal:
		r.requireIncomingCalls(at, c.To)
	case check.CallsPerSecond:
		r.requireIncomingCalls(at, c.To)
	}
}

func (r *resolver) affected(at pos, c check.Affected) {
	if c.From == "" {
		if r.serviceNamed(at, c.To) < 0 {
			return
		}
	} else if l, ok := r.linkOf(c); !ok {
		r.noLink(at, c.From, c.To)
		return
	} else {
		r.requireUnit(at, l, c.Unit)
	}
	on := c.To
	if c.From != "" {
		on = Link{From: c.From, To: c.To}.Name()
	}
	if !slices.ContainsFunc(r.injections(), func(p Placed) bool { return p.On() == on }) {
		on = fmt.Sprintf("from %q to %q", c.From, c.To)
		if c.From == "" {
			on = fmt.Sprintf("on %q itself", c.To)
		}
		r.addMissing(at, "no fault of this scenario acts "+on, "ask about a fault that is injected above")
	}
}

// linkOf returns the link that a check is about. Messages can go in either direction of a link.
func (r *resolver) linkOf(c check.Affected) (Link, bool) {
	l, ok := r.System.link(c.From, c.To)
	if !ok && c.Unit == "messages" {
		l, ok = r.System.link(c.To, c.From)
	}
	return l, ok
}

func (r *resolver) requireIncomingCalls(at pos, to string) {
	if r.serviceNamed(at, to) < 0 {
		return
	}
	for _, l := range r.System.Links {
		if row, ok := protocols.Find(l.protocol()); ok && !row.UDP && l.To == to { // commands of Redis count as calls
			return
		}
	}
	r.addProblem(at, fmt.Sprintf("no link to %q has calls that could be counted", to), "declare the protocol of a link to it: http")
}

func (r *resolver) requireCalls(at pos, l Link) { r.requireUnit(at, l, "calls") }

// requireUnit reports a link whose protocol does not have the given unit.
func (r *resolver) requireUnit(at pos, l Link, unit string) {
	if unit != "calls" && unit != "messages" {
		return
	}
	if row, ok := protocols.Find(l.protocol()); !ok || row.Unit != unit {
		r.addProblem(at, fmt.Sprintf("the link %s speaks %s, which has no %s", l.Name(), l.protocol(), unit), "declare its protocol: "+strings.Join(protocolsWithUnit(unit), ", "))
	}
}

// completed returns a check with settings of other sentences: the steady state and the mark of fallbacks.
func (r *resolver) completed(at pos, c check.Check) check.Check {
	switch c := c.(type) {
	case check.KeyReuseRefused:
		r.requireVaryingBodies(at)
		return c
	case check.Recovers:
		c.Steady = r.Steady
		return c
	case check.Fallback:
		if r.Load == nil {
			return c
		}
		r.Load.FallbackIsSuccess = true
		mark := r.System.Fallback
		if c.Header != "" {
			mark, _ = parseHeader(c.Header)
		}
		switch {
		case mark == nil:
			r.addMissing(at, "nobody knows how a fallback is marked", `add: , marked by header "X-Degraded: true"; or name it in the system file: fallback: "X-Degraded: true"`)
			return c
		case r.Load.Marker != nil && *r.Load.Marker != *mark:
			r.addProblem(at, fmt.Sprintf("fallbacks are marked by %q elsewhere in this scenario", r.Load.Marker.Name+": "+r.Load.Marker.Value), "use one mark")
		}
		r.Load.Marker = mark
		c.Header = mark.Name + ": " + mark.Value
		return c
	}
	return c
}

// requireVaryingBodies reports that a key cannot be sent again with a different body, because all bodies of a
// route are the same. Firedrill does not alter bodies by itself: a service may rightly answer 400 to an unknown
// field.
func (r *resolver) requireVaryingBodies(at pos) {
	if r.Load == nil {
		return
	}
	bodies := 0
	for _, rt := range r.Load.Mix {
		switch {
		case rt.Body == "":
			continue
		case !rt.Varies():
			r.addMissing(at, fmt.Sprintf("every %q request has the same body, so no key can be sent again with a different one", rt.Name()), `let the body hold {{n}}, the request's number: {"item": "x", "quantity": {{n}}}`)
		}
		bodies++
	}
	if bodies == 0 {
		r.addMissing(at, "no request of the load has a body, so no key can be sent again with a different one", `give the load a body that holds {{n}}: ... on "POST /orders" with this body:`)
	}
}

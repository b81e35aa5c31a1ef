package scenarios

import (
	"fmt"
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// scope is what a check is about, as far as it has to be declared elsewhere.
type scope struct {
	route    string
	window   journal.Window
	load     bool // asks about requests
	baseline bool // compares with the baseline
	ledger   bool // reads effects
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

// finishChecks judges what the checks need, and hands them what was said elsewhere.
func (d *draft) finishChecks() {
	for i, c := range d.Checks {
		at := d.checkPlaces[i]
		s := scopeOf(c.Check)
		if s.window != "" && len(d.injections()) == 0 {
			d.lacks(at, "no fault is injected in this scenario, so there is no time before, during or after it", "add a fault, or leave out when")
		}
		d.needsLoad(at, s)
		d.names(at, c.Check)
		d.Checks[i].Check = d.completed(at, c.Check)
	}
	if d.Load == nil {
		return
	}
	if d.Load.Marker == nil {
		d.Load.Marker = d.System.Fallback
	}
	if d.System.FallbackIsSuccess {
		d.Load.FallbackIsSuccess = true
	}
	for i, c := range d.Checks {
		if s, ok := c.Check.(check.Success); ok {
			s.Fallbacks = d.Load.FallbackIsSuccess
			d.Checks[i].Check = s
		}
	}
}

func (d *draft) needsLoad(at place, s scope) {
	const add = `add: a steady load of 100 requests per second on "POST /orders"`
	if d.Load == nil {
		switch {
		case s.baseline:
			d.lacks(at, "this compares with a baseline, and there is no load to measure one", add)
		case s.load:
			d.lacks(at, "this asks about requests, and there is no load", add)
		}
		return
	}
	if s.ledger && d.Effects == nil {
		d.lacks(at, "nobody knows where applied effects can be read", `add: applied effects are read from "GET /ledger"`)
	}
	if s.key && d.Load.KeyHeader == "" {
		d.lacks(at, "requests carry no key, so none can be told from another", `add: every request carries a fresh idempotency key in the "Idempotency-Key" header`)
	}
	if _, _, err := parseRoute(s.route); err == nil {
		var routes []string
		for _, r := range d.Load.Mix {
			routes = append(routes, r.Name())
		}
		if !slices.Contains(routes, s.route) {
			d.lacks(at, fmt.Sprintf("no load runs on %q", s.route), didYouMean(s.route, routes, "routes of the load"))
		}
	}
}

// names judges the services and links that a check speaks of.
func (d *draft) names(at place, c check.Check) {
	switch c := c.(type) {
	case check.Affected:
		d.affected(at, c)
	case check.GivesUp:
		if l, ok := d.System.link(c.From, c.To); !ok {
			d.noLink(at, c.From, c.To)
		} else {
			d.countsCalls(at, l)
		}
	case check.CallsTimesNormal:
		d.receivesCalls(at, c.To)
	case check.CallsPerSecond:
		d.receivesCalls(at, c.To)
	}
}

func (d *draft) affected(at place, c check.Affected) {
	if c.From == "" {
		if d.serviceNamed(at, c.To) < 0 {
			return
		}
	} else if l, ok := d.carries(c); !ok {
		d.noLink(at, c.From, c.To)
		return
	} else {
		d.countsUnit(at, l, c.Unit)
	}
	on := c.To
	if c.From != "" {
		on = Link{From: c.From, To: c.To}.Name()
	}
	if !slices.ContainsFunc(d.injections(), func(p Placed) bool { return p.On() == on }) {
		on = fmt.Sprintf("from %q to %q", c.From, c.To)
		if c.From == "" {
			on = fmt.Sprintf("on %q itself", c.To)
		}
		d.lacks(at, "no fault of this scenario acts "+on, "ask about a fault that is injected above")
	}
}

// carries finds the link that a check is about; messages go both ways.
func (d *draft) carries(c check.Affected) (Link, bool) {
	l, ok := d.System.link(c.From, c.To)
	if !ok && c.Unit == "messages" {
		l, ok = d.System.link(c.To, c.From)
	}
	return l, ok
}

func (d *draft) receivesCalls(at place, to string) {
	if d.serviceNamed(at, to) < 0 {
		return
	}
	for _, l := range d.System.Links {
		if row, ok := message.ProtocolOf(l.protocol()); ok && !row.UDP && l.To == to { // commands of Redis are counted as calls are
			return
		}
	}
	d.blame(at, fmt.Sprintf("no link to %q has calls that could be counted", to), "declare the protocol of a link to it: http")
}

func (d *draft) countsCalls(at place, l Link) { d.countsUnit(at, l, "calls") }

// countsUnit complains of a link whose protocol has none of what is asked about.
func (d *draft) countsUnit(at place, l Link, unit string) {
	if unit != "calls" && unit != "messages" {
		return
	}
	if row, ok := message.ProtocolOf(l.protocol()); !ok || row.Unit != unit {
		d.blame(at, fmt.Sprintf("the link %s speaks %s, which has no %s", l.Name(), l.protocol(), unit), "declare its protocol: "+strings.Join(speaking(unit), ", "))
	}
}

// completed is a check with what was said elsewhere: the steady state, the mark of fallbacks.
func (d *draft) completed(at place, c check.Check) check.Check {
	switch c := c.(type) {
	case check.Recovers:
		c.Steady = d.Steady
		return c
	case check.Fallback:
		if d.Load == nil {
			return c
		}
		d.Load.FallbackIsSuccess = true
		mark := d.System.Fallback
		if c.Header != "" {
			mark, _ = parseHeader(c.Header)
		}
		switch {
		case mark == nil:
			d.lacks(at, "nobody knows how a fallback is marked", `add: , marked by header "X-Degraded: true"; or name it in the system file: fallback: "X-Degraded: true"`)
			return c
		case d.Load.Marker != nil && *d.Load.Marker != *mark:
			d.blame(at, fmt.Sprintf("fallbacks are marked by %q elsewhere in this scenario", d.Load.Marker.Name+": "+d.Load.Marker.Value), "use one mark")
		}
		d.Load.Marker = mark
		c.Header = mark.Name + ": " + mark.Value
		return c
	}
	return c
}

package scenarios

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// A check that nothing could violate proves nothing. The functions in this file find such checks before the run,
// as far as the scenario shows it. The checks themselves find the others from the facts of the run. Only whether a
// route can be affected at all is not among those facts; it is passed to the run.

// unreached returns why the faults end too early for a request to exceed a limit. It returns "" if a request
// could, or if that is not known.
func (r *resolver) unreached(c check.Check) string {
	limit, w := limitOf(c), scopeOf(c).window
	if limit == 0 || (w != journal.During && w != "") {
		return ""
	}
	if held := r.held(); held > 0 && limit >= held {
		return fmt.Sprintf("the fault lasts %s, and healing it ends every wait, so that no request takes longer; let it last longer than %s", check.Duration(held), check.Duration(limit))
	}
	return ""
}

// held returns for how long the faults make something wait at most, if healing ends every wait. It returns 0 if
// there are none, if one can make something wait after its healing, or if their duration is not known.
func (r *resolver) held() time.Duration {
	var longest, now time.Duration
	live := 0
	pass := func(t time.Duration) {
		if live > 0 {
			now += t
			longest = max(longest, now)
		} else if t > 0 {
			now = 0
		}
	}
	for _, s := range r.Steps {
		switch do := s.Do.(type) {
		case Inject:
			if slices.ContainsFunc(do.Faults, func(p Placed) bool { return !r.waits(p) }) {
				return 0
			}
			live += len(do.Faults)
			pass(do.For)
			if do.For > 0 {
				live -= len(do.Faults)
			}
		case Heal:
			live = max(0, live-1)
			if do.All {
				live = 0
			}
		case Wait:
			pass(do.For)
		case ChangeLoad:
			pass(do.Over)
		case Confirm:
			return 0
		}
		if s.Foreign {
			return 0
		}
	}
	return longest
}

// waits reports whether the only effect of a fault is that something waits, at most until healing. Datagram links
// do not hold anything back.
func (r *resolver) waits(p Placed) bool {
	kind, ok := injector.KindOf(p.Fault)
	if l, linked := r.System.link(p.From, p.To); linked && l.udp() {
		return false
	}
	return ok && kind.Waits
}

// delay returns the longest delay that a fault causes. ok is false for faults that do something else.
func delay(f injector.Fault) (most time.Duration, ok bool) {
	switch f := f.(type) {
	case injector.SlowCalls:
		return f.By + f.Jitter, true
	case injector.SlowReplies:
		return f.By + f.Jitter, true
	case injector.SlowTraffic:
		return 2 * (f.By + f.Jitter), f.Spread == 0 // there and back
	case injector.SlowMessages:
		return f.By + f.Jitter, true
	}
	return 0, false
}

// notGivenUp returns why no service has to give up on a call, or why it would not be seen. It returns "" if that
// is not known.
func (r *resolver) notGivenUp(c check.Check) string {
	g, ok := c.(check.GivesUp)
	if !ok {
		return ""
	}
	var latest time.Duration
	on, late, unseen := 0, 0, 0
	says := ""
	for _, p := range r.injections() {
		if p.On() != (Link{From: g.From, To: g.To}).Name() && p.On() != g.To {
			continue
		}
		on++
		if most, ok := delay(p.Fault); ok {
			late, latest = late+1, max(latest, most)
		}
		if kind, _ := injector.KindOf(p.Fault); kind.Unseen {
			unseen, says = unseen+1, p.Fault.Say(p.From, p.To)
		}
	}
	held := r.held()
	switch {
	case on == 0:
		return ""
	case unseen == on:
		return g.UnseenReason(says)
	case late == on && latest <= g.Within:
		return fmt.Sprintf("the fault makes no call wait for longer than %s, so nothing has to be given up on; use a longer delay", check.Duration(latest))
	case held > 0 && held < g.Bound():
		return fmt.Sprintf("the fault lasts %s, and healing it ends every wait, so that nothing waits longer; let it last longer than %s", check.Duration(held), check.Duration(g.Bound()))
	case g.Bound() >= r.Load.Attempt():
		return fmt.Sprintf("clients of the load give up after %s, which may end the waits of %q; let clients give up later than %s", check.Duration(r.Load.Attempt()), g.From, check.Duration(g.Within))
	}
	return ""
}

// unprovoked returns why the faults give callers no reason to retry. It returns "" if they may, or if that is not
// known.
func (r *resolver) unprovoked(c check.Check) string {
	times, ok := c.(check.CallsTimesNormal)
	if !ok || times.Window == journal.Before || len(r.injections()) == 0 {
		return ""
	}
	for _, p := range r.injections() {
		if p.To != times.To {
			return ""
		}
		if most, ok := delay(p.Fault); (!ok || most >= check.RetryDelay) && !slices.Contains(check.UnnoticedFaults, p.Kind) {
			return ""
		}
	}
	return fmt.Sprintf("no fault makes a call fail, or wait for %s, so no caller has a reason to retry; let calls fail, or delay them for longer", check.Duration(check.RetryDelay))
}

// unreachable returns why no fault can affect the route of a check: nothing connects the service that answers it
// with the targets of the faults. It returns "" if that is not known.
func (r *resolver) unreachable(c check.Check) string {
	s := scopeOf(c)
	switch c.(type) {
	case check.NotAffected, check.Recovers, check.Success, check.Latency, check.NothingSlower:
	default:
		return ""
	}
	if s.route == "" || (s.window != journal.During && s.window != journal.After) || len(r.injections()) == 0 {
		return ""
	}
	i := slices.IndexFunc(r.Load.Mix, func(rt Route) bool { return rt.Name() == s.route })
	if i < 0 || r.Load.Mix[i].Service == "" {
		return ""
	}
	service := r.Load.Mix[i].Service
	var breaks []string
	for _, p := range r.injections() {
		for _, name := range []string{p.From, p.To} {
			if name != "" && name != Clients {
				breaks = append(breaks, name)
			}
		}
	}
	if !r.System.knownUnconnected(service, breaks) {
		return ""
	}
	return fmt.Sprintf("%q is answered by %q, which no link connects with what breaks (%s): it cannot be affected", s.route, service, quotedList(breaks))
}

func quotedList(names []string) string {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	for i, name := range names {
		names[i] = fmt.Sprintf("%q", name)
	}
	return strings.Join(names, ", ")
}

// knownUnconnected reports whether it is certain that nothing connects a service with others, in either direction.
// It is not certain if a service on its side already runs, or runs in this process, and declares no dependency.
// Nor is it if a service on the other side has a fixed port or address, which others may know without a
// declaration.
func (s *System) knownUnconnected(service string, others []string) bool {
	near := s.connected(service)
	far := map[string]bool{}
	for _, name := range others {
		for other := range s.connected(name) {
			far[other] = true
		}
	}
	for _, x := range s.Services {
		declares := slices.ContainsFunc(s.Links, func(l Link) bool { return l.From == x.Name })
		switch {
		case near[x.Name] && far[x.Name]:
			return false
		case near[x.Name] && (x.Handler != nil || (x.Address != "" && !declares)):
			return false
		case far[x.Name] && (x.Port != 0 || x.Address != ""):
			return false
		}
	}
	return true
}

// connected returns a service and all services that links, addresses in commands, or groups connect with it.
func (s *System) connected(service string) map[string]bool {
	seen := map[string]bool{}
	var visit func(name string)
	visit = func(name string) {
		if seen[name] || name == Clients {
			return
		}
		seen[name] = true
		for _, l := range s.Links {
			switch name {
			case l.From:
				visit(l.To)
			case l.To:
				visit(l.From)
			}
		}
		for _, g := range s.Groups {
			if slices.Contains(g.Members, name) {
				for _, member := range g.Members {
					visit(member)
				}
			}
		}
		for _, x := range s.Services {
			for _, y := range s.Services {
				if x.hasAddressOf(y.Name) && (x.Name == name || y.Name == name) {
					visit(x.Name)
					visit(y.Name)
				}
			}
		}
	}
	visit(service)
	return seen
}

// hasAddressOf reports whether a service is given the address of another.
func (s Service) hasAddressOf(other string) bool {
	address := "${address:" + other + "}"
	in := func(text string) bool { return strings.Contains(text, address) }
	if slices.ContainsFunc(s.Command, in) {
		return true
	}
	for _, value := range s.Env {
		if in(value) {
			return true
		}
	}
	return false
}

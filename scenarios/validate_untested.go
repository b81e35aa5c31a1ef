package scenarios

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
	"github.com/firedrill-dev/firedrill/scenarios/system"
)

// A check that nothing could violate proves nothing. The functions in this file find such checks before the run,
// as far as the scenario shows it. The checks themselves find the others from the facts of the run. Only whether a
// route can be affected at all is not among those facts; it is passed to the run.

// unreached returns why the faults end too early for a request to exceed a limit. It returns "" if a request
// could, or if that is not known.
func (r *Resolver) unreached(n check.Needs) string {
	limit := n.Limit
	if limit == 0 || (n.Window != journal.During && n.Window != "") {
		return ""
	}
	if held := r.held(); held > 0 && limit >= held {
		return fmt.Sprintf("the fault lasts %s, and healing it ends every wait, so that no request takes longer; let it last longer than %s", check.Duration(held), check.Duration(limit))
	}
	return ""
}

// held returns for how long the faults make something wait at most, if healing ends every wait. It returns 0 if
// there are none, if one can make something wait after its healing, or if their duration is not known.
func (r *Resolver) held() time.Duration {
	if slices.ContainsFunc(r.injections(), func(p Placed) bool { return !r.waits(p) }) {
		return 0
	}
	return r.longestOutage()
}

// longestOutage returns the longest time in which faults are live without a break. It returns 0 if there are none, or
// if that is not known.
func (r *Resolver) longestOutage() time.Duration {
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
		case RateChange:
			pass(do.Takes())
		case Confirm, SendRequests:
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
func (r *Resolver) waits(p Placed) bool {
	if l, linked := r.System.Link(p.From, p.To); linked && l.UDP() {
		return false
	}
	return p.Fault.Kind().Waits
}

// drill returns what checks have to know about the scenario before its run.
func (r *Resolver) drill() check.Drill {
	d := check.Drill{Held: r.held(), GiveUp: r.Load.Attempt(), Lasts: r.longestOutage(), Rises: r.loadRises(),
		Success: r.leastSuccess(), Requests: r.allDue(), Reads: r.onlyReads(), Unique: r.uniqueInBody, Apart: r.apart, ByClient: r.byClient}
	for _, p := range r.injections() {
		k := p.Fault.Kind()
		d.Faults = append(d.Faults, check.PlannedFault{Kind: k.Name, Says: p.Fault.Say(p.From, p.To), To: p.To, On: p.On(), Delay: k.Delay, Unseen: k.Unseen, Unnoticed: k.Unnoticed})
	}
	return d
}

// leastSuccess returns the success before the faults without which nothing is injected.
func (r *Resolver) leastSuccess() float64 {
	for _, s := range r.Steady {
		if s.Measure == "success" {
			return s.Ratio
		}
	}
	return check.LeastSuccess
}

// allDue returns about how many requests are due in all, or 0 if that is not known.
func (r *Resolver) allDue() (sum float64) {
	for _, l := range r.Loads() {
		due, known := r.due(l, "")
		if !known {
			return 0
		}
		sum += due
	}
	return sum
}

func (r *Resolver) onlyReads() bool {
	for _, l := range r.Loads() {
		if slices.ContainsFunc(l.Mix, func(rt Route) bool { return !rt.Safe() }) {
			return false
		}
	}
	return true
}

// uniqueInBody reports whether in all requests with a field of JSON its value is the number or the key of the request.
func (r *Resolver) uniqueInBody(field string) bool {
	named := regexp.MustCompile(`"` + regexp.QuoteMeta(field) + `"\s*:\s*("?[^",]*)`)
	found := false
	for _, l := range r.Loads() {
		for _, rt := range l.Mix {
			for _, s := range rt.Steps() {
				value := named.FindStringSubmatch(s.Body)
				if value == nil {
					continue
				}
				if !strings.Contains(value[1], "{{n}}") && !strings.Contains(value[1], "{{key}}") {
					return false
				}
				found = true
			}
		}
	}
	return found
}

// apart returns why no fault can affect a service, or "" if one may.
func (r *Resolver) apart(service string) string {
	breaks := r.breaking()
	if len(breaks) == 0 || !r.System.KnownUnconnected(service, breaks) {
		return ""
	}
	return fmt.Sprintf("no link connects %q with what breaks (%s), so that it cannot be affected; ask about a service that depends on it", service, quotedList(breaks))
}

// byClient returns the most calls that clients of the load make to a service in a second and for a request, if nothing
// else calls it and no fault can hold calls back that arrive together later. It returns 0 if that is not known.
func (r *Resolver) byClient(to string) (perSecond, perRequest float64) {
	for _, l := range r.System.Links {
		if l.To == to && l.From != system.Clients {
			return 0, 0
		}
	}
	if slices.ContainsFunc(r.injections(), func(p Placed) bool { return p.To == to }) || !r.System.Whole() {
		return 0, 0
	}
	for _, l := range r.Loads() {
		if l.Shape != Open {
			return 0, 0
		}
		share, steps := 0.0, 1
		for _, rt := range l.Mix {
			if rt.Asks(to) {
				share, steps = share+rt.Share, max(steps, len(rt.Steps()))
			}
		}
		attempts := float64(steps * (1 + l.Retries))
		if l.Policy.Hedge > 0 {
			attempts *= 2
		}
		_, highest, _ := r.runs(l.Name)
		const margin = 1.5 // seconds may hold more than the rate
		perSecond += margin * max(l.Rate, highest) * share * attempts
		perRequest = max(perRequest, attempts)
	}
	return perSecond, perRequest
}

// breaking returns the services that faults act on, or on whose links they do.
func (r *Resolver) breaking() (names []string) {
	for _, p := range r.injections() {
		for _, name := range []string{p.From, p.To} {
			if name != "" && name != system.Clients {
				names = append(names, name)
			}
		}
	}
	return names
}

// loadRises reports whether a step raises the rate of the load, or may do so.
func (r *Resolver) loadRises() bool {
	return slices.ContainsFunc(r.Steps, func(s Step) bool {
		if change, ok := s.Do.(ChangeLoad); ok {
			return change.To > change.From
		}
		_, ok := s.Do.(RateChange) // a spike, swing or recording
		return s.Foreign || ok
	})
}

// unreachable returns why no fault can affect the route of a check: nothing connects the service that answers it
// with the targets of the faults. It returns "" if that is not known.
func (r *Resolver) unreachable(k check.Kind) string {
	s := k.Needs
	if !k.Unharmed || s.Route == "" || (s.Window != journal.During && s.Window != journal.After) || len(r.injections()) == 0 {
		return ""
	}
	service := ""
	for _, l := range r.loadsOf(s.OfLoad) {
		for _, rt := range l.Mix {
			if rt.Name() == s.Route && len(rt.Then) > 0 { // a chain may have steps elsewhere
				return ""
			}
			if rt.Name() == s.Route {
				service = rt.Service
			}
		}
	}
	if service == "" {
		return ""
	}
	breaks := r.breaking()
	if !r.System.KnownUnconnected(service, breaks) {
		return ""
	}
	return fmt.Sprintf("%q is answered by %q, which no link connects with what breaks (%s): it cannot be affected", s.Route, service, quotedList(breaks))
}

func quotedList(names []string) string {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	for i, name := range names {
		names[i] = fmt.Sprintf("%q", name)
	}
	return strings.Join(names, ", ")
}

package scenarios

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/scenarios/check"
)

// finish validates the scenario as a whole and fills in values that depend on several sentences.
func (r *resolver) finish() {
	r.step, r.misread = nil, r.problems > 0
	if len(r.Steps) == 0 {
		r.addProblem(r.begin, "the scenario has no steps", "write what it does, or take it out")
		return
	}
	if r.broken {
		return // names cannot be judged without the system
	}
	if len(r.System.Services) == 0 {
		if slices.ContainsFunc(r.Steps, func(s Step) bool { return !s.Foreign }) {
			r.addMissing(r.begin, "no system is described", `begin with: Given the system described in "system.yaml"`)
		}
		return
	}
	r.applyTLS()
	if r.fromSentences {
		r.System.validate(r.handlers, func(name, _ string) pos { return cmp.Or(r.describedAt[name], r.systemAt) }, r.addProblem)
	}
	for _, f := range r.deferred {
		f()
	}
	r.finishLoad()
	r.finishEffects()
	r.finishFaults()
	r.finishChecks()
	r.Recovery = r.recovery()
	r.finishProof()
}

func (r *resolver) finishLoad() {
	if r.Load == nil {
		for _, setting := range []struct {
			at   pos
			what string
		}{{r.keyAt, "a key"}, {r.retryAt, "retries"}, {r.giveUpAt, "giving up"}, {r.baselineAt, "a baseline"}, {r.meansAt, "the meaning of a status"}, {r.expectAt(), "expected statuses"}} {
			if setting.at != (pos{}) {
				r.addMissing(setting.at, fmt.Sprintf("%s without a load: no client asks anything", setting.what), `add: a steady load of 100 requests per second on "POST /orders"`)
			}
		}
		return
	}
	for i := range r.Load.Mix {
		r.Load.Mix[i].Service = r.requireTCP(r.loadAt, r.serves(r.loadAt, r.Load.Mix[i].Path))
	}
	r.finishOutcomes()
	if r.retryAt != (pos{}) && r.Load.KeyHeader == "" && strings.Contains(r.retryAt.text, "with the same key") {
		r.addMissing(r.retryAt, "there is no key that could be the same", `add: every request carries a fresh idempotency key in the "Idempotency-Key" header`)
	}
	if r.Baseline == 0 && len(r.injections()) > 0 {
		r.Baseline = 5 * time.Second
	}
	windowed := slices.ContainsFunc(r.Checks, func(c Check) bool { return scopeOf(c.Check).window != "" }) // these report a missing fault
	if r.Baseline == 0 && !windowed && !slices.ContainsFunc(r.Steps, func(s Step) bool { return s.Do != nil || s.Foreign }) {
		r.addMissing(r.loadAt, "the load would last no time", "add a fault, or: When 30s pass")
	}
}

// serves returns the service that answers a path: the one that declares the longest prefix of it, or else the only
// service that no other depends on.
func (r *resolver) serves(at pos, path string) string {
	best, longest := "", -1
	for _, s := range r.System.Services {
		for _, prefix := range s.Serves {
			if hasPathPrefix(path, prefix) && len(prefix) > longest {
				best, longest = s.Name, len(prefix)
			}
		}
	}
	if best != "" {
		return best
	}
	var first []string
	for _, s := range r.System.Services {
		if !slices.ContainsFunc(r.System.Links, func(l Link) bool { return l.To == s.Name && l.From != Clients }) {
			first = append(first, s.Name)
		}
	}
	if len(first) == 1 {
		return first[0]
	}
	r.addProblem(at, fmt.Sprintf("nobody knows which service answers %q: it could be %s", path, list(first)), "say in the system file what a service `serves`: [/orders]")
	return ""
}

// requireTCP reports a service that clients could only reach over a Unix socket, and returns its name.
func (r *resolver) requireTCP(at pos, service string) string {
	if slices.ContainsFunc(r.System.Services, func(s Service) bool { return s.Name == service && strings.HasPrefix(s.Address, unixPrefix) }) {
		r.addProblem(at, fmt.Sprintf("%q listens on a Unix socket, and clients ask over TCP", service), "let clients ask a service that has a port")
	}
	return service
}

func hasPathPrefix(path, prefix string) bool {
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (rest == "" || strings.HasSuffix(prefix, "/") || rest[0] == '/' || rest[0] == '?')
}

// effects sets where effects are read.
func (r *resolver) effects(at pos, route string) {
	r.describe(at)
	r.setOnce(&r.effectsAt, at, "where effects are read")
	method, path, err := parseRoute(route)
	if err != nil {
		return // the caller reports it
	}
	r.Effects = &Effects{Method: method, Path: path, Step: r.step.Step}
	r.atEnd(func() { r.Effects.Service = r.requireTCP(at, r.serves(at, path)) })
}

// settles sets how long effects may take to appear.
func (r *resolver) settles(at pos, within time.Duration) {
	r.describe(at)
	if r.setOnce(&r.settleAt, at, "how long effects take to settle") {
		r.settleWithin = within
	}
}

// finishEffects stores the time in which effects settle, and reports a problem if no effects are read.
func (r *resolver) finishEffects() {
	switch {
	case r.settleAt == (pos{}):
	case r.Effects == nil:
		r.addMissing(r.settleAt, "no effects are read in this scenario", `add: applied effects are read from "GET /ledger"`)
	default:
		r.Effects.Settle = r.settleWithin
	}
}

// validateFault validates a fault and its target. If the link goes in the opposite direction, it reverses a cut
// between two services, a one-way fault, and a fault on messages.
func (r *resolver) validateFault(at pos, p *Placed, misread bool) {
	if f, ok := p.Fault.(interface{ Check() error }); ok && !misread {
		if err := f.Check(); err != nil {
			r.addProblem(at, err.Error(), "")
		}
	}
	if p.From == "" {
		r.onService(at, p)
	} else {
		r.onLink(at, p, misread)
	}
	unknown := func(name string) bool { return !slices.Contains(r.System.names(), name) } // reported elsewhere
	if r.BlastRadius != nil && !slices.Contains(r.BlastRadius, p.To) && !unknown(p.To) && !slices.ContainsFunc(r.BlastRadius, unknown) {
		r.addProblem(at, fmt.Sprintf("%q is outside of the blast radius (%s)", p.To, list(r.BlastRadius)), "widen the blast radius, or break another service")
	}
}

func (r *resolver) onService(at pos, p *Placed) {
	i := r.serviceNamed(at, p.To)
	if i >= 0 && len(r.System.Services[i].Command) == 0 {
		r.addProblem(at, fmt.Sprintf("%q was not started by Firedrill, so its process cannot be touched", p.To), "start it with a command, or break the links to it: connections are reset, cut off, refused")
	}
}

func (r *resolver) onLink(at pos, p *Placed, misread bool) {
	l, ok := r.System.link(p.From, p.To)
	if cut, isCut := p.Fault.(injector.CutOff); !ok && isCut && cut == (injector.CutOff{}) {
		if l, ok = r.System.link(p.To, p.From); ok {
			p.From, p.To = p.To, p.From
		}
	}
	if one, can := p.Fault.(injector.OneWay); !ok && can {
		if turned, isOneWay := one.Reversed(); isOneWay {
			if l, ok = r.System.link(p.To, p.From); ok {
				p.From, p.To, p.Fault = p.To, p.From, turned
			}
		}
	}
	if on, isOn := p.Fault.(injector.OnMessages); !ok && isOn {
		if l, ok = r.System.link(p.To, p.From); ok { // messages from the dependency
			p.From, p.To, p.Fault = p.To, p.From, on.FromServer()
		}
	}
	if !ok {
		r.noLink(at, p.From, p.To)
		return
	}
	if what, hint := mismatch(l, p.Fault); what != "" && !misread {
		r.addProblem(at, what, hint)
	} else if !misread {
		r.checkBodies(at, l, p.Fault)
	}
}

// noLink reports a missing link.
func (r *resolver) noLink(at pos, from, to string) {
	known := true
	for _, name := range []string{from, to} {
		if name != Clients && r.serviceNamed(at, name) < 0 {
			known = false
		}
	}
	if !known {
		return
	}
	hint := r.System.linksOf(from, to)
	if _, back := r.System.link(to, from); back {
		hint = fmt.Sprintf("did you mean from %q to %q?", to, from)
	}
	r.addProblem(at, fmt.Sprintf("%q does not depend on %q", from, to), hint)
}

// finishFaults reports faults that would be healed as soon as they are injected.
func (r *resolver) finishFaults() {
	for _, l := range r.live {
		switch f := l.placed.Fault.(type) {
		case injector.Crash, injector.Stop:
			continue // these act immediately
		case injector.Reset:
			if f.AfterBytes == 0 && f.After == 0 {
				continue
			}
		}
		if !l.held {
			r.addMissing(l.at, "this fault would be healed at once, since no time passes while it is live", "say `for 30s`, or add: When 30s pass")
		} else {
			r.longEnough(l)
		}
	}
}

// longEnough reports a fault that is healed before it can do what its sentence describes.
func (r *resolver) longEnough(l liveFault) {
	var needs time.Duration
	var what, hint string
	switch f := l.placed.Fault.(type) {
	case injector.Ramp:
		needs, what, hint = f.Over, "the ramp comes to its end", "let it rise or fall sooner, or say `for %s` or longer"
	case injector.Wave:
		needs, what, hint = f.Up+f.Down, "one wave has passed", "write shorter waves, or say `for %s` or longer"
	case injector.Reset:
		if f.After > 0 {
			needs, what, hint = f.After+1, "anything is reset", "reset sooner, or say longer than `for %s`"
		}
	}
	if l.lasts < needs {
		needs = needs.Truncate(time.Microsecond)
		r.addProblem(l.at, fmt.Sprintf("this fault is healed after %s, before %s: that takes %s", injector.Duration(l.lasts), what, injector.Duration(needs)), fmt.Sprintf(hint, injector.Duration(needs)))
	}
}

// recovery returns how long the load continues after healing.
func (r *resolver) recovery() time.Duration {
	if r.Load == nil || len(r.injections()) == 0 {
		return 0
	}
	longest := 2 * time.Second
	for _, c := range r.Checks {
		if rec, ok := c.Check.(check.Recovers); ok {
			longest = max(longest, rec.Within+time.Second+r.watched(rec))
		} else if after(c.Check) {
			longest = max(longest, 5*time.Second)
		}
	}
	return longest
}

// watched returns how long a recovery is watched: five seconds, or until 20 requests of the route and a margin are
// due, if that is at most 30 seconds.
func (r *resolver) watched(rec check.Recovers) time.Duration {
	const least, most = 5 * time.Second, 30 * time.Second
	rate := r.lastRate() * r.share(rec.Route)
	if needs := time.Duration(math.Ceil(1.25*float64(check.Fewest(rec))/rate)) * time.Second; rate > 0 && needs > least && needs <= most {
		return needs
	}
	return least
}

// lastRate returns the rate of the load after the last step.
func (r *resolver) lastRate() float64 {
	rate := r.Load.Rate
	for _, s := range r.Steps {
		switch do := s.Do.(type) {
		case ChangeLoad:
			rate = do.To
		case StopLoad:
			rate = 0
		}
	}
	return rate
}

// share returns a route's share of the load, or 1 for all routes.
func (r *resolver) share(route string) float64 {
	for _, rt := range r.Load.Mix {
		if route == rt.Name() {
			return rt.Share
		}
	}
	return 1
}

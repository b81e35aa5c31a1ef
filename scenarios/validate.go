package scenarios

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/scenarios/check"
)

// finish judges the scenario as a whole and fills in what follows from the rest.
func (d *draft) finish() {
	d.step, d.misread = nil, d.wrong > 0
	if len(d.Steps) == 0 {
		d.blame(d.begin, "the scenario has no steps", "write what it does, or take it out")
		return
	}
	if d.broken {
		return // names cannot be judged without the system
	}
	if len(d.System.Services) == 0 {
		if slices.ContainsFunc(d.Steps, func(s Step) bool { return !s.Foreign }) {
			d.lacks(d.begin, "no system is described", `begin with: Given the system described in "system.yaml"`)
		}
		return
	}
	d.endTLS()
	if d.spoken {
		d.System.sound(d.handlers, func(name, _ string) place { return cmp.Or(d.told[name], d.systemAt) }, d.blame)
	}
	for _, f := range d.later {
		f()
	}
	d.finishLoad()
	d.finishFaults()
	d.finishChecks()
	d.Recovery = d.recovery()
}

func (d *draft) finishLoad() {
	if d.Load == nil {
		for _, said := range []struct {
			at   place
			what string
		}{{d.keyAt, "a key"}, {d.retryAt, "retries"}, {d.giveUpAt, "giving up"}, {d.baselineAt, "a baseline"}} {
			if said.at != (place{}) {
				d.lacks(said.at, fmt.Sprintf("%s without a load: no client asks anything", said.what), `add: a steady load of 100 requests per second on "POST /orders"`)
			}
		}
		return
	}
	for i := range d.Load.Mix {
		d.Load.Mix[i].Service = d.overTCP(d.loadAt, d.serves(d.loadAt, d.Load.Mix[i].Path))
	}
	if d.retryAt != (place{}) && d.Load.KeyHeader == "" && strings.Contains(d.retryAt.text, "with the same key") {
		d.lacks(d.retryAt, "there is no key that could be the same", `add: every request carries a fresh idempotency key in the "Idempotency-Key" header`)
	}
	if d.Baseline == 0 && len(d.injections()) > 0 {
		d.Baseline = 5 * time.Second
	}
	if d.Baseline == 0 && !slices.ContainsFunc(d.Steps, func(s Step) bool { return s.Do != nil || s.Foreign }) {
		d.lacks(d.loadAt, "the load would last no time", "add a fault, or: When 30s pass")
	}
}

// serves finds the service that answers a path: the longest prefix that a service declares, else the only one that no other depends on.
func (d *draft) serves(at place, path string) string {
	best, longest := "", -1
	for _, s := range d.System.Services {
		for _, prefix := range s.Serves {
			if under(path, prefix) && len(prefix) > longest {
				best, longest = s.Name, len(prefix)
			}
		}
	}
	if best != "" {
		return best
	}
	var first []string
	for _, s := range d.System.Services {
		if !slices.ContainsFunc(d.System.Links, func(l Link) bool { return l.To == s.Name && l.From != Clients }) {
			first = append(first, s.Name)
		}
	}
	if len(first) == 1 {
		return first[0]
	}
	d.blame(at, fmt.Sprintf("nobody knows which service answers %q: it could be %s", path, list(first)), "say in the system file what a service `serves`: [/orders]")
	return ""
}

// overTCP complains of a service that clients would have to ask over a Unix socket.
func (d *draft) overTCP(at place, service string) string {
	if slices.ContainsFunc(d.System.Services, func(s Service) bool { return s.Name == service && strings.HasPrefix(s.Address, unixPrefix) }) {
		d.blame(at, fmt.Sprintf("%q listens on a Unix socket, and clients ask over TCP", service), "let clients ask a service that has a port")
	}
	return service
}

func under(path, prefix string) bool {
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (rest == "" || strings.HasSuffix(prefix, "/") || rest[0] == '/' || rest[0] == '?')
}

// effects notes where effects are read.
func (d *draft) effects(at place, route string) {
	d.describe(at)
	d.once(&d.effectsAt, at, "where effects are read")
	method, path, err := parseRoute(route)
	if err != nil {
		return // told
	}
	d.Effects = &Effects{Method: method, Path: path, Step: d.step.Step}
	d.after(func() { d.Effects.Service = d.overTCP(at, d.serves(at, path)) })
}

// placedWell judges a fault's target. A cut between two services, what acts one way, and a fault on messages, is turned round when the link goes the other way.
func (d *draft) placedWell(at place, p *Placed, misread bool) {
	if f, ok := p.Fault.(interface{ Check() error }); ok && !misread {
		if err := f.Check(); err != nil {
			d.blame(at, err.Error(), "")
		}
	}
	if p.From == "" {
		d.onService(at, p)
	} else {
		d.onLink(at, p, misread)
	}
	if d.BlastRadius != nil && !slices.Contains(d.BlastRadius, p.To) && slices.Contains(d.System.names(), p.To) {
		d.blame(at, fmt.Sprintf("%q is outside of the blast radius (%s)", p.To, list(d.BlastRadius)), "widen the blast radius, or break another service")
	}
}

func (d *draft) onService(at place, p *Placed) {
	i := d.serviceNamed(at, p.To)
	if i >= 0 && len(d.System.Services[i].Command) == 0 {
		d.blame(at, fmt.Sprintf("%q was not started by Firedrill, so its process cannot be touched", p.To), "start it with a command, or break the links to it: connections are reset, cut off, refused")
	}
}

func (d *draft) onLink(at place, p *Placed, misread bool) {
	l, ok := d.System.link(p.From, p.To)
	if cut, isCut := p.Fault.(injector.CutOff); !ok && isCut && cut == (injector.CutOff{}) {
		if l, ok = d.System.link(p.To, p.From); ok {
			p.From, p.To = p.To, p.From
		}
	}
	if one, can := p.Fault.(injector.OneWay); !ok && can {
		if turned, isOneWay := one.Turn(); isOneWay {
			if l, ok = d.System.link(p.To, p.From); ok {
				p.From, p.To, p.Fault = p.To, p.From, turned
			}
		}
	}
	if on, isOn := p.Fault.(injector.OnMessages); !ok && isOn {
		if l, ok = d.System.link(p.To, p.From); ok { // of what the dependency sends
			p.From, p.To, p.Fault = p.To, p.From, on.Back()
		}
	}
	if !ok {
		d.noLink(at, p.From, p.To)
		return
	}
	if what, hint := unfit(l, p.Fault); what != "" && !misread {
		d.blame(at, what, hint)
	}
}

// noLink complains of a link that is not there.
func (d *draft) noLink(at place, from, to string) {
	known := true
	for _, name := range []string{from, to} {
		if name != Clients && d.serviceNamed(at, name) < 0 {
			known = false
		}
	}
	if !known {
		return
	}
	hint := d.System.linksOf(from)
	if _, back := d.System.link(to, from); back {
		hint = fmt.Sprintf("did you mean from %q to %q?", to, from)
	}
	d.blame(at, fmt.Sprintf("%q does not depend on %q", from, to), hint)
}

// finishFaults complains of faults that would be healed the moment they are injected.
func (d *draft) finishFaults() {
	for _, l := range d.live {
		switch f := l.placed.Fault.(type) {
		case injector.Crash, injector.Stop:
			continue // they act at once
		case injector.Reset:
			if f.AfterBytes == 0 && f.After == 0 {
				continue
			}
		}
		if !l.held {
			d.lacks(l.at, "this fault would be healed at once, since no time passes while it is live", "say `for 30s`, or add: When 30s pass")
		} else {
			d.longEnough(l)
		}
	}
}

// longEnough complains of a fault that is live for too short a time to do what it says.
func (d *draft) longEnough(l liveFault) {
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
		d.blame(l.at, fmt.Sprintf("this fault is healed after %s, before %s: that takes %s", injector.Duration(l.lasts), what, injector.Duration(needs)), fmt.Sprintf(hint, injector.Duration(needs)))
	}
}

// recovery is how long the load stays on after healing.
func (d *draft) recovery() time.Duration {
	if d.Load == nil || len(d.injections()) == 0 {
		return 0
	}
	longest := 2 * time.Second
	for _, c := range d.Checks {
		if r, ok := c.Check.(check.Recovers); ok {
			longest = max(longest, r.Within+6*time.Second)
		} else if after(c.Check) {
			longest = max(longest, 5*time.Second)
		}
	}
	return longest
}

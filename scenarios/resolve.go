package scenarios

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
	"github.com/firedrill-dev/firedrill/scenarios/system"
)

// Finish runs the passes that follow the sentences.
func (r *Resolver) Finish() {
	r.step, r.misread = nil, r.problems > 0
	if len(r.Steps) == 0 {
		r.AddProblem(r.begin, codes.Missing.Msgf("the scenario has no steps"), "write what it does, or take it out")
		return
	}
	if r.broken {
		return
	}
	if len(r.System.Services) == 0 {
		if slices.ContainsFunc(r.Steps, func(s Step) bool { return !s.Foreign }) {
			r.addMissing(r.begin, codes.Missing.Msgf("no system is described"), `begin with: Given the system described in "system.yaml"`)
		}
		return
	}
	r.resolve()
	r.validate()
}

// resolve determines the services and links that sentences name.
func (r *Resolver) resolve() {
	r.applyTLS()
	if r.fromSentences {
		r.System.Validate(r.scope.Handlers, r.scope.Protocols, func(name, _ string) source.Pos { return cmp.Or(r.describedAt[name], r.systemAt) }, r.AddProblem)
	}
	for _, s := range r.ready {
		if i := r.serviceNamed(s.at, s.service); i >= 0 {
			r.System.Services[i].Ready.Within = s.within
		}
	}
	for _, name := range r.BlastRadius {
		r.serviceNamed(r.radiusAt, name)
	}
	for _, e := range r.ended {
		if r.serviceNamed(e.at, e.service) >= 0 {
			r.AddProblem(e.at, codes.WrongMoment.Msgf("%q runs here: no %s of it is live", e.service, strings.Join(e.kinds, " or ")), "a fault that is said with `for 30s` heals by itself; without it, it stays live")
		}
	}
	for _, p := range r.faults {
		r.placeFaults(p)
	}
	r.resolveAsks()
	r.resolveEffects()
	if r.Load == nil {
		return
	}
	for _, e := range r.expects {
		r.expectOf(e)
	}
	for i, l := range r.Loads() {
		at := r.positionOf(i)
		for rt := range l.requests() {
			if rt.Kind == "" {
				rt.Service = r.requireTCP(at, r.serves(at, rt.Path))
			} else if k, _ := KindOfLoad(rt.Kind); !k.Local && r.serviceNamed(at, rt.Service) >= 0 {
				r.requireTCP(at, rt.Service)
				if _, ok := r.System.FramingOf(rt.Service); k.Framed && !ok {
					r.AddProblem(at, codes.Missing.Msgf("it is not known how messages to %q say their length", rt.Service), fmt.Sprintf("declare the link of clients in the system file: clients: {depends: {%s: {protocol: lengths, framing: {width: 4}}}}", rt.Service))
				}
			}
		}
	}
	r.resolveCopies()
}

// placeFaults determines the targets of the faults of a step.
func (r *Resolver) placeFaults(p placement) {
	in := r.Steps[p.step].Do.(Inject)
	var placed []Placed
	for _, f := range in.Faults {
		placed = append(placed, r.expandFault(p.at, f)...)
	}
	for i := range placed {
		r.validateFault(p, &placed[i])
	}
	in.Faults = placed
	r.Steps[p.step].Do = in
}

// validateFault validates a fault and its target. If the link goes in the opposite direction, it reverses a cut
// between two services, a one-way fault, and a fault on messages.
func (r *Resolver) validateFault(of placement, p *Placed) {
	at := of.at
	if f, ok := p.Fault.(interface{ Check() error }); ok && !of.misread {
		if err := f.Check(); err != nil {
			r.AddProblem(at, codes.BadValue.Message(err.Error()), "")
		}
	}
	if p.From == "" {
		r.onService(at, p)
	} else {
		r.onLink(of, p)
	}
	unknown := func(name string) bool { return !slices.Contains(r.System.Names(), name) } // reported elsewhere
	if r.BlastRadius != nil && !slices.Contains(r.BlastRadius, p.To) && !unknown(p.To) && !slices.ContainsFunc(r.BlastRadius, unknown) {
		r.AddProblem(at, codes.OutOfBounds.Msgf("%q is outside of the blast radius (%s)", p.To, source.Quote(r.BlastRadius)), "widen the blast radius, or break another service")
	}
}

func (r *Resolver) onService(at source.Pos, p *Placed) {
	i := r.serviceNamed(at, p.To)
	switch {
	case i < 0:
	case r.System.Services[i].StandIn != nil:
		r.AddProblem(at, codes.Unsupported.Msgf("%q is a stand-in, which has no process of its own", p.To), "break the links to it: connections are reset, cut off, refused")
		return
	case len(r.System.Services[i].Command) == 0:
		r.AddProblem(at, codes.Unsupported.Msgf("%q was not started by Firedrill, so its process cannot be touched", p.To), "start it with a command, or break the links to it: connections are reset, cut off, refused")
		return
	}
	if i >= 0 && p.Fault.Kind().Disk && r.System.Services[i].Data.Folder == "" {
		r.AddProblem(at, codes.Missing.Msgf("what %q loses with its power is not known: it has no data folder", p.To), fmt.Sprintf("add to %s in the system file: data: {folder: data}; and let it keep its data in ${dir}/data", p.To))
	}
}

func (r *Resolver) onLink(of placement, p *Placed) {
	at, misread := of.at, of.misread
	l, ok := r.System.Link(p.From, p.To)
	if one, can := p.Fault.(injector.OneWay); !ok && can {
		if turned, isOneWay := one.Reversed(); isOneWay {
			if l, ok = r.System.Link(p.To, p.From); ok {
				p.From, p.To, p.Fault = p.To, p.From, turned
			}
		}
	}
	if on, isOn := p.Fault.(injector.OnMessages); !ok && isOn {
		if l, ok = r.System.Link(p.To, p.From); ok { // messages from the dependency
			p.From, p.To, p.Fault = p.To, p.From, on.FromServer()
		}
	}
	if !ok {
		on, isOn := p.Fault.(injector.OnCalls)
		r.noLink(at, p.From, p.To, isOn && on.Rule().Action.OfReply() && !of.byLink)
		return
	}
	p.From, p.To = l.From, l.To
	if len(l.Shared) > 0 {
		r.warn(at, codes.SharedTarget.Msgf("%s: %s share the address of this link, and the fault acts on the calls of all of them", p.Fault.Say(p.From, p.To), source.Quote(slices.Concat([]string{l.From}, l.Shared))))
	}
	if what, hint := r.mismatch(l, p.Fault); !what.None() && !misread {
		r.AddProblem(at, what, hint)
	} else if !misread {
		r.checkBodies(at, l, p.Fault)
	}
}

// noLink reports a missing link. With dependencyFirst, the sentence names the dependency first, as those about replies do.
func (r *Resolver) noLink(at source.Pos, from, to string, dependencyFirst bool) {
	known := true
	for _, name := range []string{from, to} {
		if name != system.Clients && r.serviceNamed(at, name) < 0 {
			known = false
		}
	}
	if !known {
		return
	}
	hint := r.System.LinksOf(from, to)
	if _, back := r.System.Link(to, from); back && dependencyFirst {
		hint = fmt.Sprintf("did you mean from %q to %q?", from, to)
	} else if back {
		hint = fmt.Sprintf("did you mean from %q to %q?", to, from)
	}
	r.AddProblem(at, codes.UnknownName.Msgf("%q does not depend on %q", from, to), hint)
}

// serves returns the service that answers a path: the one that declares the longest prefix of it, or else the only
// service that no other depends on.
func (r *Resolver) serves(at source.Pos, path string) string {
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
		if !slices.ContainsFunc(r.System.Links, func(l system.Link) bool { return l.To == s.Name && l.From != system.Clients }) {
			first = append(first, s.Name)
		}
	}
	if len(first) == 1 {
		return first[0]
	}
	r.AddProblem(at, codes.Missing.Msgf("it is not known which service answers %q: it could be %s", path, source.Quote(first)), "say in the system file what a service `serves`: [/orders]")
	return ""
}

// requireTCP reports a service that clients could only reach over a Unix socket, and returns its name.
func (r *Resolver) requireTCP(at source.Pos, service string) string {
	if slices.ContainsFunc(r.System.Services, func(s system.Service) bool {
		return s.Name == service && strings.HasPrefix(s.Address, source.UnixPrefix)
	}) {
		r.AddProblem(at, codes.Unsupported.Msgf("%q listens on a Unix socket, and clients ask over TCP", service), "let clients ask a service that has a port")
	}
	return service
}

func hasPathPrefix(path, prefix string) bool {
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (rest == "" || strings.HasSuffix(prefix, "/") || rest[0] == '/' || rest[0] == '?')
}

// applyTLS applies the sentences about TLS, after all links are known.
func (r *Resolver) applyTLS() {
	for _, e := range r.tls {
		i := slices.IndexFunc(r.System.Links, func(l system.Link) bool { return l.From == e.from && l.To == e.to })
		switch {
		case i < 0:
			r.AddProblem(e.at, codes.UnknownName.Msgf("there is no link from %q to %q", e.from, e.to), r.System.LinksOf(e.from, e.to))
		case r.System.Links[i].TLS != nil:
			r.AddProblem(e.at, codes.Duplicate.Msgf("TLS from %q to %q is terminated already", e.from, e.to), "say it once")
		default:
			r.System.Links[i].TLS = &e.tls
		}
	}
}

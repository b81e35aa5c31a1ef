package scenarios

import (
	"fmt"
	"slices"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/link"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
	"github.com/firedrill-dev/firedrill/scenarios/system"
)

// endsOf returns names for the two sides of a partition. Its links are determined after the whole scenario is known.
func endsOf(f injector.Partition) (from, to string) {
	from, to = f.HalfOf+f.MinorityOf, f.HalfOf+f.MinorityOf+f.RestOf
	if len(f.These) > 0 {
		from = f.These[0]
	}
	if len(f.Those) > 0 {
		to = f.Those[0]
	}
	return from, to
}

// expandFault returns the targets of a fault: the links of a partition, both links of two services that are cut
// off and depend on each other, or the fault itself. Several targets are parts of one fault, with ids such as
// "fault-3.1"; see journal.FaultID.
func (r *Resolver) expandFault(at source.Pos, p Placed) []Placed {
	var parts []Placed
	switch f := p.Fault.(type) {
	case injector.Partition:
		parts = r.parts(at, f)
	case injector.CutOff:
		_, there := r.System.Link(p.From, p.To)
		_, back := r.System.Link(p.To, p.From)
		if parts = append(parts, p); there && back && f.Dir == link.Both {
			parts = append(parts, Placed{Fault: f, From: p.To, To: p.From})
		}
	default:
		parts = []Placed{p}
	}
	for i := range parts {
		parts[i].ID, parts[i].Kind = p.ID, p.Kind
		if len(parts) > 1 {
			parts[i].ID = fmt.Sprintf("%s.%d", p.ID, i+1)
		}
	}
	return parts
}

// parts returns the parts of a partition, one for each of its links in the order of the system.
func (r *Resolver) parts(at source.Pos, f injector.Partition) []Placed {
	these, those, ok := r.sides(at, f)
	if !ok {
		return nil
	}
	var parts []Placed
	for _, l := range r.System.Links {
		dir := link.Both
		switch {
		case slices.Contains(these, l.From) && slices.Contains(those, l.To):
			if f.OneWay {
				dir = link.ToServer
			}
		case slices.Contains(those, l.From) && slices.Contains(these, l.To):
			if f.OneWay {
				dir = link.ToClient
			}
		default:
			continue
		}
		part := f
		part.Dir = dir
		parts = append(parts, Placed{Fault: part, From: l.From, To: l.To})
	}
	if len(parts) == 0 {
		r.AddProblem(at, codes.Missing.Msgf("no link runs between %s and %s, so there is nothing to cut", source.Quote(these), source.Quote(those)), "let one depend on another; links: "+r.System.LinkNames())
	}
	return parts
}

// sides returns the services on the two sides of a partition.
func (r *Resolver) sides(at source.Pos, f injector.Partition) (these, those []string, ok bool) {
	switch {
	case f.HalfOf != "":
		all, ok := r.members(at, f.HalfOf, 2)
		return all[:len(all)/2], all[len(all)/2:], ok
	case f.MinorityOf != "":
		all, ok := r.members(at, f.MinorityOf, 3)
		fewer := max(0, len(all)-1) / 2
		return all[:fewer], all[fewer:], ok
	}
	these, ok = r.services(at, f.These)
	if f.RestOf != "" {
		all, known := r.members(at, f.RestOf, 2)
		for _, name := range these {
			if known && ok && !slices.Contains(all, name) {
				r.AddProblem(at, codes.UnknownName.Msgf("%q is not in the group %q", name, f.RestOf), "its members: "+source.Quote(all))
				ok = false
			}
		}
		those, ok = without(all, these...), ok && known
		if ok && len(those) == 0 {
			r.AddProblem(at, codes.Missing.Msgf("no service is left in the group %q", f.RestOf), "leave out one of "+source.Quote(these))
			ok = false
		}
		return these, those, ok
	}
	those, known := r.services(at, f.Those)
	ok = ok && known
	if f.Except != "" {
		these, those = without(these, f.Except), without(those, f.Except)
		ok = r.checkBridge(at, f.Except, these, those) && ok
	}
	return these, those, ok && r.checkDisjoint(at, these, those)
}

// services resolves names of services and groups.
func (r *Resolver) services(at source.Pos, names []string) (all []string, ok bool) {
	ok = true
	for _, name := range names {
		members := r.System.Group(name)
		switch {
		case members != nil:
		case name == system.Clients || slices.Contains(r.System.Names(), name):
			members = []string{name}
		case name != "": // an empty name was already reported
			r.AddProblem(at, codes.UnknownName.Msgf("there is no service and no group %q", name), source.DidYouMean(name, slices.Concat(r.System.Names(), r.System.GroupNames()), "services and groups"))
			fallthrough
		default:
			ok = false
		}
		for _, m := range members {
			if slices.Contains(all, m) {
				r.AddProblem(at, codes.Duplicate.Msgf("%q stands there twice on one side", m), "leave it out")
				ok = false
			}
			all = append(all, m)
		}
	}
	return all, ok
}

// members resolves a group that must have at least least members.
func (r *Resolver) members(at source.Pos, name string, least int) (all []string, ok bool) {
	all = r.System.Group(name)
	switch {
	case all == nil && slices.Contains(r.System.Names(), name):
		r.AddProblem(at, codes.UnknownName.Msgf("%q is a service and no group", name), `declare one in the system file: groups: {cluster: [node-1, node-2, node-3]}`)
	case all == nil && name != "":
		r.AddProblem(at, codes.UnknownName.Msgf("there is no group %q", name), source.DidYouMean(name, r.System.GroupNames(), "groups: declare them in the system file"))
	case len(all) < least:
		r.AddProblem(at, codes.Missing.Msgf("the group %q has %s, which is too few to part them so", name, counted(len(all), "member")), fmt.Sprintf("it takes %d at least", least))
	}
	return all, len(all) >= least
}

// checkBridge validates the exception of a partition: a service with a link to or from each side.
func (r *Resolver) checkBridge(at source.Pos, bridge string, sides ...[]string) bool {
	if r.serviceNamed(at, bridge) < 0 {
		return false
	}
	for _, side := range sides {
		if !slices.ContainsFunc(r.System.Links, func(l system.Link) bool {
			return (l.From == bridge && slices.Contains(side, l.To)) || (l.To == bridge && slices.Contains(side, l.From))
		}) {
			r.AddProblem(at, codes.Missing.Msgf("nothing goes through %q: no link runs between it and %s", bridge, source.Quote(side)), "leave `except through` out, or name a service that both sides have a link with")
			return false
		}
	}
	return true
}

// checkDisjoint validates that the sides are disjoint and not empty.
func (r *Resolver) checkDisjoint(at source.Pos, these, those []string) bool {
	for _, name := range these {
		if slices.Contains(those, name) {
			r.AddProblem(at, codes.Contradiction.Msgf("%q stands on both sides", name), "leave it out on one")
			return false
		}
	}
	if len(these) == 0 || len(those) == 0 {
		r.AddProblem(at, codes.Missing.Msgf("one side of the partition is empty"), "name at least one service on each")
		return false
	}
	return true
}

func without(all []string, names ...string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(names, s) })
}

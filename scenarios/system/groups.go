package system

import (
	"fmt"
	"slices"

	"github.com/goccy/go-yaml/ast"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// Group is a name for several services, such as the members of a cluster or a zone. A service may be in several
// groups. Only members of one group may depend on each other in a circle; they start together.
type Group struct {
	Name    string
	Members []string // the order determines the halves and the minority
}

// Group returns the members of a group, or nil if there is no such group.
func (s *System) Group(name string) []string {
	for _, g := range s.Groups {
		if g.Name == name {
			return g.Members
		}
	}
	return nil
}

func (s *System) GroupNames() []string {
	var all []string
	for _, g := range s.Groups {
		all = append(all, g.Name)
	}
	return all
}

// validateGroups validates the groups; see validate.
func (s *System) validateGroups(where func(name, key string) source.Pos, addProblem func(at source.Pos, what codes.Message, hint string)) {
	for i, g := range s.Groups {
		at := where(groups, g.Name)
		switch {
		case !IsName(g.Name):
			addProblem(at, codes.BadName.Msgf("%q cannot be the name of a group", g.Name), "use letters, digits, - and _")
		case g.Name == Clients || slices.Contains(s.Names(), g.Name):
			addProblem(at, codes.BadName.Msgf("%q is a service and cannot be a group too", g.Name), "choose another name")
		case slices.Index(s.GroupNames(), g.Name) < i:
			addProblem(at, codes.Duplicate.Msgf("the group %q stands there twice", g.Name), "leave one of them out")
		case len(g.Members) == 0:
			addProblem(at, codes.Missing.Msgf("the group %q has no members", g.Name), `list services: ["a", "b"]`)
		}
		for n, m := range g.Members {
			at := where(groups, fmt.Sprintf("%s %d", g.Name, n))
			switch {
			case m == "": // already reported
			case slices.Index(g.Members, m) < n:
				addProblem(at, codes.Duplicate.Msgf("%q is in the group %q twice", m, g.Name), "leave it out")
			case !slices.Contains(s.Names(), m):
				addProblem(at, codes.UnknownName.Msgf("there is no service %q", m), source.DidYouMean(m, s.Names(), "services"))
			}
		}
	}
}

// groups prefixes the positions of groups. It cannot be the name of a service, since names have no slashes.
const groups = "groups/"

// group reads a group, which is a list of services.
func (r *reader) group(name string, v ast.Node, at source.Pos) {
	r.positions[groups+"/"+name] = at
	members := r.List(v, func(i int, v ast.Node) { r.positions[fmt.Sprintf("%s/%s %d", groups, name, i)] = r.At(v) })
	if _, isList := v.(*ast.SequenceNode); isList {
		r.sys.Groups = append(r.sys.Groups, Group{Name: name, Members: members})
	}
}

package scenarios

import (
	"fmt"
	"slices"

	"github.com/goccy/go-yaml/ast"
)

// Group is services that a name stands for: the members of a cluster, a zone. A service may be in several. Only members of one group may
// depend on each other in a circle: they start together.
type Group struct {
	Name    string
	Members []string // in order; what is said of a half or a minority depends on it
}

// group finds a group's members; nil when there is none.
func (s *System) group(name string) []string {
	for _, g := range s.Groups {
		if g.Name == name {
			return g.Members
		}
	}
	return nil
}

func (s *System) groupNames() []string {
	var all []string
	for _, g := range s.Groups {
		all = append(all, g.Name)
	}
	return all
}

// soundGroups judges the groups; see sound.
func (s *System) soundGroups(where func(name, key string) place, blame func(at place, what, hint string)) {
	for i, g := range s.Groups {
		at := where(groups, g.Name)
		switch {
		case !nameable(g.Name):
			blame(at, fmt.Sprintf("%q cannot be the name of a group", g.Name), "use letters, digits, - and _")
		case g.Name == Clients || slices.Contains(s.names(), g.Name):
			blame(at, fmt.Sprintf("%q is a service and cannot be a group too", g.Name), "choose another name")
		case slices.Index(s.groupNames(), g.Name) < i:
			blame(at, fmt.Sprintf("the group %q stands there twice", g.Name), "leave one of them out")
		case len(g.Members) == 0:
			blame(at, fmt.Sprintf("the group %q has no members", g.Name), `list services: ["a", "b"]`)
		}
		for n, m := range g.Members {
			at := where(groups, fmt.Sprintf("%s %d", g.Name, n))
			switch {
			case slices.Index(g.Members, m) < n:
				blame(at, fmt.Sprintf("%q is in the group %q twice", m, g.Name), "leave it out")
			case !slices.Contains(s.names(), m):
				blame(at, fmt.Sprintf("there is no service %q", m), didYouMean(m, s.names(), "services"))
			}
		}
	}
}

// groups is the key of the system file, and where its places are noted. No service has such a name, since the slash is not allowed.
const groups = "groups/"

// group reads one: a list of services.
func (r *reader) group(name string, v ast.Node, at place) {
	r.places[groups+"/"+name] = at
	members := r.list(v, func(i int, v ast.Node) { r.places[fmt.Sprintf("%s/%s %d", groups, name, i)] = r.at(v) })
	if _, isList := v.(*ast.SequenceNode); isList {
		r.sys.Groups = append(r.sys.Groups, Group{Name: name, Members: members})
	}
}

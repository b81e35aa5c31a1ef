package scenarios

import (
	"fmt"
	"slices"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// NameLoad makes the statements until the next call be about the load with a name. With "", they are about the only load,
// or about all loads.
func (r *Resolver) NameLoad(name string) { r.naming = name }

// namedLoad begins the load with the name of the current statement, and returns it; nil if there is a problem.
func (r *Resolver) namedLoad(at source.Pos) *Load {
	switch {
	case r.Load == nil:
		r.loadAt, r.rate.Name, r.Load = at, r.naming, r.rate
		return r.Load
	case r.Load.Name == "":
		r.AddProblem(at, codes.Missing.Msgf("the load at %s has no name, and this is another one", r.loadAt), `name both: the "checkout" load of 20 requests per second on "POST /orders"`)
		return nil
	}
	for i, l := range r.Loads() {
		if l.Name == r.naming {
			r.AddProblem(at, codes.Duplicate.Msgf("a load is named %q already, at %s", r.naming, r.positionOf(i)), "give each load a name of its own")
			return nil
		}
	}
	l := &Load{Name: r.naming}
	r.Further, r.furtherAt = append(r.Further, l), append(r.furtherAt, at)
	return l
}

// positionOf returns the position of a load, by its index in Loads.
func (r *Resolver) positionOf(i int) source.Pos {
	if i == 0 {
		return r.loadAt
	}
	return r.furtherAt[i-1]
}

// loadNames returns the names of the loads.
func (r *Resolver) loadNames() []string {
	var names []string
	for _, l := range r.Loads() {
		names = append(names, l.Name)
	}
	return names
}

// loadsOf returns the load with a name or, for "", all loads.
func (r *Resolver) loadsOf(name string) []*Load {
	if name == "" {
		return r.Loads()
	}
	return slices.DeleteFunc(r.Loads(), func(l *Load) bool { return l.Name != name })
}

// requireNamed reports that no load has a name. Other names are suggested.
func (r *Resolver) requireNamed(at source.Pos, name string) bool {
	switch {
	case slices.Contains(r.loadNames(), name):
		return true
	case r.Load == nil:
		r.addMissing(at, codes.UnknownName.Msgf("no load is named %q", name), fmt.Sprintf(`add: the %q load of 20 requests per second on "POST /orders"`, name))
	case r.Load.Name == "":
		r.addMissing(at, codes.UnknownName.Msgf("no load is named %q: the only load has no name", name), fmt.Sprintf(`name it: the %q load of 20 requests per second on "POST /orders"; or leave the name out here`, name))
	default:
		r.addMissing(at, codes.UnknownName.Msgf("no load is named %q", name), source.DidYouMean(name, r.loadNames(), "loads"))
	}
	return false
}

// routesOf returns the names of the routes of loads.
func routesOf(loads []*Load) (routes []string) {
	for _, l := range loads {
		for _, rt := range l.Mix {
			routes = append(routes, rt.Name())
		}
	}
	return routes
}

// shareSettings gives the loads after the first the settings of clients, which sentences set for all loads.
func (r *Resolver) shareSettings() {
	changes := func(l *Load) bool { return slices.ContainsFunc(l.Mix, func(rt Route) bool { return !rt.Safe() }) }
	for _, l := range r.Further {
		own := *l
		*l = *r.Load
		l.Name, l.Shape, l.Rate, l.Users, l.Think, l.Mix = own.Name, own.Shape, own.Rate, own.Users, own.Think, own.Mix
	}
	for _, l := range r.Loads() {
		l.OthersChange = slices.ContainsFunc(r.Loads(), func(o *Load) bool { return o != l && changes(o) })
	}
}

// about returns the loads that a check is about: those with its name and its route.
func (r *Resolver) about(n check.Needs) []*Load {
	return slices.DeleteFunc(r.loadsOf(n.OfLoad), func(l *Load) bool { return l.share(n.Route) == 0 })
}

// overHTTP reports whether one of the loads consists of requests over HTTP.
func overHTTP(loads []*Load) bool {
	return slices.ContainsFunc(loads, func(l *Load) bool { _, other := l.OtherKind(); return !other })
}

// ofLoad returns the check, asked about the load of the current statement.
func (r *Resolver) ofLoad(c check.Check) check.Check {
	if r.naming == "" {
		return c
	}
	return check.OfLoad{Load: r.naming, Check: c}
}

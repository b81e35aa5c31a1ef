package system

import (
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// Order returns the services in order of their start. Links in a circle are an error, unless the services on it are members
// of one group: such peers start together.
func (s *System) Order() ([]Service, error) {
	for _, l := range s.Links {
		if circle := append(s.way(l.To, l.From, s.linked), l.From); len(circle) > 1 && l.From != l.To && !s.together(circle) {
			slices.Reverse(circle)
			return nil, source.Mistakef(codes.Contradiction, "leave out one of the links, none of them could start first, or make peers a group, whose members start together",
				"services depend on each other in a circle (%s)", strings.Join(circle, " -> "))
		}
	}
	seen := map[string]bool{}
	var order []Service
	var visit func(Service)
	visit = func(service Service) {
		if seen[service.Name] {
			return
		}
		seen[service.Name] = true
		for _, first := range s.Before(service) {
			if i := slices.IndexFunc(s.Services, func(x Service) bool { return x.Name == first }); i >= 0 {
				visit(s.Services[i])
			}
		}
		order = append(order, service)
	}
	for _, service := range s.Services {
		visit(service)
	}
	return order, nil
}

// Before returns the services that have to be ready before a service starts: those that it has links to, and those whose
// ${address} it is given. Services that need each other in a circle do not wait for each other.
func (s *System) Before(service Service) (names []string) {
	for _, to := range s.linked(service.Name) {
		if s.way(to, service.Name, s.linked) == nil {
			names = append(names, to)
		}
	}
	for _, to := range service.Placeholders("address") {
		if s.way(to, service.Name, s.needed) == nil {
			names = append(names, to)
		}
	}
	return names
}

// linked returns the dependencies of a service, by links.
func (s *System) linked(name string) (names []string) {
	for _, l := range s.Links {
		if l.CalledBy(name) {
			names = append(names, l.To)
		}
	}
	return names
}

// needed returns the services that a service knows by a link or by ${address}.
func (s *System) needed(name string) []string {
	names := s.linked(name)
	if i := slices.IndexFunc(s.Services, func(x Service) bool { return x.Name == name }); i >= 0 {
		names = append(names, s.Services[i].Placeholders("address")...)
	}
	return names
}

// way returns the services through which from needs to, in reverse order. It returns nil if it does not.
func (s *System) way(from, to string, next func(string) []string) []string {
	seen := map[string]bool{}
	var search func(name string) []string
	search = func(name string) []string {
		if name == to {
			return []string{name}
		}
		seen[name] = true
		for _, other := range next(name) {
			if !seen[other] {
				if way := search(other); way != nil {
					return append(way, name)
				}
			}
		}
		return nil
	}
	return search(from)
}

// together reports whether services are members of one group.
func (s *System) together(names []string) bool {
	return slices.ContainsFunc(s.Groups, func(g Group) bool {
		return !slices.ContainsFunc(names, func(n string) bool { return !slices.Contains(g.Members, n) })
	})
}

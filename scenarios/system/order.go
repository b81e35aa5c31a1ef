package system

import (
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// Order returns the services in order of their start, dependencies first. Services that depend on each other in a
// circle are an error, unless they are members of one group: such peers start together.
func (s *System) Order() ([]Service, error) {
	seen := map[string]bool{}
	var order []Service
	var visit func(Service) error
	visit = func(service Service) error {
		if seen[service.Name] {
			return nil
		}
		seen[service.Name] = true
		for _, l := range s.Links {
			i := slices.IndexFunc(s.Services, func(x Service) bool { return x.Name == l.To })
			if l.From != service.Name || i < 0 {
				continue
			}
			if s.Waits(l) {
				if err := visit(s.Services[i]); err != nil {
					return err
				}
			} else if circle := append(s.way(l.To, l.From), l.From); !s.together(circle) {
				slices.Reverse(circle)
				return source.Mistakef("leave out one of the links, none of them could start first, or make peers a group, whose members start together",
					"services depend on each other in a circle (%s)", strings.Join(circle, " -> "))
			}
		}
		order = append(order, service)
		return nil
	}
	for _, service := range s.Services {
		if err := visit(service); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// Waits reports whether the start of a link's From must wait until its To is ready. It need not if they depend on
// each other in a circle.
func (s *System) Waits(l Link) bool { return s.way(l.To, l.From) == nil }

// way returns the services through which from depends on to, in reverse order. It returns nil if it does not.
func (s *System) way(from, to string) []string {
	seen := map[string]bool{}
	var search func(name string) []string
	search = func(name string) []string {
		if name == to {
			return []string{name}
		}
		seen[name] = true
		for _, l := range s.Links {
			if l.From == name && !seen[l.To] {
				if way := search(l.To); way != nil {
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

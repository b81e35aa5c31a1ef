package system

import (
	"slices"
)

// KnownUnconnected reports whether it is certain that nothing connects a service with others, in either direction.
// It is not certain if a service on its side already runs, or runs in this process, and declares no dependency.
// Nor is it if a service on the other side has a fixed port or address, which others may know without a
// declaration.
func (s *System) KnownUnconnected(service string, others []string) bool {
	near := s.connected(service)
	far := map[string]bool{}
	for _, name := range others {
		for other := range s.connected(name) {
			far[other] = true
		}
	}
	for _, x := range s.Services {
		declares := slices.ContainsFunc(s.Links, func(l Link) bool { return l.CalledBy(x.Name) })
		switch {
		case near[x.Name] && far[x.Name]:
			return false
		case near[x.Name] && (x.Handler != nil || (x.Address != "" && !declares)):
			return false
		case far[x.Name] && (x.Port != 0 || x.Address != ""):
			return false
		}
	}
	return true
}

// connected returns a service and all services that links, addresses in commands, or groups connect with it.
func (s *System) connected(service string) map[string]bool {
	seen := map[string]bool{}
	var visit func(name string)
	visit = func(name string) {
		if seen[name] || name == Clients {
			return
		}
		seen[name] = true
		for _, l := range s.Links {
			switch {
			case l.CalledBy(name):
				visit(l.To)
			case l.To == name:
				for _, from := range slices.Concat(l.Shared, []string{l.From}) {
					visit(from)
				}
			}
		}
		for _, g := range s.Groups {
			if slices.Contains(g.Members, name) {
				for _, member := range g.Members {
					visit(member)
				}
			}
		}
		for _, x := range s.Services {
			for _, y := range s.Services {
				if x.hasAddressOf(y.Name) && (x.Name == name || y.Name == name) {
					visit(x.Name)
					visit(y.Name)
				}
			}
		}
	}
	visit(service)
	return seen
}

// hasAddressOf reports whether a service is given the address of another.
func (s Service) hasAddressOf(other string) bool {
	return slices.Contains(s.Placeholders("address"), other)
}

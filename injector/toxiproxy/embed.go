package toxiproxy

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// Add creates a proxy. Its name must be new.
func (s *Server) Add(p Proxy) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := p.check(""); err != nil {
		return err
	}
	if s.proxies[p.Name] != nil {
		return fmt.Errorf("there is a proxy %q already", p.Name)
	}
	added, err := s.add(p)
	if err == nil {
		added.added = true
	}
	return err
}

// Inject makes a fault act on an enabled proxy, as a toxic of the type "fault" that clients see and can remove. removed is
// closed when it is removed, which heal does, too. count counts what it affects; it may be nil.
func (s *Server) Inject(proxy, name, sentence string, f injector.Fault, count *evidence.Counter) (removed <-chan struct{}, heal func() error, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.proxies[proxy]
	switch {
	case p == nil:
		return nil, nil, fmt.Errorf("there is no proxy %q any more", proxy)
	case !p.Enabled:
		return nil, nil, fmt.Errorf("the proxy %q is disabled: enable it first", proxy)
	case p.toxic(name) >= 0:
		return nil, nil, fmt.Errorf("the proxy %q has a toxic %q already", proxy, name)
	}
	t := &toxic{
		Name: name, Type: faultType, Stream: "downstream", Toxicity: 1, Attributes: &faultAttributes{sentence},
		proxy: p, fault: f, count: count, removed: make(chan struct{}),
	}
	if err := s.admit(p, f, t.id()); err != nil {
		return nil, nil, err
	}
	if err := t.inject(); err != nil {
		return nil, nil, err
	}
	p.Toxics = append(p.Toxics, t)
	return t.removed, func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		p.drop(func(o *toxic) bool { return o == t })
		return t.remove()
	}, nil
}

// Proxies returns the proxies, by name.
func (s *Server) Proxies() (all []Proxy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(s.proxies)) {
		all = append(all, s.proxies[name].Proxy)
	}
	return all
}

// Populate creates proxies, in the form of Toxiproxy's configuration files: a JSON array.
func (s *Server) Populate(config io.Reader) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var created []*proxy
	return s.populateFrom(config, &created)
}

package testbed

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/firedrill-dev/firedrill/injector/process"
	"github.com/firedrill-dev/firedrill/scenarios"
)

// endpoints returns the addresses at which a service is used by links, by the load, and for reading
// effects. No other process may listen there.
func (s *System) endpoints(svc scenarios.Service) (all []process.Endpoint) {
	tcp, datagrams := svc.Ready.Line == "", false
	for _, l := range s.e.System.Links {
		switch {
		case l.To != svc.Name:
		case l.Port != "":
			at, _ := s.Upstream(l) // chosen when the link was opened
			if e := (process.Endpoint{Network: transport(l), Address: at}); !slices.Contains(all, e) {
				all = append(all, e)
			}
		default:
			tcp, datagrams = tcp || !l.UDP(), datagrams || l.UDP()
		}
	}
	way, _ := s.e.System.Link(scenarios.Clients, svc.Name)
	for _, l := range s.e.Loads() {
		if way.Port == "" && slices.ContainsFunc(l.Mix, func(r scenarios.Route) bool { return r.Asks(svc.Name) }) {
			k, _ := l.OtherKind()
			tcp, datagrams = tcp || !k.UDP, datagrams || k.UDP
		}
	}
	tcp = tcp || s.e.Load.Control() == svc.Name || s.e.ReadsEffectsOf(svc.Name)
	if tcp {
		all = append(all, process.Endpoint{Network: "tcp", Address: s.Addresses[svc.Name]})
	}
	if datagrams {
		all = append(all, process.Endpoint{Network: "udp", Address: s.Addresses[svc.Name]})
	}
	return all
}

// transport returns the network of a link, "tcp" or "udp".
func transport(l scenarios.Link) string {
	if l.UDP() {
		return "udp"
	}
	return "tcp"
}

// Retire marks all services as no longer needed: a start in progress is aborted, and healing starts
// none.
func (s *System) Retire() {
	for _, svc := range s.Services {
		svc.Retire()
	}
}

// patience returns the longest time that any service may take to stop.
func (s *System) patience() time.Duration {
	longest := 5 * time.Second
	for _, svc := range s.e.System.Services {
		longest = max(longest, svc.Stop.Within)
	}
	return longest
}

// stopServices begins to stop all services. The returned function waits until they have stopped. A
// service that had to be killed is recorded in the journal and is not an error.
func (s *System) stopServices(ctx context.Context) (ended func() error) {
	var all sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for _, svc := range s.Services {
		all.Go(func() {
			err := svc.Stop(ctx)
			var killed *process.Unstopped
			if err == nil || errors.As(err, &killed) {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		})
	}
	return func() error {
		all.Wait()
		return errors.Join(errs...)
	}
}

package runner

import (
	"fmt"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/remote"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// noteProxies records which links lead through proxies of Toxiproxy.
func (s *session) noteProxies() {
	for _, l := range s.e.System.Links {
		if proxy := s.system.Proxies[l.Name()]; proxy != nil {
			s.record(journal.Event{Note: &journal.Note{Text: fmt.Sprintf("link %q leads through %s: its faults are toxics there, and act on all clients of the proxy", l.Name(), proxy)}})
		}
	}
}

// makeLive injects a fault: as toxics, if its link leads through a proxy of Toxiproxy.
func (s *session) makeLive(in *injection) (injector.Heal, error) {
	if proxy := s.system.Proxies[in.targetName()]; proxy != nil && in.From != "" {
		return proxy.Inject(s.ctx, in.Fault, in.target)
	}
	return in.Fault.Inject(s.ctx, in.target)
}

// rehearseToxic is rehearseFault for a link through a proxy of Toxiproxy. It puts no toxic there, since the proxy has other
// clients.
func (s *session) rehearseToxic(l scenarios.Link, proxy *remote.Proxy) (seen string, err error) {
	if err := proxy.Check(s.ctx); err != nil {
		return "", err
	}
	seen, _, err = s.passes(l, s.system.Links[l.Name()].Addr())
	if err != nil {
		return "", fmt.Errorf("link %q does not pass traffic: %w", l.Name(), err)
	}
	return fmt.Sprintf("%s is enabled and has no toxics, and the link %s; the undo was not tried, since toxics act on all clients of the proxy", proxy, seen), nil
}

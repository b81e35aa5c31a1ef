package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/remote"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// openProxy finds or creates the proxy that a link leads through, and returns its address. upstream is where a proxy that
// is created leads to, unless the system file says otherwise.
func (s *system) openProxy(ctx context.Context, l scenarios.Link, upstream string) (addr string, err error) {
	t := l.Toxiproxy
	proxy, err := remote.Open(ctx, remote.Config{Link: l.Name(), Server: t.Server, Proxy: t.Proxy, Listen: t.Listen, Upstream: cmp.Or(t.Upstream, upstream)})
	if err != nil {
		return "", err
	}
	s.proxies[l.Name()] = proxy
	return proxy.Addr(), s.leadsTo(l, proxy, upstream)
}

// leadsTo returns an error if a proxy leads elsewhere than to its dependency, such as one that an earlier run has left. The
// server may know the host by another name. Where a dependency that runs already is reached from there is not known.
func (s *system) leadsTo(l scenarios.Link, proxy *remote.Proxy, upstream string) error {
	i := slices.IndexFunc(s.e.System.Services, func(svc scenarios.Service) bool { return svc.Name == l.To })
	if l.Toxiproxy.Upstream == "" && s.e.System.Services[i].Address != "" && s.o.Handlers[l.To] == nil {
		return nil
	}
	want := cmp.Or(l.Toxiproxy.Upstream, upstream)
	_, port, err := net.SplitHostPort(want)
	_, is, other := net.SplitHostPort(proxy.Upstream())
	if err == nil && other == nil && port != is {
		err = fmt.Errorf("link %q: %s leads to %s, and not to %s: delete it, or give %q that port", l.Name(), proxy, proxy.Upstream(), want, l.To)
	}
	return errors.Join(err, other)
}

// noteProxies records which links lead through proxies of Toxiproxy.
func (s *session) noteProxies() {
	for _, l := range s.e.System.Links {
		if proxy := s.system.proxies[l.Name()]; proxy != nil {
			s.record(journal.Event{Note: &journal.Note{Text: fmt.Sprintf("link %q leads through %s: its faults are toxics there, and act on all clients of the proxy", l.Name(), proxy)}})
		}
	}
}

// makeLive injects a fault: as toxics, if its link leads through a proxy of Toxiproxy.
func (s *session) makeLive(in *injection) (injector.Heal, error) {
	if proxy := s.system.proxies[in.targetName()]; proxy != nil && in.From != "" {
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
	seen, _, err = s.passes(l, s.system.links[l.Name()].Addr())
	if err != nil {
		return "", fmt.Errorf("link %q does not pass traffic: %w", l.Name(), err)
	}
	return fmt.Sprintf("%s is enabled and has no toxics, and the link %s; the undo was not tried, since toxics act on all clients of the proxy", proxy, seen), nil
}

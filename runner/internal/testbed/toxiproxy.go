package testbed

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/firedrill-dev/firedrill/injector/remote"
	"github.com/firedrill-dev/firedrill/scenarios"
)

// openProxy finds or creates the proxy that a link leads through, and returns its address. upstream is where a proxy that
// is created leads to, unless the system file says otherwise.
func (s *System) openProxy(ctx context.Context, l scenarios.Link, upstream string) (addr string, err error) {
	t := l.Toxiproxy
	proxy, err := remote.Open(ctx, remote.Config{Link: l.Name(), Server: t.Server, Proxy: t.Proxy, Listen: t.Listen, Upstream: cmp.Or(t.Upstream, upstream)})
	if err != nil {
		return "", err
	}
	s.Proxies[l.Name()] = proxy
	return proxy.Addr(), s.leadsTo(l, proxy, upstream)
}

// leadsTo returns an error if a proxy leads elsewhere than to its dependency, such as one that an earlier run has left. The
// server may know the host by another name. Where a dependency that runs already is reached from there is not known.
func (s *System) leadsTo(l scenarios.Link, proxy *remote.Proxy, upstream string) error {
	i := slices.IndexFunc(s.e.System.Services, func(svc scenarios.Service) bool { return svc.Name == l.To })
	if l.Toxiproxy.Upstream == "" && s.e.System.Services[i].Address != "" && s.cfg.Handlers[l.To] == nil {
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

package toxiproxy

import (
	"context"
	"encoding/json"
	"net"
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/injector/link"
	"github.com/firedrill-dev/firedrill/injector/loopback"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/protocols"
)

// Proxy is what clients say of a proxy.
type Proxy struct {
	Name     string `json:"name"`
	Listen   string `json:"listen"` // host:port; once it is enabled, with its real port
	Upstream string `json:"upstream"`
	Enabled  bool   `json:"enabled"`
	Protocol string `json:"protocol,omitempty"` // of package protocols; "" means bytes, as in Toxiproxy
}

// check returns what is wrong with the settings of a proxy. where follows the name of a field that is missing.
func (s Proxy) check(where string) error {
	switch {
	case s.Name == "":
		return badRequest("missing required field: name%s", where)
	case s.Upstream == "":
		return badRequest("missing required field: upstream%s", where)
	}
	if host, _, err := net.SplitHostPort(s.Listen); err == nil && host != "" && !loopback.Host(host) {
		return badRequest("listen: %q is not an address of this machine only: use 127.0.0.1:PORT", s.Listen)
	}
	if row := protocols.All().Find(s.Protocol); s.Protocol != "" && s.Protocol != "tcp" && (row == nil || row.UDP) {
		return badRequest("protocol: %q is not one of tcp, %s", s.Protocol, strings.Join(Protocols(), ", "))
	}
	return nil
}

// Protocols returns the names of the protocols that a proxy may have besides tcp.
func Protocols() (names []string) {
	for _, row := range protocols.All() {
		if !row.UDP {
			names = append(names, row.Name)
		}
	}
	return names
}

// proxy is a link that clients control.
type proxy struct {
	Proxy
	Toxics []*toxic // in the order in which they were added

	server *Server
	added  bool       // by Server.Add
	outage *deadline  // until it is enabled again; nil if no client disabled it
	link   *link.Link // nil while it is disabled
	relay  *message.Relay
}

// differs reports whether other settings need another listener or other connections.
func (p *proxy) differs(other Proxy) (bool, error) {
	listen, err := net.ResolveTCPAddr("tcp", other.listenAddr()) // no look-up: it is an address of this machine, or localhost
	if err != nil {
		return false, err
	}
	return p.Listen != listen.String() || p.Upstream != other.Upstream || p.Protocol != other.Protocol, nil
}

// listenAddr returns the address to listen on. An address without a host is one of this machine only.
func (s Proxy) listenAddr() string {
	if s.Listen == "" {
		return "127.0.0.1:0"
	}
	if port, ok := strings.CutPrefix(s.Listen, ":"); ok {
		return "127.0.0.1:" + port
	}
	return s.Listen
}

// enable opens the link.
func (p *proxy) enable() error {
	if p.Enabled {
		return nil
	}
	cfg := link.Config{Name: p.Name, Listen: p.listenAddr(), Upstream: p.Upstream, CloseUnreached: true}
	if row := protocols.All().Find(p.Protocol); row != nil {
		relay, err := message.New(*row, message.Config{Link: p.Name})
		if err != nil {
			return err
		}
		p.relay = relay
		cfg.Serve = func(ctx context.Context, c link.Conn, dial func(context.Context) (net.Conn, error)) {
			relay.Serve(ctx, c, dial)
		}
	}
	l, err := link.Open(cfg)
	if err != nil {
		return err
	}
	p.link, p.Listen, p.Enabled = l, l.Addr(), true
	p.endOutage()
	for _, t := range p.Toxics {
		if err := t.inject(); err != nil {
			return err
		}
	}
	return nil
}

// stop closes the link, which ends its connections. Its toxics act again when it is enabled again.
func (p *proxy) stop() error {
	if !p.Enabled {
		return nil
	}
	for _, t := range p.Toxics {
		t.heal = nil
	}
	l := p.link
	p.Enabled, p.link, p.relay = false, nil, nil
	return l.Close()
}

// toxic returns the index of a toxic, or -1.
func (p *proxy) toxic(name string) int {
	return slices.IndexFunc(p.Toxics, func(t *toxic) bool { return t.Name == name })
}

// drop removes toxics from the proxy. They may still act.
func (p *proxy) drop(gone func(*toxic) bool) {
	p.Toxics = slices.DeleteFunc(p.Toxics, func(t *toxic) bool {
		if !gone(t) {
			return false
		}
		if t.removed != nil {
			close(t.removed)
		}
		t.deadline.cancel()
		return true
	})
}

// endOutage ends the wait for the proxy to be enabled again.
func (p *proxy) endOutage() {
	p.outage.cancel()
	p.outage = nil
}

// forget removes what is left of a proxy that has been stopped and is no longer served.
func (p *proxy) forget() {
	p.drop(every)
	p.endOutage()
}

// every is the argument of drop that removes all toxics.
func every(*toxic) bool { return true }

// sorted returns the toxics as Toxiproxy lists them: those of the upstream first.
func (p *proxy) sorted() []*toxic {
	toxics := slices.Clone(p.Toxics)
	slices.SortStableFunc(toxics, func(a, b *toxic) int { return strings.Compare(b.Stream, a.Stream) })
	return toxics
}

// MarshalJSON implements json.Marshaler.
func (p *proxy) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Proxy
		Toxics []*toxic `json:"toxics"`
	}{p.Proxy, p.sorted()})
}

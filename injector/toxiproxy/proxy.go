package toxiproxy

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/link"
	"github.com/firedrill-dev/firedrill/injector/loopback"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/protocols"
)

// removalBound is how long the removal of a toxic may take. It does not wait for peers.
const removalBound = 10 * time.Second

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
	host, _, err := net.SplitHostPort(s.Listen)
	switch {
	case s.Listen == "":
	case err != nil:
		return badRequest("listen: %v", err)
	case host != "" && !loopback.Host(host):
		return badRequest("listen: %q is not an address of this machine only: use 127.0.0.1:PORT", s.Listen)
	}
	if row := protocols.All().Find(s.Protocol); s.Protocol != "" && s.Protocol != "tcp" && (row == nil || row.UDP) {
		return badRequest("protocol: %q is not one of tcp, %s", s.Protocol, strings.Join(overTCP(), ", "))
	}
	return nil
}

// overTCP returns the names of the protocols of messages over TCP.
func overTCP() (names []string) {
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
	link   *link.Link // nil while it is disabled
	relay  *message.Relay
}

// differs reports whether other settings need another listener or other connections.
func (p *proxy) differs(other Proxy) bool {
	return p.Upstream != other.Upstream || p.Protocol != other.Protocol || p.Listen != other.Listen && p.listenAddr() != other.listenAddr()
}

// listenAddr returns the address to listen on. An address without a host is one of this machine only.
func (s Proxy) listenAddr() string {
	host, port, err := net.SplitHostPort(s.Listen)
	if err != nil {
		return "127.0.0.1:0"
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// enable opens or closes the link.
func (p *proxy) enable(enabled bool) error {
	if p.Enabled == enabled {
		return nil
	}
	if !enabled {
		return p.stop()
	}
	cfg := link.Config{Name: p.Name, Listen: p.listenAddr(), Upstream: p.Upstream}
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

// toxic is a fault of a proxy.
type toxic struct {
	Name       string         `json:"name"`
	Type       string         `json:"type"`
	Stream     string         `json:"stream"`
	Toxicity   float64        `json:"toxicity"`
	Attributes map[string]any `json:"attributes"`

	proxy *proxy
	fault injector.Fault // of the type "fault"
	heal  injector.Heal  // nil while it does not act

	count   *evidence.Counter // of one that Server.Inject made; nil for others
	removed chan struct{}     // closed when it is removed; nil for one that a client added
}

// drop removes toxics from the proxy. They may still act.
func (p *proxy) drop(gone func(*toxic) bool) {
	p.Toxics = slices.DeleteFunc(p.Toxics, func(t *toxic) bool {
		if gone(t) && t.removed != nil {
			close(t.removed)
		}
		return gone(t)
	})
}

// every is the argument of drop that removes all toxics.
func every(*toxic) bool { return true }

// faultType is the type of toxics that are faults of feature files.
const faultType = "fault"

// set changes the toxicity and some attributes of a toxic, and makes it act like that. If they are wrong, it acts as
// before.
func (t *toxic) set(toxicity float64, attributes map[string]any) error {
	next := *t
	next.Toxicity, next.Attributes = toxicity, maps.Clone(t.Attributes)
	maps.Copy(next.Attributes, attributes)
	if err := next.check(); err != nil {
		return err
	}
	if err := t.remove(); err != nil {
		return err
	}
	*t = next
	t.heal = nil
	return t.inject()
}

// check validates a toxic, and adds the attributes that are missing.
func (t *toxic) check() (err error) {
	if t.Stream != "upstream" && t.Stream != "downstream" {
		return badRequest("stream was invalid, can be either upstream or downstream")
	}
	if !(t.Toxicity >= 0 && t.Toxicity <= 1) {
		return badRequest("toxicity %v: it must be between 0 and 1", t.Toxicity)
	}
	if t.Type == faultType {
		return t.checkFault()
	}
	names, ok := link.ToxicAttributes(t.Type)
	for _, name := range names {
		if t.Attributes[name] == nil {
			t.Attributes[name] = 0
		}
	}
	if t.harmless() {
		return nil
	}
	if err := t.toxic().Check(); err != nil {
		if !ok && strings.Contains(err.Error(), "unknown toxic") {
			return badRequest("invalid toxic type: %v", err)
		}
		return badRequest("bad request body: %v", err)
	}
	return nil
}

// checkFault validates a toxic of the type "fault".
func (t *toxic) checkFault() error {
	sentence, ok := t.Attributes["sentence"].(string)
	switch {
	case t.proxy.server.cfg.Fault == nil:
		return badRequest("invalid toxic type")
	case !ok || len(t.Attributes) != 1:
		return badRequest(`a toxic of type "fault" has one attribute, "sentence", which is a text`)
	case t.Toxicity != 1:
		return badRequest(`a toxic of type "fault" has a toxicity of 1: its sentence says how many calls it acts on`)
	}
	f, err := t.proxy.server.cfg.Fault(t.proxy.Name, cmp.Or(t.proxy.Protocol, "tcp"), sentence)
	if err != nil {
		return badRequest("sentence: %v", err)
	}
	t.fault = f
	return nil
}

// harmless reports whether a toxic has no effect: Toxiproxy accepts a latency of 0, and a slow close without a delay.
func (t *toxic) harmless() bool {
	zero := func(names ...string) bool {
		isZero := func(name string) bool { return fmt.Sprint(t.Attributes[name]) == "0" }
		return len(t.Attributes) == len(names) && !slices.ContainsFunc(names, func(name string) bool { return !isZero(name) })
	}
	switch t.Type {
	case "latency":
		return zero("latency", "jitter")
	case "slow_close":
		return zero("delay")
	}
	return t.Toxicity == 0
}

// toxic returns the toxic for a link.
func (t *toxic) toxic() link.Toxic {
	dir := link.ToClient
	if t.Stream == "upstream" {
		dir = link.ToServer
	}
	return link.Toxic{On: link.On{ID: t.Name, Seed: t.proxy.server.cfg.Seed, Share: t.Toxicity}, Dir: dir, Name: t.Type, Attributes: t.Attributes}
}

// inject makes the toxic act, if its proxy is enabled.
func (t *toxic) inject() error {
	if !t.proxy.Enabled || t.Type != faultType && t.harmless() {
		return nil
	}
	if t.Type != faultType {
		heal, err := t.proxy.link.Toxic(t.toxic())
		t.heal = injector.Heal(heal)
		return err
	}
	heal, err := t.fault.Inject(context.Background(), injector.Target{ID: t.Name, Seed: t.proxy.server.cfg.Seed, Link: t.proxy.link, Relay: t.proxy.relay, Count: t.count})
	if err != nil {
		return apiError{http.StatusBadRequest, err.Error()}
	}
	t.heal = heal
	return nil
}

// remove ends the effect of the toxic.
func (t *toxic) remove() error {
	if t.heal == nil {
		return nil
	}
	heal := t.heal
	t.heal = nil
	ctx, cancel := context.WithTimeout(context.Background(), removalBound)
	defer cancel()
	return heal(ctx)
}

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

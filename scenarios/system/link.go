package system

import (
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/protocols"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// TLS makes a link terminate the TLS of its clients and use TLS to the dependency, so that faults can act on the
// calls inside.
type TLS struct {
	CA       string // file with the CA certificates for the dependency, absolute or relative to the system's folder; "" means those of the machine
	Insecure bool   // accept any certificate of the dependency
}

// link reads the settings of a link.
func (r *reader) link(l *Link, v ast.Node) {
	settings, ends := TLS{}, false
	var unused string
	r.Mapping(v, fmt.Sprintf("the link to %q", l.To), linkKeys, func(key string, v ast.Node, at source.Pos) {
		r.positions[l.Name()+"/"+key] = r.At(v)
		switch key {
		case "protocol":
			l.Protocol = r.Text(v)
		case "port":
			l.Port = r.Text(v)
		case "framing":
			l.Framing = r.framing(v)
		case "listen":
			if l.Listen = r.Text(v); l.Listen == SharedPort {
				break
			}
			var err error
			if l.Listen, err = source.ParseAddress(l.Listen); err != nil {
				r.AddProblem(v, err)
			}
		case "proxy_protocol":
			l.ProxyProtocol = r.Text(v)
		case "toxiproxy":
			l.Toxiproxy = r.toxiproxy(v)
		case "tls":
			if ends = r.Text(v) == "terminate"; !ends {
				r.Out.Add(r.At(v), codes.BadValue.Msgf("TLS is terminated or passes through"), "write `tls: terminate`, or leave it out")
				ends = true // to report a mistake only once
			}
		case "upstream_ca":
			settings.CA, unused = r.Text(v), key
			r.positions[l.Name()+"/"+key] = at
		case "upstream_insecure":
			settings.Insecure, unused = r.Bool(v), key
			r.positions[l.Name()+"/"+key] = at
		}
	})
	switch {
	case ends:
		l.TLS = &settings
	case unused != "":
		r.Out.Add(r.where(l.Name(), unused), codes.NoEffect.Msgf("`%s` without `tls: terminate`: TLS passes through, and its ends look after themselves", unused), "add `tls: terminate`, or leave it out")
	}
}

// validate validates the transport settings of a link.
func (l Link) validate(table protocols.Table, where func(name, key string) source.Pos, addProblem func(at source.Pos, what codes.Message, hint string)) {
	if names := table.Names(); l.Row == nil && l.Protocol != "" && !slices.Contains(names, l.Protocol) {
		addProblem(where(l.Name(), "protocol"), codes.UnknownName.Msgf("there is no protocol %q", l.Protocol), source.DidYouMean(l.Protocol, names, "protocols"))
	}
	if l.Row != nil {
		if err := protocols.Check(*l.Row); err != nil {
			addProblem(where(l.Name(), "protocol"), codes.BadValue.Message(err.Error()), "complete the row of the protocol")
		}
	}
	if versions := []string{"v1", "v2"}; l.ProxyProtocol != "" && !slices.Contains(versions, l.ProxyProtocol) {
		addProblem(where(l.Name(), "proxy_protocol"), codes.BadValue.Msgf("there is no version %q of the PROXY protocol", l.ProxyProtocol), source.DidYouMean(l.ProxyProtocol, versions, "versions"))
	}
	if l.TLS != nil && l.TLS.CA != "" && l.TLS.Insecure {
		addProblem(where(l.Name(), "upstream_insecure"), codes.Contradiction.Msgf("both a CA and trust in any certificate are requested"), "leave one out")
	}
	l.validateUDP(where, addProblem)
	l.validateToxiproxy(where, addProblem)
	if l.From == Clients && strings.HasPrefix(l.Listen, source.UnixPrefix) {
		addProblem(where(l.Name(), "listen"), codes.Unsupported.Msgf("the load asks over TCP and not over a Unix socket"), "write host and port, or leave it out for a free port")
	}
}

// validatePort validates that the dependency has the further port that the link leads to.
func (l Link) validatePort(to Service, where func(name, key string) source.Pos, addProblem func(at source.Pos, what codes.Message, hint string)) {
	if l.Port == "" || slices.Contains(to.Placeholders("port"), l.Port) {
		return
	}
	hint := fmt.Sprintf("let it listen at ${port:%s}, or leave `port` out for its own port", l.Port)
	if len(to.Command) == 0 {
		hint = "only a service with a command has further ports: declare another service with that address"
	}
	addProblem(where(l.Name(), "port"), codes.UnknownName.Msgf("%q has no port %q", l.To, l.Port), hint)
}

// Transport describes how a link carries its bytes.
func (l Link) Transport() string {
	text := l.ProtocolName()
	if l.TLS != nil {
		text += ", TLS terminated"
		if l.TLS.Insecure {
			text += ", any certificate trusted"
		}
	}
	if l.Port != "" {
		text += ", to its port " + l.Port
	}
	if l.ProxyProtocol != "" {
		text += ", PROXY protocol " + l.ProxyProtocol
	}
	if at := l.Address(); at != "" {
		text += ", at " + at
	}
	if l.Toxiproxy != nil {
		text += fmt.Sprintf(", through %s, whose toxics act on all of its clients", l.Toxiproxy)
	}
	if len(l.Shared) > 0 {
		text += ", shared by " + strings.Join(l.Shared, ", ")
	}
	return text
}

// terminates reports whether a link terminates TLS, so that there is a CA to trust.
func (s *System) terminates() bool {
	return slices.ContainsFunc(s.Links, func(l Link) bool { return l.TLS != nil })
}

// validateUDP reports settings of a datagram link that need a stream.
func (l Link) validateUDP(where func(name, key string) source.Pos, addProblem func(at source.Pos, what codes.Message, hint string)) {
	for key, asked := range map[string]bool{"tls": l.TLS != nil, "proxy_protocol": l.ProxyProtocol != "", "listen": strings.HasPrefix(l.Listen, source.UnixPrefix)} {
		if asked && l.UDP() {
			addProblem(where(l.Name(), key), codes.Unsupported.Msgf("%s goes over UDP, where there is no TLS, no PROXY protocol and no Unix socket", l.ProtocolName()), "leave `"+key+"` out")
		}
	}
}

func (l Link) ProtocolName() string {
	if l.Protocol == "" {
		return "tcp"
	}
	return l.Protocol
}

// Resolve sets the row of the link's protocol or, if the row is set, the name of the protocol. An unknown protocol has
// no row; Validate reports it.
func (l *Link) Resolve(table protocols.Table) {
	if l.Row == nil {
		l.Row = table.Find(l.Protocol)
		return
	}
	l.Protocol = l.Row.Name
}

// Relayed returns the protocol that the link relays message by message. ok is false for tcp.
func (l Link) Relayed() (row message.Protocol, ok bool) {
	if l.Row == nil {
		return message.Protocol{}, false
	}
	return *l.Row, true
}

// UDP reports whether the link carries datagrams.
func (l Link) UDP() bool { return l.Row != nil && l.Row.UDP }

// FramingOf returns how messages to a service are delimited that begin with their length: as its link from clients, or
// else from any other service, declares. ok is false if none does.
func (s System) FramingOf(service string) (g message.Framing, ok bool) {
	for _, l := range s.Links {
		if l.To == service && l.Protocol == "lengths" && (!ok || l.From == Clients) {
			g, ok = l.Framing, true
		}
	}
	return g, ok
}

package scenarios

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// TLS makes a link terminate the TLS of its clients and use TLS to the dependency, so that faults can act on the
// calls inside.
type TLS struct {
	CA       string // file with the CA certificates for the dependency, absolute or relative to the system's folder; "" means those of the machine
	Insecure bool   // accept any certificate of the dependency
}

// unixPrefix marks an address as the path of a Unix socket.
const unixPrefix = "unix:"

// parseUnix parses "unix:/run/db.sock". ok is false if s is another kind of address.
func parseUnix(s string) (at string, ok bool, err error) {
	file, ok := strings.CutPrefix(s, unixPrefix)
	if !ok {
		return s, false, nil
	}
	if !path.IsAbs(file) || path.Clean(file) == "/" {
		return s, true, mistakef("write an absolute path, since services run in folders of their own: \"unix:/run/db.sock\"", "%q is no address", s)
	}
	return s, true, nil
}

// link reads the settings of a link.
func (r *reader) link(l *Link, v ast.Node) {
	settings, ends := TLS{}, false
	var unused string
	r.mapping(v, fmt.Sprintf("the link to %q", l.To), linkKeys, func(key string, v ast.Node, at pos) {
		r.positions[l.Name()+"/"+key] = r.at(v)
		switch key {
		case "protocol":
			l.Protocol = r.text(v)
		case "framing":
			l.Framing = r.framing(v)
		case "listen":
			var err error
			if l.Listen, err = parseAddress(r.text(v)); err != nil {
				r.addProblem(v, err)
			}
		case "proxy_protocol":
			l.ProxyProtocol = r.text(v)
		case "tls":
			if ends = r.text(v) == "terminate"; !ends {
				r.out.add(r.at(v), "TLS is terminated or passes through", "write `tls: terminate`, or leave it out")
				ends = true // to report a mistake only once
			}
		case "upstream_ca":
			settings.CA, unused = r.text(v), key
			r.positions[l.Name()+"/"+key] = at
		case "upstream_insecure":
			settings.Insecure, unused = r.boolValue(v), key
			r.positions[l.Name()+"/"+key] = at
		}
	})
	switch {
	case ends:
		l.TLS = &settings
	case unused != "":
		r.out.add(r.where(l.Name(), unused), fmt.Sprintf("`%s` without `tls: terminate`: TLS passes through, and its ends look after themselves", unused), "add `tls: terminate`, or leave it out")
	}
}

// validate validates the transport settings of a link.
func (l Link) validate(where func(name, key string) pos, addProblem func(at pos, what, hint string)) {
	if l.Protocol != "" && !slices.Contains(protocolNames(), l.Protocol) {
		addProblem(where(l.Name(), "protocol"), fmt.Sprintf("there is no protocol %q", l.Protocol), didYouMean(l.Protocol, protocolNames(), "protocols"))
	}
	if versions := []string{"v1", "v2"}; l.ProxyProtocol != "" && !slices.Contains(versions, l.ProxyProtocol) {
		addProblem(where(l.Name(), "proxy_protocol"), fmt.Sprintf("there is no version %q of the PROXY protocol", l.ProxyProtocol), didYouMean(l.ProxyProtocol, versions, "versions"))
	}
	if l.TLS != nil && l.TLS.CA != "" && l.TLS.Insecure {
		addProblem(where(l.Name(), "upstream_insecure"), "who vouches for the dependency is said, and that nobody has to", "leave one out")
	}
	l.validateUDP(where, addProblem)
	if l.From == Clients && strings.HasPrefix(l.Listen, unixPrefix) {
		addProblem(where(l.Name(), "listen"), "the load asks over TCP and not over a Unix socket", "write host and port, or leave it out for a free port")
	}
}

// transport describes how a link carries its bytes.
func (l Link) transport() string {
	text := l.protocol()
	if l.TLS != nil {
		text += ", TLS terminated"
		if l.TLS.Insecure {
			text += ", any certificate trusted"
		}
	}
	if l.ProxyProtocol != "" {
		text += ", PROXY protocol " + l.ProxyProtocol
	}
	if l.Listen != "" {
		text += ", at " + l.Listen
	}
	return text
}

// terminates reports whether a link terminates TLS, so that there is a CA to trust.
func (s *System) terminates() bool {
	return slices.ContainsFunc(s.Links, func(l Link) bool { return l.TLS != nil })
}

// tlsSentence is a sentence about the TLS of a link. The link may be described later.
type tlsSentence struct {
	at       pos
	from, to string
	tls      TLS
}

func terminateTLS(r *resolver, a args) {
	r.describe(a.at)
	e := tlsSentence{at: a.pos(0), from: a.name(0), to: a.name(1), tls: TLS{CA: a.quoted(2), Insecure: strings.HasSuffix(a.text, ", trusting any certificate")}}
	if a.has(2) && e.tls.Insecure {
		a.r.addProblem(a.pos(2), "who vouches for the dependency is said, and that nobody has to", "leave one out")
	}
	if a.has(2) && e.tls.CA == "" {
		a.r.addProblem(a.pos(2), "the file's name is empty", "write the path of a file of certificates")
	}
	r.tlsSentences = append(r.tlsSentences, e)
}

// applyTLS applies the sentences about TLS, after all links are known.
func (r *resolver) applyTLS() {
	for _, e := range r.tlsSentences {
		i := slices.IndexFunc(r.System.Links, func(l Link) bool { return l.From == e.from && l.To == e.to })
		switch {
		case i < 0:
			r.addProblem(e.at, fmt.Sprintf("there is no link from %q to %q", e.from, e.to), r.System.linksOf(e.from, e.to))
		case r.System.Links[i].TLS != nil:
			r.addProblem(e.at, fmt.Sprintf("TLS from %q to %q is terminated already", e.from, e.to), "say it once")
		default:
			r.System.Links[i].TLS = &e.tls
		}
	}
}

package scenarios

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// TLS says that a link ends its clients' TLS and begins its own to the dependency, so that faults on calls act inside.
type TLS struct {
	CA       string // file of the certificates that vouch for the dependency, absolute or from the system's folder; "" means the machine's own
	Insecure bool   // any certificate of the dependency will do
}

// unixPrefix marks an address as the path of a Unix socket.
const unixPrefix = "unix:"

// parseUnix reads "unix:/run/db.sock"; ok is false when s is something else.
func parseUnix(s string) (at string, ok bool, err error) {
	file, ok := strings.CutPrefix(s, unixPrefix)
	if !ok {
		return s, false, nil
	}
	if !path.IsAbs(file) || path.Clean(file) == "/" {
		return s, true, wrong("write an absolute path, since services run in folders of their own: \"unix:/run/db.sock\"", "%q is no address", s)
	}
	return s, true, nil
}

// link reads what a system file says of a link.
func (r *reader) link(l *Link, v ast.Node) {
	said, ends := TLS{}, false
	var unused string
	r.mapping(v, fmt.Sprintf("the link to %q", l.To), linkKeys, func(key string, v ast.Node, at place) {
		r.places[l.Name()+"/"+key] = r.at(v)
		switch key {
		case "protocol":
			l.Protocol = r.text(v)
		case "framing":
			l.Framing = r.framing(v)
		case "listen":
			var err error
			if l.Listen, err = parseAddress(r.text(v)); err != nil {
				r.blame(v, err)
			}
		case "proxy_protocol":
			l.ProxyProtocol = r.text(v)
		case "tls":
			if ends = r.text(v) == "terminate"; !ends {
				r.out.add(r.at(v), "TLS is terminated or passes through", "write `tls: terminate`, or leave it out")
				ends = true // so that one mistake is told once
			}
		case "upstream_ca":
			said.CA, unused = r.text(v), key
			r.places[l.Name()+"/"+key] = at
		case "upstream_insecure":
			said.Insecure, unused = r.truth(v), key
			r.places[l.Name()+"/"+key] = at
		}
	})
	switch {
	case ends:
		l.TLS = &said
	case unused != "":
		r.out.add(r.where(l.Name(), unused), fmt.Sprintf("`%s` without `tls: terminate`: TLS passes through, and its ends look after themselves", unused), "add `tls: terminate`, or leave it out")
	}
}

// sound judges how a link carries its bytes.
func (l Link) sound(where func(name, key string) place, blame func(at place, what, hint string)) {
	if l.Protocol != "" && !slices.Contains(protocols(), l.Protocol) {
		blame(where(l.Name(), "protocol"), fmt.Sprintf("there is no protocol %q", l.Protocol), didYouMean(l.Protocol, protocols(), "protocols"))
	}
	if versions := []string{"v1", "v2"}; l.ProxyProtocol != "" && !slices.Contains(versions, l.ProxyProtocol) {
		blame(where(l.Name(), "proxy_protocol"), fmt.Sprintf("there is no version %q of the PROXY protocol", l.ProxyProtocol), didYouMean(l.ProxyProtocol, versions, "versions"))
	}
	if l.TLS != nil && l.TLS.CA != "" && l.TLS.Insecure {
		blame(where(l.Name(), "upstream_insecure"), "who vouches for the dependency is said, and that nobody has to", "leave one out")
	}
	l.soundUDP(where, blame)
	if l.From == Clients && strings.HasPrefix(l.Listen, unixPrefix) {
		blame(where(l.Name(), "listen"), "the load asks over TCP and not over a Unix socket", "write host and port, or leave it out for a free port")
	}
}

// carries is how a link carries its bytes, in words.
func (l Link) carries() string {
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

// terminates tells whether some link ends TLS, so that there is a CA to trust.
func (s *System) terminates() bool {
	return slices.ContainsFunc(s.Links, func(l Link) bool { return l.TLS != nil })
}

// ending is a sentence on the TLS of a link, which may be described later.
type ending struct {
	at       place
	from, to string
	tls      TLS
}

func terminated(d *draft, a args) {
	d.describe(a.at)
	e := ending{at: a.place(0), from: a.name(0), to: a.name(1), tls: TLS{CA: a.quoted(2), Insecure: strings.HasSuffix(a.text, ", trusting any certificate")}}
	if a.has(2) && e.tls.Insecure {
		a.d.blame(a.place(2), "who vouches for the dependency is said, and that nobody has to", "leave one out")
	}
	if a.has(2) && e.tls.CA == "" {
		a.d.blame(a.place(2), "the file's name is empty", "write the path of a file of certificates")
	}
	d.endings = append(d.endings, e)
}

// endTLS carries the sentences on TLS out, when all links are known.
func (d *draft) endTLS() {
	for _, e := range d.endings {
		i := slices.IndexFunc(d.System.Links, func(l Link) bool { return l.From == e.from && l.To == e.to })
		switch {
		case i < 0:
			d.blame(e.at, fmt.Sprintf("there is no link from %q to %q", e.from, e.to), d.System.linksOf(e.from))
		case d.System.Links[i].TLS != nil:
			d.blame(e.at, fmt.Sprintf("TLS from %q to %q is terminated already", e.from, e.to), "say it once")
		default:
			d.System.Links[i].TLS = &e.tls
		}
	}
}

package system

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// Toxiproxy names a proxy of a Toxiproxy server that runs elsewhere. A link leads to it, and its toxics are the faults of
// the link. They act on all clients of the proxy.
type Toxiproxy struct {
	Server   string // the URL of its API, such as http://127.0.0.1:8474
	Proxy    string
	Listen   string `json:",omitempty"` // the host and port where the server has the proxy listen if it does not exist; it is deleted at the end. "" means that it has to exist
	Upstream string `json:",omitempty"` // the host and port that the server dials for a proxy that it creates; "" means those of the dependency
}

var toxiproxyKeys = []string{"server", "proxy", "listen", "upstream"}

// toxiproxy reads the proxy that a link leads to. It returns nil if there is a mistake, to report it only once.
func (r *reader) toxiproxy(v ast.Node) *Toxiproxy {
	t := &Toxiproxy{}
	before := len(r.Out.All)
	address := func(v ast.Node) string {
		a, err := source.ParseAddress(r.Text(v))
		if err == nil && strings.HasPrefix(a, source.UnixPrefix) {
			err = source.Mistakef(codes.Unsupported, "write host and port", "Toxiproxy knows no Unix sockets")
		}
		if err != nil {
			r.AddProblem(v, err)
		}
		return a
	}
	r.Mapping(v, "toxiproxy", toxiproxyKeys, func(key string, v ast.Node, _ source.Pos) {
		switch key {
		case "server":
			var err error
			if t.Server, err = parseServer(r.Text(v)); err != nil {
				r.AddProblem(v, err)
			}
		case "proxy":
			t.Proxy = r.Text(v)
		case "listen":
			t.Listen = address(v)
		case "upstream":
			t.Upstream = address(v)
		}
	})
	if len(r.Out.All) > before {
		return nil
	}
	return t
}

const serverHint = "write its scheme, host and port, such as http://127.0.0.1:8474"

// parseServer returns the URL of an API, which may be given as host and port.
func parseServer(text string) (string, error) {
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.Port() == "" || u.User != nil || strings.Trim(u.Path, "/")+u.RawQuery+u.Fragment != "" {
		return "", source.Mistakef(codes.BadValue, serverHint, "%q is not the URL of a Toxiproxy server", text)
	}
	return u.Scheme + "://" + u.Host, nil
}

// String returns a description such as `the proxy "db" of the Toxiproxy server at http://127.0.0.1:8474`.
func (t Toxiproxy) String() string {
	return fmt.Sprintf("the proxy %q of the Toxiproxy server at %s", t.Proxy, t.Server)
}

// host returns the host and port of the server.
func (t Toxiproxy) host() string {
	u, err := url.Parse(t.Server)
	if err != nil {
		return t.Server
	}
	return u.Host
}

// validateToxiproxy validates the proxy of Toxiproxy that a link leads through, and what does not go together with it.
func (l Link) validateToxiproxy(where func(name, key string) source.Pos, addProblem func(at source.Pos, what codes.Message, hint string)) {
	at := where(l.Name(), "toxiproxy")
	t := l.Toxiproxy
	if t == nil {
		return
	}
	switch server, err := parseServer(t.Server); {
	case t.Server == "" || t.Proxy == "":
		addProblem(at, codes.Missing.Msgf("`toxiproxy` needs the server and the proxy"), `write {server: "http://127.0.0.1:8474", proxy: payments}`)
	case err != nil || server != t.Server:
		addProblem(at, codes.BadValue.Msgf("%q is not the URL of a Toxiproxy server", t.Server), serverHint)
	case !IsName(t.Proxy):
		addProblem(at, codes.BadName.Msgf("%q cannot be the name of a proxy", t.Proxy), "use letters, digits, - and _")
	case t.Upstream != "" && t.Listen == "":
		addProblem(at, codes.NoEffect.Msgf("`upstream` without `listen`: a proxy that exists leads where it leads"), "add `listen`, so that the proxy is created if it does not exist, or leave `upstream` out")
	}
	switch {
	case l.UDP():
		addProblem(at, codes.Unsupported.Msgf("%s goes over UDP, and Toxiproxy carries TCP", l.ProtocolName()), "leave `toxiproxy` out")
	case l.TLS != nil:
		addProblem(at, codes.Unsupported.Msgf("the link would look for the dependency's certificate at the proxy"), "let TLS pass through: leave `tls` out, or `toxiproxy`")
	}
}

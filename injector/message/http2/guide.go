package http2

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"path"
	"slices"
	"strings"

	"golang.org/x/net/http2/hpack"

	"github.com/firedrill-dev/firedrill/injector/message"
)

// guide is a kind of answer that tells a client the addresses of servers. Clients connect to them without a link.
type guide struct {
	path string // of the request, a pattern of path.Match
	// each is where the addresses are in the JSON of the answer; see valuesAt. "" means that the answer is no JSON.
	each  string
	hosts []string // where in each value the host is, if it is apart from the port: the first that is not empty counts
	port  string
}

// guides are the answers that are read:
//
//   - etcd: the gRPC method MemberList, whose answer contains the URLs as text, the answers about members of its gateway
//     (https://etcd.io/docs/v3.6/dev-guide/api_grpc_gateway, https://etcd.io/docs/v3.6/dev-guide/api_reference_v3), and
//     those of version 2 (https://etcd.io/docs/v2.3/members_api)
//   - Elasticsearch and OpenSearch, whose clients "sniff" the nodes of a cluster
//     (https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-nodes-info)
//   - Consul: the instances of a service (https://developer.hashicorp.com/consul/api-docs/catalog,
//     https://developer.hashicorp.com/consul/api-docs/health)
var guides = []guide{
	{path: "/etcdserverpb.Cluster/MemberList"},
	{path: "/v3*/cluster/member/*", each: "members.*.clientURLs.*"},
	{path: "/v2/members", each: "members.*.clientURLs.*"},
	{path: "/_nodes", each: "nodes.*.http.publish_address"},
	{path: "/_nodes/http*", each: "nodes.*.http.publish_address"},
	{path: "/_nodes/*/http*", each: "nodes.*.http.publish_address"},
	{path: "/v1/catalog/service/*", each: "*", hosts: []string{"ServiceAddress", "Address"}, port: "ServicePort"},
	{path: "/v1/health/service/*", each: "*", hosts: []string{"Service.Address", "Node.Address"}, port: "Service.Port"},
}

// Guidance reads an answer that tells a client the addresses of servers, while it is relayed. It keeps at most
// message.MaxBuffered bytes. All methods of a nil Guidance do nothing.
type Guidance struct {
	relay    *message.Relay
	guide    *guide
	coding   string // of the content
	chunked  bool   // the body includes the framing of chunks
	body     []byte
	tooLarge bool
}

// NewGuidance returns what reads the answer to a request with a path, or nil if such answers tell no addresses or nobody
// asks for them.
func NewGuidance(r *message.Relay, requestPath string) *Guidance {
	if r.Config().Told == nil {
		return nil
	}
	for i := range guides {
		g := &guides[i]
		prefix, _, _ := strings.Cut(g.path, "*")
		if !strings.HasPrefix(requestPath, prefix) { // as with most requests, and faster than a match
			continue
		}
		if matches, _ := path.Match(g.path, requestPath); matches {
			return &Guidance{relay: r, guide: g}
		}
	}
	return nil
}

// Begin processes what the head of the answer says of its body: its Content-Encoding, and whether what is written includes
// the framing of chunks.
func (g *Guidance) Begin(coding string, chunked bool) {
	if g != nil {
		g.coding, g.chunked = strings.ToLower(coding), chunked
	}
}

// Add keeps a part of the body.
func (g *Guidance) Add(part []byte) {
	if g == nil {
		return
	}
	if g.tooLarge = g.tooLarge || len(g.body)+len(part) > maxBuffered; g.tooLarge {
		g.body = nil
		return
	}
	g.body = append(g.body, part...)
}

// Report reports the addresses once the answer has ended, or why they cannot be read.
func (g *Guidance) Report() {
	if g == nil {
		return
	}
	text, unread := g.decode()
	if g.body = nil; unread != "" {
		g.relay.ToldUnread(unread)
		return
	}
	for _, address := range g.guide.addresses(text) {
		g.relay.Told([]byte(address))
	}
}

// contentCoding returns how the body of an answer is encoded, the messages of gRPC included.
func contentCoding(fields []hpack.HeaderField) string {
	if coding := field(fields, "grpc-encoding"); coding != "" && coding != "identity" {
		return "grpc-encoding " + coding
	}
	return field(fields, "content-encoding")
}

// guide shows a part of an answer, which may be its end, to what reads it. The lock is held.
func (w *way) guide(s *stream, part []byte, end bool) {
	if s == nil || w.toServer {
		return
	}
	s.guidance.Add(part)
	if end {
		s.guidance.Report()
	}
}

// decode returns the content of the answer, or why it cannot be read.
func (g *Guidance) decode() (text []byte, unread string) {
	var r io.Reader = bytes.NewReader(g.body)
	if g.chunked {
		r = httputil.NewChunkedReader(r)
	}
	var err error
	switch g.coding {
	case "", "identity":
	case "gzip", "x-gzip":
		r, err = gzip.NewReader(r)
	case "deflate":
		r, err = zlib.NewReader(r)
	default:
		return nil, fmt.Sprintf("its encoding is %q", g.coding)
	}
	if err == nil {
		text, _ = io.ReadAll(io.LimitReader(r, int64(maxBuffered)+1)) // a client, too, reads what comes before a mistake
	}
	if g.tooLarge || len(text) > maxBuffered {
		return nil, message.TooLarge(maxBuffered)
	}
	return text, ""
}

// addresses returns the addresses in an answer, without repetition: "127.0.0.1:2379". An answer that should be JSON and is
// not, such as YAML, is returned as a whole.
func (g *guide) addresses(text []byte) []string {
	var doc any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	switch {
	case len(text) == 0:
		return nil
	case g.each == "", d.Decode(&doc) != nil:
		return []string{string(text)}
	}
	var found []string
	for _, v := range valuesAt(doc, g.each) {
		if address := g.address(v); address != "" {
			found = append(found, address)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// address returns the address that a value contains, or "".
func (g *guide) address(v any) string {
	if g.port == "" {
		text, _ := v.(string)
		if target := message.RedirectTarget(text); target != "" { // a URL, whose port may be that of its scheme
			return target
		}
		return text
	}
	for _, place := range g.hosts {
		for _, host := range valuesAt(v, place) {
			for _, port := range valuesAt(v, g.port) {
				if host != "" && host != nil {
					return net.JoinHostPort(fmt.Sprint(host), fmt.Sprint(port))
				}
			}
		}
	}
	return ""
}

// valuesAt returns the values of a JSON document at a place such as "nodes.*.http": names of members, and "*" for all
// members or elements.
func valuesAt(doc any, place string) []any {
	if place == "" {
		return []any{doc}
	}
	name, rest, _ := strings.Cut(place, ".")
	var values []any
	switch doc := doc.(type) {
	case map[string]any:
		for member, v := range doc {
			if name == "*" || name == member {
				values = append(values, valuesAt(v, rest)...)
			}
		}
	case []any:
		for _, v := range doc {
			if name == "*" {
				values = append(values, valuesAt(v, rest)...)
			}
		}
	}
	return values
}

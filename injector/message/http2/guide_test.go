package http2

import (
	"encoding/json"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2/hpack"

	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// recorded returns a relay with what it was told, and why something was not read.
func recorded(t *testing.T) (r *message.Relay, told, unread *[]string) {
	told, unread = new([]string), new([]string)
	r, err := relaytest.NewRelay("http", message.Config{Told: func(text []byte, why string) {
		if why != "" {
			*unread = append(*unread, why)
		} else {
			*told = append(*told, string(text))
		}
	}})
	require.NoError(t, err)
	return r, told, unread
}

// The answers are those of the documents that guides names.
func TestGuidance(t *testing.T) {
	etcd := `{"header":{"cluster_id":"14841639068965178418","raft_term":"2"},"members":[
		{"ID":"8211f1d0f64f3269","name":"a","peerURLs":["http://127.0.0.1:2380"],"clientURLs":["http://127.0.0.1:2379","http://[::1]:2379"]},
		{"ID":"91bc3c398fb3c146","name":"b","peerURLs":["http://127.0.0.1:2480"],"clientURLs":["https://etcd-b"]},
		{"ID":"fd422379fda50e48","peerURLs":["http://127.0.0.1:2580"]}]}`
	nodes := `{"_nodes":{"total":2},"cluster_name":"c","nodes":{
		"kX":{"transport_address":"127.0.0.1:9300","host":"127.0.0.1","http":{"bound_address":["[::1]:9200"],"publish_address":"127.0.0.1:9200"}},
		"pQ":{"transport_address":"127.0.0.1:9301","host":"127.0.0.1","http":{"publish_address":"search-2/127.0.0.1:9201"}},
		"tribe":{"host":"127.0.0.1"}}}`
	found := []string{"127.0.0.1:9200", "search-2/127.0.0.1:9201"}
	for name, row := range map[string]struct {
		path, text string
		want       []string
	}{
		"etcd":                        {"/v3/cluster/member/list", etcd, []string{"127.0.0.1:2379", "[::1]:2379", "etcd-b:443"}},
		"etcd 3.3":                    {"/v3beta/cluster/member/list", etcd, []string{"127.0.0.1:2379", "[::1]:2379", "etcd-b:443"}},
		"etcd, a member is added":     {"/v3/cluster/member/add", etcd, []string{"127.0.0.1:2379", "[::1]:2379", "etcd-b:443"}},
		"etcd 2":                      {"/v2/members", etcd, []string{"127.0.0.1:2379", "[::1]:2379", "etcd-b:443"}},
		"Elasticsearch":               {"/_nodes/http", nodes, found},
		"Elasticsearch, all nodes":    {"/_nodes/_all/http", nodes, found},
		"Elasticsearch, more metrics": {"/_nodes/http,settings", nodes, found},
		"Elasticsearch 1":             {"/_nodes", `{"nodes":{"m":{"http":{"publish_address":"inet[/127.0.0.1:9200]"}}}}`, []string{"inet[/127.0.0.1:9200]"}},
		"Elasticsearch, in YAML":      {"/_nodes/http", "nodes:\n  m:\n    http:\n      publish_address: \"127.0.0.1:9200\"\n", []string{"nodes:\n  m:\n    http:\n      publish_address: \"127.0.0.1:9200\"\n"}},
		"Elasticsearch, other facts":  {"/_nodes/stats", nodes, nil},
		"Consul, the catalogue": {
			"/v1/catalog/service/pay",
			`[{"Address":"10.1.10.12","ServiceAddress":"172.17.0.3","ServicePort":5000},{"Address":"10.1.10.13","ServiceAddress":"","ServicePort":5001},{"ServicePort":1},{"Address":"10.1.10.14"}]`,
			[]string{"10.1.10.13:5001", "172.17.0.3:5000"},
		},
		"Consul, healthy instances": {
			"/v1/health/service/pay",
			`[{"Node":{"Address":"10.1.10.12"},"Service":{"Address":"::1","Port":8000},"Checks":[]},{"Node":{"Address":"10.1.10.12"},"Service":{"Port":8001}}]`,
			[]string{"10.1.10.12:8001", "[::1]:8000"},
		},
		"gRPC":                {"/etcdserverpb.Cluster/MemberList", "\x00\x00\x00\x00\x17\"\x15http://127.0.0.1:2379", []string{"\x00\x00\x00\x00\x17\"\x15http://127.0.0.1:2379"}},
		"nothing":             {"/v3/cluster/member/list", "", nil},
		"JSON of other kinds": {"/v3/cluster/member/list", `{"members":{"a":7,"b":[1],"c":{"clientURLs":[null,8,{}]}}}`, nil},
		"another path":        {"/v3/kv/range", etcd, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r, told, unread := recorded(t)
			g := NewGuidance(r, row.path)
			g.Begin("", false)
			g.Add([]byte(row.text))
			g.Report()
			assert.Equal(t, row.want, *told)
			assert.Empty(t, *unread)
		})
	}
	r, err := relaytest.NewRelay("http", message.Config{})
	require.NoError(t, err)
	assert.Nil(t, NewGuidance(r, "/v3/cluster/member/list"), "nobody asks for it")
}

// FuzzGuidance verifies that an address is found beside arbitrary text, that addresses do not depend on how the answer is
// divided into parts, and that no answer is kept for longer than it lasts.
func FuzzGuidance(f *testing.F) {
	f.Add(uint8(1), "127.0.0.1", `{"members":[{"clientURLs":["http://127.0.0.1:1"]}]}`, "", false)
	f.Add(uint8(4), "node", `{"nodes":{"a":{"http":{"publish_address":"h/127.0.0.1:1"}}}}`, "identity", false)
	f.Add(uint8(6), "::1", `[{"ServicePort":1e400,"Address":[]}]`, "gzip", false)
	f.Add(uint8(7), "a b", "4\r\n[{}]\r\n0\r\n\r\n", "deflate", true)
	f.Fuzz(func(t *testing.T, kind uint8, name, text, coding string, chunked bool) {
		path := []string{"/etcdserverpb.Cluster/MemberList", "/v3/cluster/member/list", "/v2/members", "/_nodes", "/_nodes/http", "/_nodes/_all/http", "/v1/catalog/service/a", "/v1/health/service/a"}[kind%8]
		r, told, unread := recorded(t)
		report := func(chunked bool, coding string, parts ...string) []string {
			*told, *unread = nil, nil
			g := NewGuidance(r, path)
			g.Begin(coding, chunked)
			for _, p := range parts {
				g.Add([]byte(p))
			}
			g.Report()
			assert.Nil(t, g.body)
			return append(*told, *unread...)
		}
		assert.Equal(t, report(chunked, coding, text), report(chunked, coding, text[:len(text)/2], text[len(text)/2:]))

		address := net.JoinHostPort(name, "4711")
		quote := func(s string) string { b, _ := json.Marshal(s); return string(b) }
		var want string // as it is after JSON, which replaces invalid UTF-8
		_ = json.Unmarshal([]byte(quote(address)), &want)
		if name == "" || message.RedirectTarget(want) != "" {
			return
		}
		other := "null"
		if json.Valid([]byte(text)) {
			other = text
		}
		doc := []string{
			address, `{"members":[` + other + `,{"clientURLs":[` + quote(address) + `]}]}`, `{"members":[{"clientURLs":[` + quote(address) + `,` + other + `]}]}`,
			`{"nodes":{"o":` + other + `,"n":{"http":{"publish_address":` + quote(address) + `}}}}`, `{"nodes":{"n":{"http":{"publish_address":` + quote(address) + `},"o":` + other + `}}}`,
			`{"nodes":[` + other + `,{"http":{"publish_address":` + quote(address) + `}}]}`, `[` + other + `,{"Address":` + quote(name) + `,"ServiceAddress":"","ServicePort":4711}]`,
			`[` + other + `,{"Node":{"Address":"n"},"Service":{"Address":` + quote(name) + `,"Port":4711}}]`,
		}[kind%8]
		if kind%8 == 0 {
			want = address
		}
		assert.Contains(t, report(false, "", doc), want)
	})
}

// A compressed message of gRPC cannot be read, and is no empty list.
func TestGuidanceOfCompressedMessages(t *testing.T) {
	for _, row := range []struct{ name, value, unread string }{
		{"grpc-encoding", "gzip", `its encoding is "grpc-encoding gzip"`},
		{"grpc-encoding", "identity", ""},
		{"content-encoding", "Zstd", `its encoding is "zstd"`},
	} {
		r, told, unread := recorded(t)
		g := NewGuidance(r, "/etcdserverpb.Cluster/MemberList")
		g.Begin(contentCoding([]hpack.HeaderField{{Name: row.name, Value: row.value}}), false)
		g.Add([]byte("\x01\x00\x00\x00\x01a"))
		g.Report()
		if row.unread == "" {
			assert.Len(t, *told, 1)
			assert.Empty(t, *unread)
		} else {
			assert.Empty(t, *told)
			assert.Equal(t, []string{row.unread}, *unread)
		}
	}
}

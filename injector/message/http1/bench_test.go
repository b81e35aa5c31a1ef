package http1

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// BenchmarkGet compares 64 clients that send GET requests over persistent connections: directly, through the
// relay without a rule, through the relay with a rule that never matches, and through net/http's reverse proxy.
// Compare results within one run only.
func BenchmarkGet(b *testing.B) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	b.Cleanup(s.Close)
	addr := strings.TrimPrefix(s.URL, "http://")
	quiet := relaytest.OpenLink(b, addr, message.Config{})
	armed := relaytest.OpenLink(b, addr, message.Config{})
	armed.AddRule(b, message.Rule{Action: message.LoseReply, Match: message.Match{Path: "/none"}})
	target, _ := url.Parse(s.URL)
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	b.Cleanup(transport.CloseIdleConnections)
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, Transport: transport})
	b.Cleanup(proxy.Close)
	for _, way := range []struct{ name, addr string }{
		{"direct", addr}, {"relay", quiet.Addr}, {"relay with a rule", armed.Addr}, {"ReverseProxy", strings.TrimPrefix(proxy.URL, "http://")},
	} {
		b.Run(way.name, func(b *testing.B) { get(b, way.addr) })
	}
}

// get distributes b.N requests over 64 raw clients.
func get(b *testing.B, addr string) {
	const clients = 64
	peers := make([]relaytest.Peer, clients)
	for i := range peers {
		peers[i] = relaytest.Connect(b, addr)
		defer peers[i].Close()
	}
	text := []byte(relaytest.HTTPRequest("GET", "/a"))
	b.ResetTimer()
	var all sync.WaitGroup
	for i, p := range peers {
		all.Go(func() {
			buf := make([]byte, 4<<10)
			for range (b.N + i) / clients {
				_, _ = p.Write(text)
				n := 0
				for !strings.HasSuffix(string(buf[:n]), "hello") {
					m, err := p.Read(buf[n:])
					if err != nil {
						b.Error(err)
						return
					}
					n += m
				}
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}

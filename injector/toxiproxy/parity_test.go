package toxiproxy_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	shopify "github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/toxiproxy"
)

// request is a request to the API and, if the answer differs from Toxiproxy's, why.
type request struct {
	method, path, body string
	differs            string // part of the answer, which is a refusal; "" means that the answer is Toxiproxy's
}

// requests are sent one after another. UP stands for an upstream, TAKEN for an address that something else listens on.
var requests = []request{
	{"GET", "/version", "", ""},
	{"GET", "/proxies", "", ""},
	{"GET", "/nothing", "", ""},
	{"GET", "/proxies/", "", ""},
	{"GET", "/metrics", "", ""},
	{"POST", "/reset", "", ""},

	{"POST", "/proxies", ``, ""},
	{"POST", "/proxies", `{`, ""},
	{"POST", "/proxies", `[]`, ""},
	{"POST", "/proxies", `{"name": 5}`, ""},
	{"POST", "/proxies", `{}`, ""},
	{"POST", "/proxies", `{"name": "a"}`, ""},
	{"POST", "/proxies", `{"name": "a", "upstream": "UP", "listen": "local373"}`, ""},
	{"POST", "/proxies", `{"name": "a", "upstream": "UP", "listen": "127.0.0.1:http!"}`, ""},
	{"POST", "/proxies", `{"name": "a", "upstream": "UP", "listen": "TAKEN"}`, ""},
	{"POST", "/proxies", `{"name": "a", "upstream": "UP", "listen": "192.0.2.1:0"}`, "is not an address of this machine only"},
	{"GET", "/proxies/a", "", ""},
	{"POST", "/proxies", `{"name": "a", "upstream": "UP", "listen": "localhost:0", "toxics": [], "more": 1}`, ""},
	{"POST", "/proxies", `{"name": "a", "upstream": "UP", "listen": "localhost:0"}`, ""},
	{"POST", "/proxies", `{"name": "off", "upstream": "UP", "listen": "localhost:7070", "enabled": false}`, ""},
	{"POST", "/proxies", `{"name": "off/2", "upstream": "UP", "listen": "local373", "enabled": false}`, ""},
	{"GET", "/proxies/a", "", ""},
	{"GET", "/proxies/off", "", ""},
	{"GET", "/proxies/other", "", ""},
	{"PUT", "/proxies/a", "{}", ""},
	{"DELETE", "/proxies", "", ""},

	{"POST", "/proxies/other", `{}`, ""},
	{"POST", "/proxies/a", ``, ""},
	{"PATCH", "/proxies/a", `{"enabled": "yes"}`, ""},
	{"PATCH", "/proxies/a", `{}`, ""},
	{"POST", "/proxies/a", `{"name": "b", "enabled": false}`, ""},
	{"PATCH", "/proxies/a", `{"enabled": true}`, ""},
	{"PATCH", "/proxies/a", `{"listen": "local373"}`, ""},
	{"PATCH", "/proxies/a", `{"listen": "0.0.0.0:0"}`, "is not an address of this machine only"},
	{"PATCH", "/proxies/a", `{"upstream": ""}`, "missing required field: upstream"},
	{"PATCH", "/proxies/a", `{"upstream": "TAKEN", "listen": "127.0.0.1:0"}`, ""},
	{"PATCH", "/proxies/off", `{"listen": "TAKEN", "enabled": true}`, ""},
	{"GET", "/proxies/off", "", ""},

	{"GET", "/proxies/other/toxics", "", ""},
	{"GET", "/proxies/a/toxics", "", ""},
	{"GET", "/proxies/a/toxics/none", "", ""},
	{"POST", "/proxies/other/toxics", `{}`, ""},
	{"POST", "/proxies/a/toxics", ``, ""},
	{"POST", "/proxies/a/toxics", `{`, ""},
	{"POST", "/proxies/a/toxics", `{"type": 5}`, ""},
	{"POST", "/proxies/a/toxics", `{}`, ""},
	{"POST", "/proxies/a/toxics", `{"type": "flood"}`, ""},
	{"POST", "/proxies/a/toxics", `{"type": "fault", "attributes": {"sentence": "x"}}`, ""},
	{"POST", "/proxies/a/toxics", `{"type": "latency", "stream": "sideways"}`, ""},
	{"POST", "/proxies/a/toxics", `{"type": "flood", "stream": "sideways"}`, ""},
	{"POST", "/proxies/a/toxics", `{"type": "latency", "attributes": null}`, ""},
	{"POST", "/proxies/a/toxics", `{"type": "latency"}`, ""},
	{"POST", "/proxies/a/toxics", `{"type": "flood", "name": "latency_downstream"}`, ""},
	{"POST", "/proxies/a/toxics", `{"type": "slicer", "name": "latency_downstream", "stream": "upstream"}`, ""},
	{"POST", "/proxies/a/toxics", `{"type": "latency", "stream": "upstream", "toxicity": 0.2, "attributes": {"latency": 100, "jitter": 10}}`, ""},
	{"POST", "/proxies/a/toxics", `{"type": "latency", "name": "x", "attributes": {"latency": 0.5}}`, ""},
	{"POST", "/proxies/a/toxics", `{"type": "latency", "name": "x", "attributes": {"latency": "5"}}`, ""},
	{"POST", "/proxies/a/toxics", `{"type": "latency", "name": "x", "attributes": 5}`, ""},
	{"POST", "/proxies/a/toxics", `{"type": "latency", "name": "x", "toxicity": "1"}`, ""},
	{"POST", "/proxies/a/toxics", `{"type": "latency", "name": "typo", "attributes": {"delay": 5}}`, ""},
	{"POST", "/proxies/a/toxics", `{"type": "latency", "name": "case", "attributes": {"LATENCY": 5}}`, ""},
	{"POST", "/proxies/a/toxics", `{"type": "latency", "name": "much", "toxicity": 2, "attributes": {"latency": 5}}`, ""},
	{"POST", "/proxies/a/toxics", `{"type": "latency", "name": "less", "toxicity": -2, "attributes": {"latency": 5}}`, ""},
	{"POST", "/proxies/a/toxics", `{"type": "bandwidth", "attributes": {"rate": 100}}`, ""},
	{"POST", "/proxies/a/toxics", `{"type": "slow_close"}`, ""},
	{"POST", "/proxies/a/toxics", `{"type": "timeout"}`, ""},
	{"POST", "/proxies/a/toxics", `{"type": "reset_peer", "attributes": {"timeout": 5}}`, ""},
	{"POST", "/proxies/a/toxics", `{"type": "slicer", "attributes": {"average_size": 8, "size_variation": 2, "delay": 5}}`, ""},
	{"POST", "/proxies/a/toxics", `{"type": "limit_data"}`, ""},
	{"POST", "/proxies/a/toxics", `{"type": "noop", "toxicity": 0}`, ""},
	{"POST", "/proxies/a/toxics", `{"type": "bandwidth", "name": "x", "attributes": {"rate": -1}}`, "rate is -1: it must be between"},                // Toxiproxy dies of it
	{"POST", "/proxies/a/toxics", `{"type": "slicer", "name": "y", "attributes": {}}`, "average_size is 0: it must be between"},                      // of this, too
	{"POST", "/proxies/a/toxics", `{"type": "slicer", "name": "z", "attributes": {"average_size": 5, "size_variation": 6}}`, "at most average_size"}, // and of this, with some data
	{"POST", "/proxies/a/toxics", `{"type": "latency", "name": "z", "attributes": {"latency": -5}}`, "latency is -5: it must be between"},
	{"POST", "/proxies/a/toxics", `{"type": "latency", "name": "jitter", "attributes": {"latency": 5, "jitter": 6}}`, ""},
	{"POST", "/proxies/a/toxics", `{"type": "latency", "name": "jitter alone", "attributes": {"jitter": 6}}`, ""},
	{"POST", "/proxies/a/toxics", `{"type": "slicer", "name": "varied", "attributes": {"average_size": 1000, "size_variation": 1000, "delay": 1000}}`, ""},
	{"POST", "/proxies/a/toxics", `{"type": "slicer", "name": "single bytes", "attributes": {"average_size": 1, "size_variation": 1}}`, ""},
	{"DELETE", "/proxies/a/toxics/x", "", "toxic not found"},
	{"DELETE", "/proxies/a/toxics/y", "", "toxic not found"},
	{"DELETE", "/proxies/a/toxics/z", "", "toxic not found"},
	{"GET", "/proxies/a/toxics", "", ""},
	{"GET", "/proxies/a/toxics/latency_upstream", "", ""},
	{"GET", "/proxies/a", "", ""},

	{"POST", "/proxies/a/toxics/none", `{}`, ""},
	{"PATCH", "/proxies/a/toxics/latency_upstream", ``, ""},
	{"PATCH", "/proxies/a/toxics/latency_upstream", `{}`, ""},
	{"PATCH", "/proxies/a/toxics/latency_upstream", `{"attributes": null, "toxicity": 0.5}`, ""},
	{"PATCH", "/proxies/a/toxics/latency_upstream", `{"attributes": {"latency": 1000}, "name": "other", "type": "noop", "stream": "downstream"}`, ""},
	{"POST", "/proxies/a/toxics/latency_upstream", `{"attributes": {"jitter": 0}}`, ""},
	{"PATCH", "/proxies/a/toxics/latency_upstream", `{"attributes": {"jitter": "0"}}`, ""},
	{"PATCH", "/proxies/a/toxics/latency_upstream", `{"toxicity": true}`, ""},
	{"GET", "/proxies/a/toxics/latency_upstream", "", ""},
	{"DELETE", "/proxies/a/toxics/latency_upstream", "", ""},
	{"DELETE", "/proxies/a/toxics/latency_upstream", "", ""},

	{"POST", "/populate", ``, ""},
	{"POST", "/populate", `{}`, ""},
	{"POST", "/populate", `[]`, ""},
	{"POST", "/populate", `[{"name": 5}]`, ""},
	{"POST", "/populate", `[{"name": "p", "upstream": "UP", "listen": "127.0.0.1:0"}, {"upstream": "UP"}]`, ""},
	{"POST", "/populate", `[{"name": "p", "upstream": "UP", "listen": "127.0.0.1:0"}, {"name": "q"}]`, ""},
	{"POST", "/populate", `[{"name": "p", "upstream": "UP", "listen": "127.0.0.1:0"}, {"name": "q", "upstream": "UP", "listen": "TAKEN"}, {"name": "r", "upstream": "UP"}]`, ""},
	{"POST", "/populate", `[{"name": "p", "upstream": "UP", "listen": "local373"}]`, ""},
	{"POST", "/populate", `[{"name": "q", "upstream": "UP", "listen": "localhost:7071", "enabled": false}, {"name": "s", "upstream": "UP", "listen": "127.0.0.1:0", "enabled": null}]`, ""},
	{"POST", "/populate", `[{"name": "a", "upstream": "UP", "listen": "127.0.0.1:0"}]`, ""}, // replaced, without its toxics
	{"GET", "/proxies", "", ""},
	{"DELETE", "/proxies/q", "", ""},
	{"DELETE", "/proxies/off", "", ""},
	{"DELETE", "/proxies/off", "", ""},
	{"POST", "/proxies/s/toxics", `{"type": "noop"}`, ""},
	{"PATCH", "/proxies/s", `{"enabled": false}`, ""},
}

// Every answer is the one that Toxiproxy's own server gives to the same request at the same time, but for what is refused
// for a reason.
func TestAnswersAreToxiproxys(t *testing.T) {
	theirs := shopify.NewServer(shopify.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	t.Cleanup(func() { assert.NoError(t, theirs.Collection.Clear()) })
	shopify.Version = "2.12.0"
	ours := toxiproxy.New(toxiproxy.Config{Version: shopify.Version})
	t.Cleanup(func() { assert.NoError(t, ours.Close()) })
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { taken.Close() })
	fill := strings.NewReplacer("UP", "127.0.0.1:1", "TAKEN", taken.Addr().String())
	equal := 0
	for _, r := range requests {
		r.body = fill.Replace(r.body)
		is := ask(t, ours, r)
		if r.differs != "" {
			assert.Contains(t, is.body, r.differs, "%v", r)
			assert.Regexp(t, "^4", is.status, "%v", r)
			continue
		}
		assert.Equal(t, ask(t, theirs.Routes(), r), is, "%v", r)
		equal++
	}
	assert.Greater(t, equal, 90)
}

// A connection to a proxy whose upstream cannot be reached is closed, as Toxiproxy does, and not reset: a client that has just
// connected would otherwise report that it could not.
func TestUnreachedUpstream(t *testing.T) {
	theirs := shopify.NewServer(shopify.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	t.Cleanup(func() { assert.NoError(t, theirs.Collection.Clear()) })
	ours := toxiproxy.New(toxiproxy.Config{})
	t.Cleanup(func() { assert.NoError(t, ours.Close()) })
	for _, server := range []http.Handler{theirs.Routes(), ours} {
		w := httptest.NewRecorder()
		server.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1/proxies", strings.NewReader(`{"name": "a", "upstream": "127.0.0.1:1", "listen": "127.0.0.1:0"}`)))
		var p toxiproxy.Proxy
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &p))
		for range 50 {
			conn, err := net.Dial("tcp", p.Listen)
			require.NoError(t, err)
			_, err = conn.Read(make([]byte, 1))
			require.ErrorIs(t, err, io.EOF)
			require.NoError(t, conn.Close())
		}
	}
}

// reply is what is compared of an answer.
type reply struct{ status, contentType, requestID, body string }

var (
	// Some proxies listen on ports that the system chose.
	chosenPort = regexp.MustCompile(`("listen":"127\.0\.0\.1):\d+"`)
	// Go's decoder names the type and the field that it could not fill, which are no part of the API.
	goField = regexp.MustCompile(`(json: cannot unmarshal \w+)( [\d.]+)? into Go .*?"`)
)

// ask sends a request to a server.
func ask(t *testing.T, server http.Handler, r request) reply {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), r.method, "http://127.0.0.1"+r.path, strings.NewReader(r.body))
	w := httptest.NewRecorder()
	server.ServeHTTP(w, req)
	text, err := io.ReadAll(w.Result().Body)
	require.NoError(t, err)
	got := reply{status: w.Result().Status, contentType: w.Header().Get("Content-Type"), body: string(text)}
	if w.Code == http.StatusNotFound && !json.Valid(text) || w.Code == http.StatusMethodNotAllowed {
		got.body, got.contentType = "", "" // by the router, whose text is no part of the API
		return got
	}
	got.requestID = fmt.Sprint(len(w.Header().Get("X-Toxiproxy-Request-Id")) >= 20)
	if w.Code >= http.StatusBadRequest {
		got.contentType = "" // Toxiproxy says that errors are plain text
	}
	var value any
	if json.Unmarshal(text, &value) == nil && r.path != "/version" {
		text, err = json.Marshal(value)
		require.NoError(t, err)
		text = bytes.ReplaceAll(text, []byte(`"Logger":{},`), nil) // a field of Toxiproxy's own that its API shows by accident
		got.body = goField.ReplaceAllString(chosenPort.ReplaceAllString(string(text), `$1:PORT"`), `$1"`)
	}
	return got
}

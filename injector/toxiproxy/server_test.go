package toxiproxy_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	client "github.com/Shopify/toxiproxy/v2/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/toxiproxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start starts a server and returns a client of Toxiproxy for it.
func start(t *testing.T, cfg toxiproxy.Config) (*client.Client, *httptest.Server) {
	t.Helper()
	cfg.Version = "2.12.0"
	s := toxiproxy.New(cfg)
	server := httptest.NewServer(s)
	t.Cleanup(func() {
		server.Close()
		http.DefaultClient.CloseIdleConnections()
		assert.NoError(t, s.Close())
	})
	return client.NewClient(server.URL), server
}

// echo answers each line with the same line, until the test ends.
func echo(t *testing.T) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
	return ln.Addr().String()
}

// say sends a line over a connection of its own, and returns the answer and how long it took.
func say(addr string) (answer string, took time.Duration, err error) {
	began := time.Now()
	conn, err := net.DialTimeout("tcp", addr, time.Minute)
	if err != nil {
		return "", 0, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprintln(conn, "hello")
	answer, err = bufio.NewReader(conn).ReadString('\n')
	return answer, time.Since(began), err
}

// What the Go client of Toxiproxy can ask for, with the effect of each.
func TestGoClient(t *testing.T) {
	c, _ := start(t, toxiproxy.Config{})
	version, err := c.Version()
	require.NoError(t, err)
	assert.JSONEq(t, `{"version": "2.12.0"}`, string(version))

	upstream := echo(t)
	p, err := c.CreateProxy("echo", "127.0.0.1:0", upstream)
	require.NoError(t, err)
	assert.True(t, p.Enabled)
	assert.NotEqual(t, "127.0.0.1:0", p.Listen)
	_, err = c.CreateProxy("echo", "127.0.0.1:0", upstream)
	require.ErrorContains(t, err, "proxy already exists")
	answer, _, err := say(p.Listen)
	require.NoError(t, err)
	assert.Equal(t, "hello\n", answer)

	t.Run("latency", func(t *testing.T) {
		added, err := p.AddToxic("", "latency", "upstream", 1, client.Attributes{"latency": 150})
		require.NoError(t, err)
		assert.Equal(t, "latency_upstream", added.Name)
		assert.Equal(t, client.Attributes{"latency": 150., "jitter": 0.}, added.Attributes)
		_, took, err := say(p.Listen)
		require.NoError(t, err)
		assert.GreaterOrEqual(t, took, 150*time.Millisecond)

		_, err = p.AddToxic("", "latency", "upstream", 1, client.Attributes{"latency": 150})
		require.ErrorContains(t, err, "toxic already exists")
		_, err = p.AddToxic("reset", "reset_peer", "downstream", 0, client.Attributes{})
		require.NoError(t, err)
		toxics, err := p.Toxics()
		require.NoError(t, err)
		require.Len(t, toxics, 2)
		assert.Equal(t, []string{"upstream", "downstream"}, []string{toxics[0].Stream, toxics[1].Stream})
		_, _, err = say(p.Listen)
		require.NoError(t, err, "a toxicity of 0 acts on nothing")

		updated, err := p.UpdateToxic("latency_upstream", -1, client.Attributes{"latency": 0})
		require.NoError(t, err)
		assert.Equal(t, client.Attributes{"latency": 0., "jitter": 0.}, updated.Attributes)
		assert.InDelta(t, 1, updated.Toxicity, 0, "it stays as it was")
		require.NoError(t, p.RemoveToxic("latency_upstream"))
		require.ErrorContains(t, p.RemoveToxic("latency_upstream"), "toxic not found")
	})
	t.Run("reset", func(t *testing.T) {
		_, err := p.UpdateToxic("reset", 1, client.Attributes{"timeout": 0})
		require.NoError(t, err)
		_, _, err = say(p.Listen)
		require.Error(t, err)
		require.NoError(t, p.RemoveToxic("reset"))
		_, _, err = say(p.Listen)
		require.NoError(t, err)
	})
	t.Run("disabled", func(t *testing.T) {
		_, err := p.AddToxic("cut", "limit_data", "downstream", 1, client.Attributes{"bytes": 2})
		require.NoError(t, err)
		listen := p.Listen
		require.NoError(t, p.Disable())
		_, _, err = say(listen)
		require.Error(t, err)
		require.NoError(t, p.Enable())
		assert.Equal(t, listen, p.Listen)
		answer, _, err := say(listen)
		require.Error(t, err)
		assert.Equal(t, "he", answer, "toxics stay")
		require.NoError(t, c.ResetState())
		answer, _, err = say(listen)
		require.NoError(t, err)
		assert.Equal(t, "hello\n", answer)
	})
	t.Run("another upstream", func(t *testing.T) {
		p.Upstream = echo(t)
		listen := p.Listen
		require.NoError(t, p.Save())
		again, err := c.Proxy("echo")
		require.NoError(t, err)
		assert.Equal(t, []string{p.Upstream, listen}, []string{again.Upstream, again.Listen})
		_, _, err = say(listen)
		require.NoError(t, err)
	})
	t.Run("populate", func(t *testing.T) {
		before, err := c.Proxy("echo")
		require.NoError(t, err)
		all, err := c.Populate([]client.Proxy{{Name: "echo", Listen: before.Listen, Upstream: before.Upstream, Enabled: true}, {Name: "second", Listen: "127.0.0.1:0", Upstream: upstream, Enabled: true}})
		require.NoError(t, err)
		require.Len(t, all, 2)
		proxies, err := c.Proxies()
		require.NoError(t, err)
		assert.Len(t, proxies, 2)
		_, _, err = say(proxies["second"].Listen)
		require.NoError(t, err)
		_, err = c.Populate([]client.Proxy{{Name: "third", Listen: "127.0.0.1:0", Upstream: upstream}, {Name: "fourth"}})
		require.ErrorContains(t, err, "missing required field: upstream at proxy 2")
		proxies, err = c.Proxies()
		require.NoError(t, err)
		assert.Len(t, proxies, 2, "nothing is created of a list with a mistake")
	})
	t.Run("delete", func(t *testing.T) {
		require.NoError(t, p.Delete())
		_, err := c.Proxy("echo")
		var e *client.ApiError
		require.ErrorAs(t, err, &e)
		assert.Equal(t, http.StatusNotFound, e.Status)
		assert.Equal(t, "proxy not found", e.Message)
		_, _, err = say(p.Listen)
		require.Error(t, err)
	})
}

// Each toxic of Toxiproxy is accepted with its attributes, and what is wrong is refused in Toxiproxy's words.
func TestToxics(t *testing.T) {
	c, _ := start(t, toxiproxy.Config{})
	p, err := c.CreateProxy("echo", "", echo(t))
	require.NoError(t, err)
	for kind, given := range map[string]client.Attributes{
		"latency": {"latency": 5, "jitter": 1}, "bandwidth": {"rate": 100}, "slow_close": {"delay": 5}, "timeout": {"timeout": 5}, "reset_peer": {"timeout": 5},
		"slicer": {"average_size": 8, "size_variation": 2, "delay": 5}, "limit_data": {"bytes": 100}, "noop": {},
	} {
		for _, stream := range []string{"upstream", "downstream"} {
			added, err := p.AddToxic("", kind, stream, 0.5, given)
			require.NoError(t, err, kind)
			assert.Len(t, added.Attributes, len(given), kind)
			require.NoError(t, p.RemoveToxic(added.Name))
		}
	}
	for _, wrong := range []struct {
		kind, stream string
		toxicity     float32
		attributes   client.Attributes
		says         string
	}{
		{"flood", "upstream", 1, nil, "invalid toxic type"},
		{"fault", "upstream", 1, client.Attributes{"sentence": "x"}, "invalid toxic type"},
		{"latency", "sideways", 1, client.Attributes{"latency": 1}, "stream was invalid"},
		{"latency", "upstream", 1, client.Attributes{"latency": 0.5}, "bad request body: json: cannot unmarshal number 0.5 into"},
		{"bandwidth", "upstream", 1, client.Attributes{"rate": 0}, "rate is 0: it must be between"},
	} {
		_, err := p.AddToxic("", wrong.kind, wrong.stream, wrong.toxicity, wrong.attributes)
		require.ErrorContains(t, err, wrong.says, "%+v", wrong)
	}
	toxics, err := p.Toxics()
	require.NoError(t, err)
	assert.Empty(t, toxics)
}

// A proxy with a protocol has faults on calls.
func TestFaultsOnCalls(t *testing.T) {
	read := make(chan string, 2)
	c, api := start(t, toxiproxy.Config{Fault: func(proxy, protocol, sentence string) (injector.Fault, error) {
		read <- fmt.Sprintf("%s over %s: %s", proxy, protocol, sentence)
		if sentence != "replies are lost" {
			return nil, errors.New("this sentence is not known")
		}
		return injector.LoseReplies{Pick: injector.Pick{First: 1}}, nil
	}})
	var served atomic.Int64
	shop := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served.Add(1) }))
	defer shop.Close()
	post := func(path, body string) (int, string) {
		resp, err := http.Post(api.URL+path, "application/json", strings.NewReader(body))
		require.NoError(t, err)
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, string(text)
	}
	status, text := post("/proxies", fmt.Sprintf(`{"name": "shop", "upstream": %q, "protocol": "http"}`, shop.Listener.Addr()))
	require.Equal(t, http.StatusCreated, status, text)
	var p struct{ Listen, Protocol string }
	require.NoError(t, json.Unmarshal([]byte(text), &p))
	assert.Equal(t, "http", p.Protocol)

	status, text = post("/proxies/shop/toxics", `{"type": "fault", "attributes": {"sentence": "replies get lost"}}`)
	assert.Equal(t, http.StatusBadRequest, status)
	assert.Contains(t, text, "this sentence is not known")
	status, text = post("/proxies/shop/toxics", `{"type": "fault", "attributes": {"sentence": "replies are lost"}}`)
	require.Equal(t, http.StatusOK, status, text)
	assert.Equal(t, "shop over http: replies get lost", <-read)
	assert.Equal(t, "shop over http: replies are lost", <-read)

	plain := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	_, err := plain.Get("http://" + p.Listen)
	require.Error(t, err)
	assert.Equal(t, int64(1), served.Load(), "the reply was lost, and not the request")
	resp, err := plain.Get("http://" + p.Listen)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.NoError(t, c.ResetState())

	status, text = post("/proxies", `{"name": "other", "upstream": "127.0.0.1:1", "protocol": "dns"}`)
	assert.Equal(t, http.StatusBadRequest, status)
	assert.Contains(t, text, "is not one of tcp, ")
}

func TestOnlyThisMachine(t *testing.T) {
	c, api := start(t, toxiproxy.Config{})
	for _, listen := range []string{"0.0.0.0:0", "192.0.2.1:80", "[::]:0"} {
		_, err := c.CreateProxy("open", listen, "127.0.0.1:1")
		require.ErrorContains(t, err, "is not an address of this machine only")
	}
	p, err := c.CreateProxy("no host", ":0", "127.0.0.1:1")
	require.NoError(t, err)
	assert.True(t, strings.HasPrefix(p.Listen, "127.0.0.1:"), p.Listen)

	for name, change := range map[string]func(*http.Request){
		"a name that leads here": func(r *http.Request) { r.Host = "rebound.example" },
		"a page of another site": func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") },
		"a browser":              func(r *http.Request) { r.Header.Set("User-Agent", "Mozilla/5.0") },
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, api.URL+"/reset", nil)
		require.NoError(t, err)
		change(req)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		assert.Equal(t, http.StatusForbidden, resp.StatusCode, name)
	}
	resp, err := http.Post(api.URL+"/proxies", "application/json", strings.NewReader(`{"name": "`+strings.Repeat("x", 2<<20)+`"}`))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, http.StatusBadRequest, resp.StatusCode, "a body without a limit would fill the memory")
}

// A port that is taken, and configuration files.
func TestProxiesThatCannotListen(t *testing.T) {
	taken := echo(t)
	s := toxiproxy.New(toxiproxy.Config{})
	defer s.Close()
	require.NoError(t, s.Populate(strings.NewReader(`[{"name": "a", "upstream": "127.0.0.1:1"}, {"name": "off", "upstream": "127.0.0.1:1", "listen": "`+taken+`", "enabled": false}]`)))
	require.ErrorContains(t, s.Populate(strings.NewReader(`[{"name": "b", "upstream": "127.0.0.1:1", "listen": "`+taken+`"}]`)), "address already in use")
	require.ErrorContains(t, s.Populate(strings.NewReader(`{}`)), "bad request body")
	require.NoError(t, s.Close())
	require.ErrorContains(t, s.Populate(strings.NewReader(`[{"name": "c", "upstream": "127.0.0.1:1"}]`)), "has been closed")
	is := ask(t, s, request{method: "PATCH", path: "/proxies/off", body: `{"listen": "127.0.0.1:0", "enabled": true}`})
	assert.Equal(t, "404 Not Found", is.status, "nothing listens again")
}

// A fault that was injected by hand is a toxic that clients see. It ends by its own heal, and by whatever removes toxics.
func TestInject(t *testing.T) {
	s := toxiproxy.New(toxiproxy.Config{Version: "2.12.0"})
	defer s.Close()
	server := httptest.NewServer(s)
	defer server.Close()
	defer http.DefaultClient.CloseIdleConnections()
	c := client.NewClient(server.URL)
	upstream := echo(t)
	p, err := c.CreateProxy("echo", "127.0.0.1:0", upstream)
	require.NoError(t, err)
	count := evidence.NewCounter("connections")
	inject := func() (<-chan struct{}, func() error) {
		t.Helper()
		removed, heal, err := s.Inject("echo", "hand-1", "a sentence", injector.Refuse{}, count)
		require.NoError(t, err)
		_, _, err = say(p.Listen)
		require.Error(t, err, "it acts")
		return removed, heal
	}
	for name, end := range map[string]func(heal func() error) error{
		"healed":  func(heal func() error) error { return heal() },
		"deleted": func(func() error) error { return p.RemoveToxic("hand-1") },
		"reset":   func(func() error) error { return c.ResetState() },
		"proxy replaced": func(func() error) error {
			_, err := c.Populate([]client.Proxy{{Name: "echo", Listen: p.Listen, Upstream: strings.Replace(upstream, "127.0.0.1", "localhost", 1), Enabled: true}})
			return err
		},
	} {
		removed, heal := inject()
		toxics, err := p.Toxics()
		require.NoError(t, err)
		require.Len(t, toxics, 1, name)
		assert.Equal(t, client.Attributes{"sentence": "a sentence"}, toxics[0].Attributes, name)
		_, _, err = s.Inject("echo", "hand-1", "a sentence", injector.Refuse{}, nil)
		require.ErrorContains(t, err, "already", name)
		require.NoError(t, end(heal), name)
		<-removed
		_, _, err = say(p.Listen)
		require.NoError(t, err, "%s: it acts no more", name)
		require.NoError(t, heal(), "%s: healing it again does nothing", name)
	}
	assert.Positive(t, count.Tally().Affected)
	require.NoError(t, p.Disable())
	_, _, err = s.Inject("echo", "hand-2", "a sentence", injector.Refuse{}, nil)
	require.ErrorContains(t, err, "is disabled")
	_, _, err = s.Inject("gone", "hand-2", "a sentence", injector.Refuse{}, nil)
	require.ErrorContains(t, err, `no proxy "gone"`)
}

package services

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestLinkProxyDialsLinks checks that requests for a member go to the link to it, and that nothing else is dialled.
func TestLinkProxyDialsLinks(t *testing.T) {
	nodes := map[int]string{}
	for n := 2; n <= 3; n++ {
		link := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%d %s", n, r.Host) }))
		defer link.Close()
		nodes[n] = link.Listener.Addr().String()
	}
	proxy := httptest.NewServer(linkProxy(nodes))
	defer proxy.Close()
	at, err := url.Parse(proxy.URL)
	require.NoError(t, err)
	client := http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(at), DisableKeepAlives: true}}
	for host, want := range map[string]string{memberHost(2): "200 2 192.0.2.2:2380", memberHost(3): "200 3 192.0.2.3:2380", memberHost(1): "502 ", "127.0.0.1:1": "502 "} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+host+"/raft", nil)
		require.NoError(t, err)
		resp, err := client.Do(req)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, want, fmt.Sprintf("%d %s", resp.StatusCode, body))
	}
}

// fakeCluster serves the JSON gateways of three members. It returns their addresses, and the paths and bodies that member
// n was sent at sent[n].
func fakeCluster(t *testing.T, answer func(n int, path string) (status int, body string)) (nodes map[int]string, sent map[int][]string) {
	t.Helper()
	nodes, sent = map[int]string{}, map[int][]string{}
	for n := 1; n <= clusterSize; n++ {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			sent[n] = append(sent[n], r.URL.Path+" "+string(body))
			status, text := answer(n, r.URL.Path)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, text)
		}))
		t.Cleanup(server.Close)
		nodes[n] = server.Listener.Addr().String()
	}
	return nodes, sent
}

func ask(t *testing.T, s service, method, path, body string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	req := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	req.Header.Set("Idempotency-Key", "k")
	s.ServeHTTP(w, req)
	return w.Code, w.Body.String()
}

// TestRegisterSendsOnce checks that no request is sent twice, and that a member that failed is left alone unless failover
// is switched off.
func TestRegisterSendsOnce(t *testing.T) {
	answer := func(n int, _ string) (int, string) {
		if n == 1 {
			return http.StatusServiceUnavailable, "etcdserver: no leader"
		}
		return http.StatusOK, "{}"
	}
	for _, c := range []struct {
		without          []string
		acknowledged, to int // of 9 writes; requests to member 1
	}{{nil, 8, 1}, {[]string{"failover"}, 0, 9}} {
		nodes, sent := fakeCluster(t, answer)
		s, err := newRegister(t.Context(), config{nodes: nodes, without: c.without})
		require.NoError(t, err)
		acknowledged := 0
		for i := range 9 {
			switch status, body := ask(t, s, http.MethodPut, "/register", fmt.Sprint(i)); status {
			case http.StatusOK:
				acknowledged++
			default:
				assert.Contains(t, body, "etcd-1: 503 Service Unavailable: etcdserver: no leader")
			}
		}
		assert.Equal(t, c.acknowledged, acknowledged)
		assert.Len(t, sent[1], c.to)
		assert.Equal(t, 9, len(sent[1])+len(sent[2])+len(sent[3]))
		assert.Equal(t, `/v3/kv/txn {"success":[{"requestPut":{"key":"cmVnaXN0ZXI=","value":"MA=="}},{"requestPut":{"key":"YXBwbGllZC9r","value":"MQ=="}}]}`, firstSent(sent, "MA=="))
	}
	_, err := newRegister(t.Context(), config{nodes: map[int]string{1: "a:1", 3: "c:1"}})
	require.EqualError(t, err, "member 2 has no address: pass --node 2=host:port")
}

// firstSent returns the request that contains a text.
func firstSent(sent map[int][]string, text string) string {
	for _, all := range sent {
		for _, one := range all {
			if strings.Contains(one, text) {
				return one
			}
		}
	}
	return ""
}

// TestRegisterReads checks what is asked of whom, and that each write of a key is an effect of its own.
func TestRegisterReads(t *testing.T) {
	nodes, sent := fakeCluster(t, func(int, string) (int, string) {
		return http.StatusOK, `{"kvs": [{"key": "YXBwbGllZC9r", "value": "eyJ2YWx1ZSI6N30=", "version": "2"}]}`
	})
	for _, without := range [][]string{nil, {"linearizable reads"}} {
		s, err := newRegister(t.Context(), config{nodes: nodes, without: without})
		require.NoError(t, err)
		clear(sent)
		status, body := ask(t, s, http.MethodGet, "/register", "")
		assert.Equal(t, `200 {"value":7}`, fmt.Sprint(status, " ", body))
		assert.Contains(t, firstSent(sent, "range"), fmt.Sprintf(`"serializable":%t`, without != nil))
	}
	s, err := newRegister(t.Context(), config{nodes: nodes})
	require.NoError(t, err)
	clear(sent)
	_, body := ask(t, s, http.MethodGet, "/members/3", "")
	var all []effect
	require.NoError(t, json.Unmarshal([]byte(body), &all))
	assert.Equal(t, []effect{{"k", "1"}, {"k", "2"}}, all)
	require.Len(t, sent[3], 1, "member 3 is asked for what it knows")
	assert.Contains(t, sent[3][0], `"serializable":true`)
}

// TestLead checks that the present leader is asked to make another member the leader.
func TestLead(t *testing.T) {
	nodes, sent := fakeCluster(t, func(n int, path string) (int, string) {
		if path == "/v3/maintenance/status" {
			return http.StatusOK, fmt.Sprintf(`{"header": {"member_id": "90%d"}, "leader": "902"}`, n)
		}
		return http.StatusOK, "{}"
	})
	r := &register{nodes: nodes}
	require.NoError(t, r.lead(context.Background(), 2))
	assert.Empty(t, firstSent(sent, "transfer"), "it leads already")
	require.NoError(t, r.lead(context.Background(), 1))
	assert.Equal(t, `/v3/maintenance/transfer-leadership {"targetID":"901"}`, firstSent(map[int][]string{2: sent[2]}, "transfer"))
	require.EqualError(t, r.lead(context.Background(), 4), "there is no member 4")
}

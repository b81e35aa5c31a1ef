package http1

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// bothVersions returns clients of HTTP/1.1 and HTTP/2, which do not change bodies.
func bothVersions(t *testing.T) map[string]*http.Client {
	h1 := &http.Transport{DisableCompression: true}
	t.Cleanup(h1.CloseIdleConnections)
	h2 := relaytest.HTTP2Client(t)
	h2.Transport.(*http.Transport).DisableCompression = true
	return map[string]*http.Client{"h1": {Transport: h1}, "h2": h2}
}

// serveHeaders starts a server that answers with what it got of some headers.
func serveHeaders(t *testing.T) (addr string) {
	return relaytest.ServeOn(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header()["X-Old"] = []string{"1", "2"}
		_, _ = fmt.Fprintf(w, "%q %q %q", r.Header["Authorization"], r.Header["X-Tenant"], body)
	}))
}

func TestHeadersOfRequestsAreChanged(t *testing.T) {
	for version, client := range bothVersions(t) {
		t.Run(version, func(t *testing.T) {
			f := relaytest.OpenLink(t, serveHeaders(t), message.Config{})
			send := func(header http.Header) string {
				req, err := http.NewRequest(http.MethodPost, "http://"+f.Addr+"/a", strings.NewReader(strings.Repeat("x", 3)))
				require.NoError(t, err)
				req.Header = header
				res, err := client.Do(req)
				require.NoError(t, err)
				defer res.Body.Close()
				got, err := io.ReadAll(res.Body)
				require.NoError(t, err)
				return string(got)
			}
			all := func() http.Header {
				return http.Header{"Authorization": {"Bearer a"}, "X-Tenant": {"old", "older"}}
			}
			require.Equal(t, `["Bearer a"] ["old" "older"] "xxx"`, send(all()))
			count, heal := f.AddRule(t, message.Rule{Action: message.EditRequest, Headers: []string{"authorization", "X-Tenant: acme"}})
			assert.Equal(t, `[] ["acme"] "xxx"`, send(all()))
			assert.Equal(t, `[] ["acme"] "xxx"`, send(nil))
			assert.Equal(t, `[] ["acme"] "xxx"`, send(http.Header{"X-Tenant": {"acme"}}), "nothing to change")
			assert.Equal(t, evidence.Tally{Unit: "calls", Seen: 3, Affected: 2}, relaytest.PlainTally(count))
			assert.Equal(t, map[string]int64{"nothing to change: authorization, X-Tenant": 1}, count.Tally().Skipped)
			heal()
			assert.Equal(t, `["Bearer a"] ["old" "older"] "xxx"`, send(all()))
			require.Len(t, f.Recorded(evidence.Applied), 2)
			assert.Equal(t, "changed header authorization, X-Tenant", f.Recorded(evidence.Applied)[0].Detail, "values may be secret")
			assert.True(t, f.Recorded(evidence.Applied)[0].ToServer)
		})
	}
}

// A request that other rules delay, or that waits for 100 Continue, loses its header, too.
func TestHeadersOfOtherRequestsAreChanged(t *testing.T) {
	f := relaytest.OpenLink(t, serveHeaders(t), message.Config{})
	f.AddRule(t, message.Rule{ID: "fault-2", Action: message.Delay, By: time.Millisecond})
	f.AddRule(t, message.Rule{Action: message.EditRequest, Headers: []string{"Authorization"}})
	p := relaytest.Connect(t, f.Addr)
	p.Send("POST /a HTTP/1.1\r\nHost: x\r\nAuthorization: a\r\n  folded\r\nX-Tenant: t\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n", false)
	p.Expect("HTTP/1.1 100 Continue\r\n\r\n")
	p.Send("ok", false)
	assert.Contains(t, p.ReadReply(), `[] ["t"] "ok"`)
	p.Send(relaytest.HTTPRequest("GET", "/a", "Authorization: b\r\n")+relaytest.HTTPRequest("GET", "/a"), false)
	assert.Contains(t, p.ReadReply(), `[] [] ""`)
	assert.Contains(t, p.ReadReply(), `[] [] ""`)
}

func TestHeadersOfRepliesAreChanged(t *testing.T) {
	for version, client := range bothVersions(t) {
		t.Run(version, func(t *testing.T) {
			f := relaytest.OpenLink(t, serveHeaders(t), message.Config{})
			get := func() http.Header {
				res, err := client.Get("http://" + f.Addr + "/a")
				require.NoError(t, err)
				defer res.Body.Close()
				got, err := io.ReadAll(res.Body)
				require.NoError(t, err)
				assert.Equal(t, `[] [] ""`, string(got))
				return res.Header
			}
			before := get()
			require.Contains(t, before, "Content-Type")
			count, heal := f.AddRule(t, message.Rule{Action: message.EditReply, Headers: []string{"content-type", "X-Old: 3", "X-New: 4"}})
			for range 2 {
				got := get()
				assert.NotContains(t, got, "Content-Type")
				assert.Equal(t, []string{"3"}, got["X-Old"])
				assert.Equal(t, []string{"4"}, got["X-New"])
				assert.Equal(t, before["Content-Length"], got["Content-Length"])
			}
			assert.EqualValues(t, 2, count.Tally().Affected)
			heal()
			after := get()
			after["Date"] = before["Date"]
			assert.Equal(t, before, after)
			assert.False(t, f.Recorded(evidence.Applied)[0].ToServer)
		})
	}
}

// Framing of every kind stays valid around a body that is replaced, and the connection remains usable.
func TestBodiesOfRepliesAreReplaced(t *testing.T) {
	s := relaytest.ServeOn(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "br")
		switch r.URL.Path {
		case "/none":
			w.WriteHeader(http.StatusNoContent)
			return
		case "/chunked":
			w.Header().Set("Trailer", "X-T")
			w.(http.Flusher).Flush()
		}
		_, _ = io.WriteString(w, "compressed")
		w.Header().Set("X-T", "t")
	}))
	for version, client := range bothVersions(t) {
		for _, body := range []string{"", "short", strings.Repeat("long", 50<<10)} {
			t.Run(fmt.Sprint(version, " ", len(body)), func(t *testing.T) {
				f := relaytest.OpenLink(t, s, message.Config{})
				ask := func(method, path string) (*http.Response, string) {
					req, err := http.NewRequest(method, "http://"+f.Addr+path, nil)
					require.NoError(t, err)
					res, err := client.Do(req)
					require.NoError(t, err)
					defer res.Body.Close()
					got, err := io.ReadAll(res.Body)
					require.NoError(t, err)
					return res, string(got)
				}
				count, heal := f.AddRule(t, message.Rule{Action: message.ReplaceReply, Body: body})
				res, got := ask("GET", "/sized")
				assert.Equal(t, body, got)
				assert.EqualValues(t, len(body), res.ContentLength)
				assert.NotContains(t, res.Header, "Content-Encoding")
				res, got = ask("GET", "/chunked")
				assert.Equal(t, body, got)
				assert.NotContains(t, res.Header, "Content-Encoding")
				assert.Equal(t, "t", res.Trailer.Get("X-T"))
				res, _ = ask("HEAD", "/sized")
				assert.Equal(t, "br", res.Header.Get("Content-Encoding"))
				res, _ = ask("GET", "/none")
				assert.Equal(t, 204, res.StatusCode)
				assert.Equal(t, evidence.Tally{Unit: "calls", Seen: 4, Affected: 2}, relaytest.PlainTally(count))
				assert.Equal(t, map[string]int64{message.NoPayload: 2}, count.Tally().Skipped)
				heal()
				_, got = ask("GET", "/sized")
				assert.Equal(t, "compressed", got)
			})
		}
	}
}

func TestAnswerWithHeadersAndBody(t *testing.T) {
	for version, client := range bothVersions(t) {
		t.Run(version, func(t *testing.T) {
			s := relaytest.StartShop(t)
			f := relaytest.OpenLink(t, s.Addr, message.Config{})
			f.AddRule(t, message.Rule{Action: message.Answer, Status: 422, Headers: []string{"Content-Type: application/json", "X-Reason: maintenance"}, Body: `{"reason": 1}`})
			res, err := client.Get("http://" + f.Addr + "/a")
			require.NoError(t, err)
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			assert.Equal(t, []any{422, "application/json", "maintenance", int64(13), `{"reason": 1}`}, []any{res.StatusCode, res.Header.Get("Content-Type"), res.Header.Get("X-Reason"), res.ContentLength, string(body)})
			assert.Zero(t, s.Done.Load())
		})
	}
	r, err := message.New(HTTP(), message.Config{})
	require.NoError(t, err)
	_, err = r.Add(message.Rule{Action: message.Answer, Status: 204, Body: "x"})
	require.ErrorContains(t, err, "status 204: an answer with it has no body")
}

// What is beyond the quota is answered without the dependency, and only that. The next second has a quota of its own.
func TestQuota(t *testing.T) {
	for version, client := range bothVersions(t) {
		t.Run(version, func(t *testing.T) {
			s := relaytest.StartShop(t)
			f := relaytest.OpenLink(t, s.Addr, message.Config{})
			began := time.Now()
			count, heal := f.AddRule(t, message.Rule{Action: message.Answer, Quota: 3, Status: 429})
			statuses := map[int]int64{}
			ask := func() *http.Response {
				res, err := client.Get("http://" + f.Addr + "/a")
				require.NoError(t, err)
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
				statuses[res.StatusCode]++
				return res
			}
			for range 3 {
				require.Equal(t, 200, ask().StatusCode)
			}
			relaytest.WaitUntil(t, "the quota is exceeded", func() bool {
				res := ask()
				return res.StatusCode == http.StatusTooManyRequests && res.Header.Get("RateLimit-Policy") == `"default";q=3;w=1` && res.Header.Get("RateLimit") == `"default";r=0;t=1`
			})
			relaytest.WaitUntil(t, "the next second begins", func() bool { return ask().StatusCode == http.StatusOK })
			assert.LessOrEqual(t, statuses[200], 3*int64(time.Since(began)/time.Second+1))
			assert.Equal(t, statuses[200], s.Done.Load())
			assert.Equal(t, evidence.Tally{Unit: "calls", Seen: statuses[200] + statuses[429], Affected: statuses[429]}, relaytest.PlainTally(count))
			heal()
			for range 10 {
				assert.Equal(t, 200, ask().StatusCode)
			}
		})
	}
}

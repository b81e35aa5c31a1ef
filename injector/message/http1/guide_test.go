package http1

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// Addresses in the body of an answer are reported before the client has all of it, however the body is framed and encoded,
// also while a fault acts on it. The body is not changed.
func TestAddressesInBodiesAreReported(t *testing.T) {
	t.Parallel()
	const list = `{"members":[{"clientURLs":["http://127.0.0.1:2379"]}]}`
	padding := strings.Repeat(" ", message.MaxBuffered)
	s := relaytest.ServeOn(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, q := list, r.URL.Query()
		if q.Has("large") {
			text += padding
		}
		var body bytes.Buffer
		switch coding := q.Get("coding"); coding {
		case "gzip":
			w.Header().Set("Content-Encoding", coding)
			z := gzip.NewWriter(&body)
			_, _ = io.WriteString(z, text)
			_ = z.Close()
		case "deflate":
			w.Header().Set("Content-Encoding", coding)
			z := zlib.NewWriter(&body)
			_, _ = io.WriteString(z, text)
			_ = z.Close()
		default:
			w.Header().Set("Content-Encoding", coding)
			body.WriteString(text)
		}
		if !q.Has("chunked") {
			w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
		}
		w.WriteHeader(200 + 300*len(q["fails"]))
		half := body.Len() / 2
		_, _ = w.Write(body.Next(half))
		w.(http.Flusher).Flush()
		_, _ = w.Write(body.Bytes())
	}))
	h1 := &http.Transport{DisableCompression: true}
	t.Cleanup(h1.CloseIdleConnections)
	const member = "/v3/cluster/member/list"
	tooLarge := message.TooLarge(message.MaxBuffered)
	for path, want := range map[string][2]string{ // the address and why it could not be read
		member:                           {"127.0.0.1:2379", ""},
		member + "?chunked":              {"127.0.0.1:2379", ""},
		member + "?coding=gzip":          {"127.0.0.1:2379", ""},
		member + "?coding=gzip&chunked":  {"127.0.0.1:2379", ""},
		member + "?coding=deflate":       {"127.0.0.1:2379", ""},
		member + "?coding=br":            {"", `its encoding is "br"`},
		member + "?large":                {"", tooLarge},
		member + "?large&chunked":        {"", tooLarge},
		member + "?large&coding=gzip":    {"", tooLarge},
		member + "?fails":                {},
		"/v3/kv/range":                   {},
		"/v3/kv/range?large&coding=gzip": {},
	} {
		for protocol, client := range map[string]*http.Client{"h1": {Transport: h1}, "h2": relaytest.HTTP2Client(t)} {
			for name, rule := range map[string]message.Rule{"no fault": {}, "late": {Action: message.DelayReply, By: 1}, "cut": {Action: message.CutReply, Events: 1 << 40}} {
				t.Run(protocol+path+" "+name, func(t *testing.T) {
					var told [][2]string
					f := relaytest.OpenLink(t, s, message.Config{Told: func(text []byte, unread string) { told = append(told, [2]string{string(text), unread}) }})
					if rule.Action != "" {
						f.AddRule(t, rule)
					}
					get := func(addr string) string {
						req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+path, nil)
						require.NoError(t, err)
						req.Header.Set("Accept-Encoding", "gzip")
						res, err := client.Do(req)
						require.NoError(t, err)
						defer res.Body.Close()
						body, err := io.ReadAll(res.Body)
						require.NoError(t, err)
						return string(body)
					}
					direct, linked := get(s), get(f.Addr)
					if want == ([2]string{}) {
						assert.Empty(t, told)
					} else {
						assert.Equal(t, [][2]string{want}, told)
					}
					assert.True(t, direct == linked, "the body is unchanged")
				})
			}
		}
	}
}

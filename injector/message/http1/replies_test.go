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

// Answers arrive late, damaged or truncated, with valid framing, in HTTP/1.1 and HTTP/2; the work was done, and
// the connection remains usable.
func TestFaultsOnReplies(t *testing.T) {
	text := `{"price": 100, "currency": "EUR"}`
	s := relaytest.ServeOn(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/chunked" {
			w.(http.Flusher).Flush()
		} else {
			w.Header().Set("Content-Length", fmt.Sprint(len(text)))
		}
		_, _ = io.WriteString(w, text)
	}))
	h1 := &http.Transport{DisableCompression: true}
	t.Cleanup(h1.CloseIdleConnections)
	for protocol, client := range map[string]*http.Client{"h1": {Transport: h1}, "h2": relaytest.HTTP2Client(t)} {
		for _, path := range []string{"/sized", "/chunked"} {
			for _, rule := range []message.Rule{{Action: message.DelayReply, By: relaytest.Quiet}, {Action: message.CorruptReply, Seed: 3}, {Action: message.TruncateReply, Seed: 3}} {
				t.Run(fmt.Sprint(protocol, path, " ", rule.Action), func(t *testing.T) {
					f := relaytest.OpenLink(t, s, message.Config{})
					rule.First = 1
					count, _ := f.AddRule(t, rule)
					get := func() string {
						res, err := client.Get("http://" + f.Addr + path)
						require.NoError(t, err)
						defer res.Body.Close()
						body, err := io.ReadAll(res.Body)
						require.NoError(t, err, "the length fits")
						return string(body)
					}
					began := time.Now()
					got := get()
					switch rule.Action {
					case message.DelayReply:
						assert.Equal(t, text, got)
						assert.GreaterOrEqual(t, time.Since(began), relaytest.Quiet)
						assert.EqualValues(t, 1, count.Tally().Delayed)
					case message.TruncateReply:
						assert.Less(t, len(got), len(text))
						assert.True(t, strings.HasPrefix(text, got))
					default:
						assert.Len(t, got, len(text))
						assert.NotEqual(t, text, got)
					}
					assert.Equal(t, text, get(), "only the first")
					assert.EqualValues(t, 1, count.Tally().Affected)
					assert.Equal(t, map[string]int64{"GET " + path: 1}, count.Tally().Ops)
					require.Len(t, f.Recorded(evidence.Applied), 1)
					assert.False(t, f.Recorded(evidence.Applied)[0].ToServer)
				})
			}
		}
	}
}

// A delayed answer does not interfere with other rules, and lost requests have no answer.
func TestDelayedRepliesWithOtherRules(t *testing.T) {
	f := relaytest.OpenLink(t, relaytest.StartShop(t).Addr, message.Config{})
	late, _ := f.AddRule(t, message.Rule{ID: "fault-1", Action: message.DelayReply, By: relaytest.Quiet})
	answered, _ := f.AddRule(t, message.Rule{ID: "fault-2", Action: message.Answer, Status: 503, Match: relaytest.Charge})
	corrupted, _ := f.AddRule(t, message.Rule{ID: "fault-3", Action: message.CorruptReply, Match: message.Match{Method: "GET"}})
	p := relaytest.Connect(t, f.Addr)
	p.Send(relaytest.HTTPPost("/charge", "x"), false)
	assert.Contains(t, p.ReadReply(), "503")
	assert.Zero(t, late.Tally().Affected, "the dependency gave no answer")
	began := time.Now()
	p.Send(relaytest.HTTPRequest("GET", "/a"), false)
	assert.NotContains(t, p.ReadReply(), "1 /a")
	assert.GreaterOrEqual(t, time.Since(began), relaytest.Quiet)
	for _, c := range []*evidence.Counter{late, answered, corrupted} {
		assert.EqualValues(t, 1, c.Tally().Affected)
	}
}

// An answer that has no body, is too large or may be endless passes unchanged and is reported.
func TestRepliesThatCannotBeDamaged(t *testing.T) {
	s := relaytest.StartScript(t)
	relaytest.Set(t, &maxBuffered, 100)
	f := relaytest.OpenLink(t, s.Addr, message.Config{})
	count, _ := f.AddRule(t, message.Rule{Action: message.CorruptReply})
	client := relaytest.Connect(t, f.Addr)
	server := s.Accept(t)
	large := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", 5000, strings.Repeat("x", 5000))
	events := "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
	for _, answer := range []string{"HTTP/1.1 204 No Content\r\n\r\n", large, events} {
		relaytest.Play(client, server, relaytest.Turns(">"+relaytest.HTTPRequest("GET", "/a"), "<"+answer), false)
	}
	assert.Equal(t, map[string]int64{message.NoPayload: 1, "too large: more than 100 bytes": 1, "a stream of events": 1}, count.Tally().Skipped)
	assert.Zero(t, count.Tally().Affected)
}

package message

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
)

// Answers arrive late, damaged or truncated, with valid framing, in HTTP/1.1 and HTTP/2; the work was done, and
// the connection remains usable.
func TestFaultsOnReplies(t *testing.T) {
	text := `{"price": 100, "currency": "EUR"}`
	s := serveOn(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/chunked" {
			w.(http.Flusher).Flush()
		} else {
			w.Header().Set("Content-Length", fmt.Sprint(len(text)))
		}
		_, _ = io.WriteString(w, text)
	}))
	h1 := &http.Transport{DisableCompression: true}
	t.Cleanup(h1.CloseIdleConnections)
	for protocol, client := range map[string]*http.Client{"h1": {Transport: h1}, "h2": h2client(t)} {
		for _, path := range []string{"/sized", "/chunked"} {
			for _, rule := range []Rule{{Action: DelayReply, By: quiet}, {Action: CorruptReply, Seed: 3}, {Action: TruncateReply, Seed: 3}} {
				t.Run(fmt.Sprint(protocol, path, " ", rule.Action), func(t *testing.T) {
					f := openLink(t, s, Config{})
					rule.First = 1
					count, _ := f.addRule(t, rule)
					get := func() string {
						res, err := client.Get("http://" + f.addr + path)
						require.NoError(t, err)
						defer res.Body.Close()
						body, err := io.ReadAll(res.Body)
						require.NoError(t, err, "the length fits")
						return string(body)
					}
					began := time.Now()
					got := get()
					switch rule.Action {
					case DelayReply:
						assert.Equal(t, text, got)
						assert.GreaterOrEqual(t, time.Since(began), quiet)
						assert.EqualValues(t, 1, count.Tally().Delayed)
					case TruncateReply:
						assert.Less(t, len(got), len(text))
						assert.True(t, strings.HasPrefix(text, got))
					default:
						assert.Len(t, got, len(text))
						assert.NotEqual(t, text, got)
					}
					assert.Equal(t, text, get(), "only the first")
					assert.EqualValues(t, 1, count.Tally().Affected)
					assert.Equal(t, map[string]int64{"GET " + path: 1}, count.Tally().Ops)
					require.Len(t, f.recorded(evidence.Applied), 1)
					assert.False(t, f.recorded(evidence.Applied)[0].ToServer)
				})
			}
		}
	}
}

// A delayed answer does not interfere with other rules, and lost requests have no answer.
func TestDelayedRepliesWithOtherRules(t *testing.T) {
	f := openLink(t, startShop(t).addr, Config{})
	late, _ := f.addRule(t, Rule{ID: "fault-1", Action: DelayReply, By: quiet})
	answered, _ := f.addRule(t, Rule{ID: "fault-2", Action: Answer, Status: 503, Match: charge})
	corrupted, _ := f.addRule(t, Rule{ID: "fault-3", Action: CorruptReply, Match: Match{Method: "GET"}})
	p := connect(t, f.addr)
	p.send(post("/charge", "x"), false)
	assert.Contains(t, p.readReply(), "503")
	assert.Zero(t, late.Tally().Affected, "the dependency gave no answer")
	began := time.Now()
	p.send(request("GET", "/a"), false)
	assert.NotContains(t, p.readReply(), "1 /a")
	assert.GreaterOrEqual(t, time.Since(began), quiet)
	for _, c := range []*evidence.Counter{late, answered, corrupted} {
		assert.EqualValues(t, 1, c.Tally().Affected)
	}
}

// An answer that has no body, is too large or may be endless passes unchanged and is reported.
func TestRepliesThatCannotBeDamaged(t *testing.T) {
	s := startScript(t)
	f := openLink(t, s.addr, Config{Whole: 100})
	count, _ := f.addRule(t, Rule{Action: CorruptReply})
	client := connect(t, f.addr)
	server := s.accept(t)
	large := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", 5000, strings.Repeat("x", 5000))
	events := "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
	for _, answer := range []string{"HTTP/1.1 204 No Content\r\n\r\n", large, events} {
		exchange(client, server, messages(">"+request("GET", "/a"), "<"+answer), false)
	}
	assert.Equal(t, map[string]int64{noPayload: 1, "too large: more than 100 bytes": 1, "a stream of events": 1}, count.Tally().Skipped)
	assert.Zero(t, count.Tally().Affected)
}

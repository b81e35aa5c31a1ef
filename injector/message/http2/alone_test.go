package http2_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// Streams that are held when the server closes are delivered once each, on connections of their own.
func TestHeldStreamsSurviveTheServersIdleTimeout(t *testing.T) {
	for name, leave := range map[string]func(*relaytest.HTTP2Peer){
		"closed": func(s *relaytest.HTTP2Peer) { _ = s.Close() },
		"gone away": func(s *relaytest.HTTP2Peer) {
			_ = s.WriteGoAway(0, http2.ErrCodeNo, nil)
			_ = s.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := relaytest.StartScript(t)
			f := relaytest.OpenLink(t, s.Addr, message.Config{})
			count, heal := f.AddRule(t, message.Rule{Action: message.Delay, By: time.Hour})
			client := relaytest.ConnectHTTP2(t, f.Addr)
			one, two := client.Request("POST", "/charge", "body"), client.Request("GET", "/a", "")
			server := s.AcceptHTTP2(t)
			relaytest.WaitUntil(t, "both are held", func() bool { return count.Tally().Seen == 2 })
			leave(server)
			require.Empty(t, client.ReadUntil(relaytest.Patience, func() bool { return client.GoAway != nil }))
			require.Equal(t, "silence", client.ReadUntil(relaytest.Quiet, nil))
			require.EqualValues(t, two, client.GoAway.LastStreamID)
			heal()
			for range 2 {
				again := s.AcceptHTTP2(t)
				id := again.Requests(1)[0]
				again.Respond(id, "200", again.Responses[id].Head)
			}
			assert.Equal(t, "200 POST /charge", client.Response(one).String())
			assert.Equal(t, "200 GET /a", client.Response(two).String())
			assert.Equal(t, "closed", client.ReadUntil(relaytest.Patience, nil))
			assert.Zero(t, count.Tally().Broken)
			assert.EqualValues(t, 2, count.Tally().Affected)
		})
	}
}

// nginx closes connections without streams after two seconds, and calls are held for four.
func TestNginxClosesHTTP2WhileStreamsAreHeld(t *testing.T) {
	addr, _, worked := relaytest.NginxServer(t, "http2; keepalive_timeout 2s; client_header_timeout 2s")
	f := relaytest.OpenLink(t, addr, message.Config{})
	client := relaytest.HTTP2Client(t)
	client.Timeout = relaytest.Patience
	const callers = 20
	charge := func() {
		var all sync.WaitGroup
		for range callers {
			all.Go(func() {
				// A request with this body cannot be retried.
				resp, err := client.Post("http://"+f.Addr+"/work", "text/plain", io.NopCloser(strings.NewReader("")))
				if assert.NoError(t, err) {
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
					assert.Equal(t, http.StatusOK, resp.StatusCode)
				}
			})
		}
		all.Wait()
	}
	charge()
	count, heal := f.AddRule(t, message.Rule{Action: message.Delay, By: 4 * time.Second})
	charge()
	heal()
	charge()
	relaytest.WaitUntil(t, "the work is written down", func() bool { return worked() >= 3*callers })
	assert.Equal(t, 3*callers, worked(), "nothing is sent twice")
	assert.EqualValues(t, callers, count.Tally().Affected)
	assert.Zero(t, count.Tally().Broken)
}

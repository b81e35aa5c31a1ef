package message

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
)

// Streams that are held when the server closes are delivered once each, on connections of their own.
func TestHeldStreamsSurviveTheServersIdleTimeout(t *testing.T) {
	for name, leave := range map[string]func(*h2peer){
		"closed": func(s *h2peer) { _ = s.Close() },
		"gone away": func(s *h2peer) {
			_ = s.WriteGoAway(0, http2.ErrCodeNo, nil)
			_ = s.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := startScript(t)
			f := openLink(t, s.addr, Config{})
			count, heal := f.addRule(t, Rule{Action: Delay, By: time.Hour})
			client := connectH2(t, f.addr)
			one, two := client.request("POST", "/charge", "body"), client.request("GET", "/a", "")
			server := s.acceptH2(t)
			waitUntil(t, "both are held", func() bool { return count.Tally().Seen == 2 })
			leave(server)
			require.Equal(t, "silence", client.readUntil(quiet, nil))
			require.NotNil(t, client.goAway)
			require.EqualValues(t, two, client.goAway.LastStreamID)
			heal()
			for range 2 {
				again := s.acceptH2(t)
				id := again.requests(1)[0]
				again.respond(id, "200", again.responses[id].head)
			}
			assert.Equal(t, "200 POST /charge", client.response(one).String())
			assert.Equal(t, "200 GET /a", client.response(two).String())
			assert.Equal(t, "closed", client.readUntil(patience, nil))
			assert.Zero(t, count.Tally().Broken)
			assert.EqualValues(t, 2, count.Tally().Affected)
		})
	}
}

// nginx closes connections without streams after two seconds, and calls are held for four.
func TestNginxClosesHTTP2WhileStreamsAreHeld(t *testing.T) {
	addr, _, worked := nginxServer(t, "http2; keepalive_timeout 2s; client_header_timeout 2s")
	f := openLink(t, addr, Config{})
	client := h2client(t)
	client.Timeout = patience
	const callers = 20
	charge := func() {
		var all sync.WaitGroup
		for range callers {
			all.Go(func() {
				// A request with this body cannot be retried.
				resp, err := client.Post("http://"+f.addr+"/work", "text/plain", io.NopCloser(strings.NewReader("")))
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
	count, heal := f.addRule(t, Rule{Action: Delay, By: 4 * time.Second})
	charge()
	heal()
	charge()
	waitUntil(t, "the work is written down", func() bool { return worked() >= 3*callers })
	assert.Equal(t, 3*callers, worked(), "nothing is sent twice")
	assert.EqualValues(t, callers, count.Tally().Affected)
	assert.Zero(t, count.Tally().Broken)
}

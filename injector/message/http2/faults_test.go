package http2_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
)

func TestH2LossEndsOtherStreams(t *testing.T) {
	s := relaytest.StartScript(t)
	f := relaytest.OpenLink(t, s.Addr, message.Config{})
	f.AddRule(t, message.Rule{Action: message.LoseReply, Match: relaytest.Charge})
	p := relaytest.ConnectHTTP2(t, f.Addr)
	server := s.AcceptHTTP2(t)
	p.Request("GET", "/a", "")
	id := p.Request("POST", "/charge", "x")
	p.Request("GET", "/b", "")
	server.Requests(3)
	server.Respond(id, "200", "done")
	assert.Equal(t, "reset", p.ReadUntil(relaytest.Patience, nil))
	relaytest.WaitUntil(t, "all calls are told", func() bool { return len(f.FinishedCalls()) == 3 })
	require.Len(t, f.Recorded(evidence.Collateral), 2)
	assert.Equal(t, "GET /a", f.Recorded(evidence.Collateral)[0].Op)
	assert.Equal(t, "status 200, 4 bytes lost, then reset", f.Recorded(evidence.Applied)[0].Detail)
	for _, c := range f.FinishedCalls() {
		assert.Zero(t, c.Status)
	}
}

func TestH2AnswerWithStatus(t *testing.T) {
	s := relaytest.StartShop(t)
	f := relaytest.OpenLink(t, s.Addr, message.Config{})
	count, heal := f.AddRule(t, message.Rule{Action: message.Answer, Status: 503, RetryAfter: 1500 * time.Millisecond, Match: message.Match{Path: "/charge"}})
	p := relaytest.ConnectHTTP2(t, f.Addr)
	for range 2 {
		h := p.Response(p.Request("POST", "/charge", "x"))
		assert.Equal(t, "503 503 injected\n", h.String())
		assert.Contains(t, h.Trailers, "retry-after: 2")
		assert.Equal(t, fmt.Sprintf("200 %d /other", s.Done.Load()+1), p.Response(p.Request("GET", "/other", "")).String())
	}
	h := p.Response(p.Request("HEAD", "/charge", ""))
	assert.Equal(t, "503 ", h.String())
	assert.Contains(t, h.Trailers, "content-length: 13")
	assert.Equal(t, evidence.Tally{Unit: "calls", Seen: 3, Affected: 3}, relaytest.PlainTally(count))
	heal()
	assert.Equal(t, "200 3 /charge", p.Response(p.Request("POST", "/charge", "x")).String())
	relaytest.WaitUntil(t, "all calls are told", func() bool { return len(f.FinishedCalls()) == 6 })
	assert.Equal(t, message.Call{Op: "POST /charge", Status: 503, Affected: true}, relaytest.WithoutTimes(f.FinishedCalls()[0]))
	assert.Equal(t, message.Call{Op: "GET /other", Status: 200}, relaytest.WithoutTimes(f.FinishedCalls()[1]))
}

// A dropped body is credited to its sender, even if it is larger than any window.
func TestH2DroppedBodiesDoNotStallOtherStreams(t *testing.T) {
	for _, rule := range []message.Rule{{Action: message.Answer, Status: 503}, {Action: message.LoseRequest, EndWith: message.EndSilence}} {
		s := relaytest.StartShop(t)
		f := relaytest.OpenLink(t, s.Addr, message.Config{})
		f.AddRule(t, relaytest.WithMatch(rule))
		client := relaytest.HTTP2Client(t)
		if rule.Action != message.Answer {
			client.Timeout = 5 * relaytest.Quiet
		}
		for range 3 {
			res, err := client.Post("http://"+f.Addr+"/charge", "", strings.NewReader(strings.Repeat("x", 3<<20)))
			if rule.Action == message.Answer {
				require.NoError(t, err)
				assert.Equal(t, 503, res.StatusCode)
				_ = res.Body.Close()
			} else {
				require.Error(t, err)
			}
		}
		client.Timeout = relaytest.Patience
		res, err := client.Post("http://"+f.Addr+"/other", "", strings.NewReader(strings.Repeat("x", 3<<20)))
		require.NoError(t, err)
		_ = res.Body.Close()
		assert.Equal(t, []string{"POST /other 3145728"}, s.Executed())
	}
}

func TestH2DeliveredTwice(t *testing.T) {
	for _, second := range []bool{false, true} {
		for _, size := range []int{0, 3, 300 << 10} {
			t.Run(fmt.Sprintf("second=%v/%d bytes", second, size), func(t *testing.T) {
				s := relaytest.StartShop(t)
				f := relaytest.OpenLink(t, s.Addr, message.Config{})
				count, heal := f.AddRule(t, message.Rule{Action: message.Twice, Second: second, Match: message.Match{Path: "/once"}})
				client := relaytest.HTTP2Client(t)
				post := func() (status int) {
					res, err := client.Post("http://"+f.Addr+"/once", "", strings.NewReader(strings.Repeat("x", size)))
					require.NoError(t, err)
					defer res.Body.Close()
					return res.StatusCode
				}
				status, other := post(), "status 200, 7 bytes"
				if !second && status == 200 { // both are in progress at the same time
					other = "status 409, 7 bytes"
				} else {
					assert.Equal(t, 409, status)
				}
				toServer, toClient := f.CheckAccounts(t)
				assert.EqualValues(t, 1, toServer.Copies)
				assert.EqualValues(t, 1, toClient.Discarded)
				one := fmt.Sprintf("POST /once %d", size)
				assert.Equal(t, []string{one, one}, s.Executed())
				require.Len(t, f.Recorded(evidence.Discarded), 1)
				assert.Equal(t, other, f.Recorded(evidence.Discarded)[0].Detail)
				assert.Equal(t, evidence.Tally{Unit: "calls", Seen: 1, Affected: 1}, relaytest.PlainTally(count))
				heal()
				post()
				assert.EqualValues(t, 3, s.Done.Load())
			})
		}
	}
}

func TestH2LateCopyOutlivesConnection(t *testing.T) {
	s := relaytest.StartShop(t)
	f := relaytest.OpenLink(t, s.Addr, message.Config{})
	f.AddRule(t, message.Rule{Action: message.Twice, Late: 10 * relaytest.Quiet, Match: message.Match{Path: "/once"}})
	p := relaytest.ConnectHTTP2(t, f.Addr)
	assert.Equal(t, "200 1 /once", p.Response(p.Request("POST", "/once", "x", "idempotency-key: k1")).String())
	assert.EqualValues(t, 1, s.Done.Load(), "the copy leaves later")
	p.Reset()
	f.CheckAccounts(t)
	assert.EqualValues(t, 2, s.Done.Load())
	require.Len(t, f.Recorded(evidence.Discarded), 1)
	assert.Equal(t, "status 409, 7 bytes", f.Recorded(evidence.Discarded)[0].Detail)
	assert.Equal(t, "k1", f.Recorded(evidence.Discarded)[0].Key)
}

// A held stream is overtaken by others on its connection, and reaches the server with a higher ID.
func TestH2ReorderedOnOneConnection(t *testing.T) {
	s := relaytest.StartScript(t)
	f := relaytest.OpenLink(t, s.Addr, message.Config{})
	count, _ := f.AddRule(t, message.Rule{Action: message.Reorder, Wait: relaytest.Patience, First: 1, Match: message.Match{Path: "/{any}"}})
	p := relaytest.ConnectHTTP2(t, f.Addr)
	server := s.AcceptHTTP2(t)
	asked := []uint32{p.Request("POST", "/a", "x", "tenant: acme")}
	relaytest.WaitUntil(t, "it is held", func() bool { return len(f.Recorded(evidence.Held)) == 1 })
	for _, path := range []string{"/b", "/c", "/d"} {
		asked = append(asked, p.Request("POST", path, "x", "tenant: acme"))
	}
	var got []string
	for range 4 { // answer each request before reading the next
		for _, id := range server.Requests(1) {
			got = append(got, server.Responses[id].Head)
			server.Respond(id, "200", server.Responses[id].Head)
		}
	}
	at := slices.Index(got, "POST /a")
	assert.GreaterOrEqual(t, at, 1)
	assert.ElementsMatch(t, []string{"POST /a", "POST /b", "POST /c", "POST /d"}, got)
	for i, path := range []string{"/a", "/b", "/c", "/d"} {
		assert.Equal(t, "200 POST "+path, p.Response(asked[i]).String())
	}
	assert.EqualValues(t, 1, count.Tally().Affected)
	require.Len(t, f.Recorded(evidence.Applied), 1)
	assert.Equal(t, "another passed it", f.Recorded(evidence.Applied)[0].Detail)
}

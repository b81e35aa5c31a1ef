package message

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// The conformance matrix for HTTP/2: the effect on the stream, the connection and another stream on it.
func TestH2EachFaultWithEachEnding(t *testing.T) {
	rows := []struct {
		rule Rule
		want outcome
	}{
		{Rule{Action: LoseRequest}, outcome{"", "reset", 0}},
		{Rule{Action: LoseRequest, EndWith: EndReset}, outcome{"", "reset", 0}},
		{Rule{Action: LoseRequest, EndWith: EndClosed}, outcome{"", "closed", 0}},
		{Rule{Action: LoseRequest, EndWith: EndSilence}, outcome{"", "silence", 0}},
		{Rule{Action: LoseRequest, EndWith: EndHeld}, outcome{"", "silence", 0}},
		{Rule{Action: LoseReply}, outcome{"", "reset", 1}},
		{Rule{Action: LoseReply, EndWith: EndReset}, outcome{"", "reset", 1}},
		{Rule{Action: LoseReply, EndWith: EndClosed}, outcome{"", "closed", 1}},
		{Rule{Action: LoseReply, EndWith: EndSilence}, outcome{"", "silence", 1}},
		{Rule{Action: LoseReply, EndWith: EndHeld}, outcome{"", "silence", 1}},
	}
	for _, row := range rows {
		for _, used := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%s/used=%v", row.rule.Action, row.rule.EndWith, used), func(t *testing.T) {
				s := startShop(t)
				f := openLink(t, s.addr, Config{})
				count, heal := f.addRule(t, withMatch(row.rule))
				p := connectH2(t, f.addr)
				warm := 0
				if used {
					warm = 1
					require.Equal(t, "200 1 /warm", p.response(p.request("GET", "/warm", "")).String())
				}
				id := p.request("POST", "/charge", "10 EUR")
				if row.want.executed > 0 {
					waitUntil(t, "it is executed", func() bool { return s.done.Load() == int64(warm+1) })
				}
				bound := patience
				if row.want.how == "silence" {
					bound = quiet
				}
				how := p.readUntil(bound, nil)
				assert.Equal(t, row.want, outcome{p.responses[id].body, how, len(s.executed()) - warm})
				assert.Equal(t, h2Response{}, *p.responses[id])
				if how == "silence" { // the other streams continue
					assert.Equal(t, fmt.Sprintf("200 %d /other", s.done.Load()+1), p.response(p.request("POST", "/other", "x")).String())
				}
				if row.rule.EndWith == EndHeld {
					waitUntil(t, "it is held", func() bool { return len(f.recorded(evidence.Held)) == 1 })
					heal()
					assert.Contains(t, p.response(id).String(), "/charge")
					assert.Len(t, f.recorded(evidence.Released), 1)
				} else {
					assert.Len(t, f.recorded(evidence.Applied), 1)
				}
				p.reset()
				waitUntil(t, "the calls are told", func() bool {
					n := 0
					for _, c := range f.finishedCalls() {
						if c.Op == "POST /charge" {
							n++
							assert.True(t, c.Affected)
						}
					}
					return n == 1
				})
				assert.Equal(t, evidence.Tally{Unit: "calls", Seen: 1, Affected: 1}, plain(count))
				f.checkAccounts(t)
			})
		}
	}
}

func TestH2LossEndsOtherStreams(t *testing.T) {
	s := startScript(t)
	f := openLink(t, s.addr, Config{})
	f.addRule(t, Rule{Action: LoseReply, Match: charge})
	p := connectH2(t, f.addr)
	server := s.acceptH2(t)
	p.request("GET", "/a", "")
	id := p.request("POST", "/charge", "x")
	p.request("GET", "/b", "")
	server.requests(3)
	server.respond(id, "200", "done")
	assert.Equal(t, "reset", p.readUntil(patience, nil))
	waitUntil(t, "all calls are told", func() bool { return len(f.finishedCalls()) == 3 })
	require.Len(t, f.recorded(evidence.Collateral), 2)
	assert.Equal(t, "GET /a", f.recorded(evidence.Collateral)[0].Op)
	assert.Equal(t, "status 200, 4 bytes lost, then reset", f.recorded(evidence.Applied)[0].Detail)
	for _, c := range f.finishedCalls() {
		assert.Zero(t, c.Status)
	}
}

func TestH2AnswerWithStatus(t *testing.T) {
	s := startShop(t)
	f := openLink(t, s.addr, Config{})
	count, heal := f.addRule(t, Rule{Action: Answer, Status: 503, RetryAfter: 1500 * time.Millisecond, Match: Match{Path: "/charge"}})
	p := connectH2(t, f.addr)
	for range 2 {
		h := p.response(p.request("POST", "/charge", "x"))
		assert.Equal(t, "503 503 injected\n", h.String())
		assert.Contains(t, h.trailers, "retry-after: 2")
		assert.Equal(t, fmt.Sprintf("200 %d /other", s.done.Load()+1), p.response(p.request("GET", "/other", "")).String())
	}
	h := p.response(p.request("HEAD", "/charge", ""))
	assert.Equal(t, "503 ", h.String())
	assert.Contains(t, h.trailers, "content-length: 13")
	assert.Equal(t, evidence.Tally{Unit: "calls", Seen: 3, Affected: 3}, plain(count))
	heal()
	assert.Equal(t, "200 3 /charge", p.response(p.request("POST", "/charge", "x")).String())
	waitUntil(t, "all calls are told", func() bool { return len(f.finishedCalls()) == 6 })
	assert.Equal(t, Call{Op: "POST /charge", Status: 503, Affected: true}, withoutTimes(f.finishedCalls()[0]))
	assert.Equal(t, Call{Op: "GET /other", Status: 200}, withoutTimes(f.finishedCalls()[1]))
}

// A dropped body is credited to its sender, even if it is larger than any window.
func TestH2DroppedBodiesDoNotStallOtherStreams(t *testing.T) {
	for _, rule := range []Rule{{Action: Answer, Status: 503}, {Action: LoseRequest, EndWith: EndSilence}} {
		s := startShop(t)
		f := openLink(t, s.addr, Config{})
		f.addRule(t, withMatch(rule))
		client := h2client(t)
		client.Timeout = 5 * quiet
		for range 3 {
			res, err := client.Post("http://"+f.addr+"/charge", "", strings.NewReader(strings.Repeat("x", 3<<20)))
			if rule.Action == Answer {
				require.NoError(t, err)
				assert.Equal(t, 503, res.StatusCode)
				_ = res.Body.Close()
			} else {
				require.Error(t, err)
			}
		}
		client.Timeout = patience
		res, err := client.Post("http://"+f.addr+"/other", "", strings.NewReader(strings.Repeat("x", 3<<20)))
		require.NoError(t, err)
		_ = res.Body.Close()
		assert.Equal(t, []string{"POST /other 3145728"}, s.executed())
	}
}

func TestH2DeliveredTwice(t *testing.T) {
	for _, second := range []bool{false, true} {
		for _, size := range []int{0, 3, 300 << 10} {
			t.Run(fmt.Sprintf("second=%v/%d bytes", second, size), func(t *testing.T) {
				s := startShop(t)
				f := openLink(t, s.addr, Config{})
				count, heal := f.addRule(t, Rule{Action: Twice, Second: second, Match: Match{Path: "/once"}})
				client := h2client(t)
				post := func() (status int) {
					res, err := client.Post("http://"+f.addr+"/once", "", strings.NewReader(strings.Repeat("x", size)))
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
				toServer, toClient := f.checkAccounts(t)
				assert.EqualValues(t, 1, toServer.Copies)
				assert.EqualValues(t, 1, toClient.Discarded)
				one := fmt.Sprintf("POST /once %d", size)
				assert.Equal(t, []string{one, one}, s.executed())
				require.Len(t, f.recorded(evidence.Discarded), 1)
				assert.Equal(t, other, f.recorded(evidence.Discarded)[0].Detail)
				assert.Equal(t, evidence.Tally{Unit: "calls", Seen: 1, Affected: 1}, plain(count))
				heal()
				post()
				assert.EqualValues(t, 3, s.done.Load())
			})
		}
	}
}

func TestH2LateCopyOutlivesConnection(t *testing.T) {
	s := startShop(t)
	f := openLink(t, s.addr, Config{})
	f.addRule(t, Rule{Action: Twice, Late: 3 * quiet, Match: Match{Path: "/once"}})
	p := connectH2(t, f.addr)
	assert.Equal(t, "200 1 /once", p.response(p.request("POST", "/once", "x", "idempotency-key: k1")).String())
	assert.EqualValues(t, 1, s.done.Load(), "the copy leaves later")
	p.reset()
	f.checkAccounts(t)
	assert.EqualValues(t, 2, s.done.Load())
	require.Len(t, f.recorded(evidence.Discarded), 1)
	assert.Equal(t, "status 409, 7 bytes", f.recorded(evidence.Discarded)[0].Detail)
	assert.Equal(t, "k1", f.recorded(evidence.Discarded)[0].Key)
}

// A held stream is overtaken by others on its connection, and reaches the server with a higher ID.
func TestH2ReorderedOnOneConnection(t *testing.T) {
	s := startScript(t)
	f := openLink(t, s.addr, Config{})
	count, _ := f.addRule(t, Rule{Action: Reorder, Wait: patience, Others: 2, First: 1, Match: Match{Path: "/{any}"}})
	p := connectH2(t, f.addr)
	server := s.acceptH2(t)
	asked := []uint32{p.request("POST", "/a", "x", "tenant: acme")}
	waitUntil(t, "it is held", func() bool { return len(f.recorded(evidence.Held)) == 1 })
	for _, path := range []string{"/b", "/c", "/d"} {
		asked = append(asked, p.request("POST", path, "x", "tenant: acme"))
	}
	var got []string
	for range 4 { // answer each request before reading the next
		for _, id := range server.requests(1) {
			got = append(got, server.responses[id].head)
			server.respond(id, "200", server.responses[id].head)
		}
	}
	at := slices.Index(got, "POST /a")
	assert.GreaterOrEqual(t, at, 2)
	assert.ElementsMatch(t, []string{"POST /a", "POST /b", "POST /c", "POST /d"}, got)
	for i, path := range []string{"/a", "/b", "/c", "/d"} {
		assert.Equal(t, "200 POST "+path, p.response(asked[i]).String())
	}
	assert.EqualValues(t, 1, count.Tally().Affected)
	require.Len(t, f.recorded(evidence.Applied), 1)
	assert.Equal(t, "2 others passed it", f.recorded(evidence.Applied)[0].Detail)
}

func TestH2DelayedAndHealed(t *testing.T) {
	s := startShop(t)
	f := openLink(t, s.addr, Config{})
	count, heal := f.addRule(t, Rule{Action: Delay, By: 2 * quiet, Match: charge})
	p := connectH2(t, f.addr)
	began := time.Now()
	slow := p.request("POST", "/charge", "x")
	assert.Equal(t, "200 1 /quick", p.response(p.request("GET", "/quick", "")).String())
	assert.Equal(t, "200 2 /charge", p.response(slow).String())
	assert.GreaterOrEqual(t, time.Since(began), 2*quiet)
	assert.EqualValues(t, 1, count.Tally().Affected)
	heal()
	count, heal = f.addRule(t, Rule{ID: "fault-2", Action: Delay, By: time.Hour})
	id := p.request("POST", "/charge", "x")
	waitUntil(t, "it waits", func() bool { return count.Tally().Seen == 1 })
	require.Equal(t, "silence", p.readUntil(quiet, nil))
	heal()
	assert.Equal(t, "200 3 /charge", p.response(id).String())
}

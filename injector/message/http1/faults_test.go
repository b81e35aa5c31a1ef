package http1

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
)

func TestSilenceDropsLaterMessagesAndOutlastsHealing(t *testing.T) {
	s := relaytest.StartShop(t)
	f := relaytest.OpenLink(t, s.Addr, message.Config{})
	_, heal := f.AddRule(t, message.Rule{Action: message.LoseRequest, EndWith: message.EndSilence, Match: relaytest.Charge})
	p := relaytest.Connect(t, f.Addr)
	p.Send(relaytest.HTTPPost("/charge", "x"), false)
	relaytest.WaitUntil(t, "it is lost", func() bool { return len(f.Recorded(evidence.Applied)) == 1 })
	p.Send(relaytest.HTTPPost("/other", strings.Repeat("x", 1<<20)), false) // larger than all buffers: it must be discarded
	heal()
	_, how := p.ReadToEnd(relaytest.Quiet)
	assert.Equal(t, "silence", how)
	assert.Zero(t, s.Done.Load())
	fresh := relaytest.Connect(t, f.Addr)
	fresh.Send(relaytest.HTTPPost("/charge", "x"), false)
	assert.Contains(t, fresh.ReadReply(), "1 /charge")
}

// The reply is lost after the work was done, even if the caller does not wait for it.
func TestLostReplyIsReadToEndAfterCallerDisconnects(t *testing.T) {
	s := relaytest.StartScript(t)
	f := relaytest.OpenLink(t, s.Addr, message.Config{})
	count, _ := f.AddRule(t, message.Rule{Action: message.LoseReply})
	client := relaytest.Connect(t, f.Addr)
	server := s.Accept(t)
	client.Send(relaytest.HTTPPost("/charge", "x"), false)
	server.Expect(relaytest.HTTPPost("/charge", "x"))
	client.Reset()
	_, how := server.ReadToEnd(relaytest.Quiet)
	require.Equal(t, "silence", how, "the caller's end must not end the work")
	assert.Zero(t, count.Tally().Affected, "the work is not done yet")
	server.Send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndo", false)
	_, how = server.ReadToEnd(relaytest.Quiet)
	require.Equal(t, "silence", how)
	assert.Zero(t, count.Tally().Affected, "half an answer is no work done")
	server.Send("ne", false)
	relaytest.WaitUntil(t, "the loss is counted", func() bool { return count.Tally().Affected == 1 })
	relaytest.WaitUntil(t, "the call is reported", func() bool { return len(f.FinishedCalls()) == 1 })
	assert.True(t, f.FinishedCalls()[0].GaveUp)
}

func TestMissingReplyIsNotCountedAsLost(t *testing.T) {
	s := relaytest.StartScript(t)
	f := relaytest.OpenLink(t, s.Addr, message.Config{})
	count, _ := f.AddRule(t, message.Rule{Action: message.LoseReply, EndWith: message.EndClosed})
	client := relaytest.Connect(t, f.Addr)
	server := s.Accept(t)
	client.Send(relaytest.HTTPPost("/charge", "x"), false)
	server.Expect(relaytest.HTTPPost("/charge", "x"))
	server.Send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndo", false)
	server.Reset()
	_, how := client.ReadToEnd(relaytest.Patience)
	assert.Equal(t, "reset", how, "the upstream's own failure shows as what it was")
	relaytest.WaitUntil(t, "the call is reported", func() bool { return len(f.FinishedCalls()) == 1 })
	assert.Zero(t, count.Tally().Affected)
	assert.Empty(t, f.Recorded(evidence.Applied))
}

func TestAnswerWithStatus(t *testing.T) {
	s := relaytest.StartShop(t)
	f := relaytest.OpenLink(t, s.Addr, message.Config{})
	count, heal := f.AddRule(t, message.Rule{Action: message.Answer, Status: 503, RetryAfter: 1500 * time.Millisecond, Match: relaytest.Charge})
	p := relaytest.Connect(t, f.Addr)
	for range 2 {
		p.Send(relaytest.HTTPPost("/charge", strings.Repeat("x", 3<<20)), false) // its body must be discarded
		answer := p.ReadReply()
		assert.True(t, strings.HasPrefix(answer, "HTTP/1.1 503 Service Unavailable\r\n"), answer)
		assert.Contains(t, answer, "\r\nRetry-After: 2\r\n")
	}
	p.Send(relaytest.HTTPRequest("GET", "/other"), false)
	assert.Contains(t, p.ReadReply(), "1 /other")
	p.Send("POST /charge HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n", false)
	assert.Contains(t, p.ReadReply(), "503")
	assert.Equal(t, evidence.Tally{Unit: "calls", Seen: 3, Affected: 3}, relaytest.PlainTally(count))
	heal()
	fresh := relaytest.Connect(t, f.Addr)
	fresh.Send(relaytest.HTTPPost("/charge", "x"), false)
	assert.Contains(t, fresh.ReadReply(), "2 /charge")
	relaytest.WaitUntil(t, "all calls are told", func() bool { return len(f.FinishedCalls()) == 5 })
	assert.Equal(t, message.Call{Op: "POST /charge", Status: 503, Affected: true}, relaytest.WithoutTimes(f.FinishedCalls()[0]))
	assert.Equal(t, message.Call{Op: "GET /other", Status: 200}, relaytest.WithoutTimes(f.FinishedCalls()[2]))
}

// Answers are sent in the order of their requests, even between answers of the upstream.
func TestInjectedAnswerKeepsPipelineOrder(t *testing.T) {
	s := relaytest.StartShop(t)
	f := relaytest.OpenLink(t, s.Addr, message.Config{})
	f.AddRule(t, message.Rule{Action: message.Answer, Status: 429, Match: relaytest.Charge})
	p := relaytest.Connect(t, f.Addr)
	p.Send(relaytest.HTTPRequest("GET", "/a")+relaytest.HTTPPost("/charge", "x")+relaytest.HTTPRequest("GET", "/b")+relaytest.HTTPRequest("HEAD", "/c")+relaytest.HTTPPost("/charge", "")+relaytest.HTTPRequest("GET", "/d"), false)
	assert.Contains(t, p.ReadReply(), "1 /a")
	assert.Contains(t, p.ReadReply(), "HTTP/1.1 429 Too Many Requests")
	assert.Contains(t, p.ReadReply(), "2 /b")
	_ = p.CloseWrite()
	rest, _ := p.ReadToEnd(relaytest.Patience)
	assert.Less(t, strings.Index(rest, "Content-Length: 4"), strings.Index(rest, "429"))
	assert.True(t, strings.HasSuffix(rest, "4 /d"), rest)
}

func TestDeliveredTwice(t *testing.T) {
	for _, second := range []bool{false, true} {
		t.Run(fmt.Sprintf("second=%v", second), func(t *testing.T) {
			s := relaytest.StartShop(t)
			f := relaytest.OpenLink(t, s.Addr, message.Config{})
			count, heal := f.AddRule(t, message.Rule{Action: message.Twice, Second: second, Match: message.Match{Path: "/once"}})
			p := relaytest.Connect(t, f.Addr)
			p.Send("POST /once HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k1\r\nContent-Length: 3\r\n\r\nabc", false)
			answer, other := p.ReadReply(), "status 200, 7 bytes"
			if !second && strings.Contains(answer, "200 OK") { // both are in progress at the same time
				other = "status 409, 7 bytes"
			} else {
				assert.Contains(t, answer, "HTTP/1.1 409 Conflict")
			}
			toServer, toClient := f.CheckAccounts(t)
			assert.EqualValues(t, 1, toServer.Copies)
			assert.EqualValues(t, 1, toClient.Discarded)
			assert.Equal(t, []string{"POST /once 3", "POST /once 3"}, s.Executed())
			discarded := f.Recorded(evidence.Discarded)
			require.Len(t, discarded, 1)
			assert.Equal(t, other, discarded[0].Detail)
			assert.Equal(t, "k1", discarded[0].Key)
			assert.Equal(t, "POST /once", discarded[0].Op)
			assert.Equal(t, evidence.Tally{Unit: "calls", Seen: 1, Affected: 1}, relaytest.PlainTally(count))
			heal()
			p.Send(relaytest.HTTPPost("/once", "x"), false)
			p.ReadReply()
			assert.EqualValues(t, 3, s.Done.Load())
		})
	}
}

func TestQuiesceWaitsForLateCopy(t *testing.T) {
	s := relaytest.StartShop(t)
	f := relaytest.OpenLink(t, s.Addr, message.Config{})
	count, _ := f.AddRule(t, message.Rule{Action: message.Twice, Late: 10 * relaytest.Quiet, Match: message.Match{Path: "/once"}})
	p := relaytest.Connect(t, f.Addr)
	p.Send(relaytest.HTTPPost("/once", "x"), false)
	assert.Contains(t, p.ReadReply(), "200 OK")
	assert.EqualValues(t, 1, s.Done.Load(), "the copy leaves later")
	p.Reset()
	f.CheckAccounts(t)
	assert.EqualValues(t, 2, s.Done.Load())
	require.Len(t, f.Recorded(evidence.Discarded), 1)
	assert.Equal(t, "status 409, 7 bytes", f.Recorded(evidence.Discarded)[0].Detail)
	assert.EqualValues(t, 1, count.Tally().Affected)
}

func TestChunkedRequestDeliveredTwice(t *testing.T) {
	s := relaytest.StartShop(t)
	f := relaytest.OpenLink(t, s.Addr, message.Config{})
	f.AddRule(t, message.Rule{Action: message.Twice, Second: true})
	p := relaytest.Connect(t, f.Addr)
	p.Send("POST /once HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3\r\nyou\r\n0\r\n\r\n", true)
	assert.Contains(t, p.ReadReply(), "409")
	assert.Equal(t, []string{"POST /once 8", "POST /once 8"}, s.Executed())
}

func TestLargeMessagesAreSkippedAndPass(t *testing.T) {
	bodies := map[string]string{
		"sized":   "Content-Length: 5000\r\n\r\n" + strings.Repeat("x", 5000),
		"chunked": "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("3e8\r\n"+strings.Repeat("x", 1000)+"\r\n", 5) + "0\r\n\r\n",
	}
	for name, body := range bodies {
		for _, single := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/single=%v", name, single), func(t *testing.T) {
				s := relaytest.StartShop(t)
				relaytest.Set(t, &maxBuffered, 1024)
				f := relaytest.OpenLink(t, s.Addr, message.Config{})
				count, _ := f.AddRule(t, message.Rule{Action: message.Twice, Match: message.Match{Method: "POST"}})
				p := relaytest.Connect(t, f.Addr)
				p.Send("POST /large-one HTTP/1.1\r\nHost: x\r\n"+body, single)
				assert.Contains(t, p.ReadReply(), "1 /large-one")
				p.Send(relaytest.HTTPRequest("GET", "/after"), false)
				assert.Contains(t, p.ReadReply(), "2 /after")
				assert.Equal(t, []string{"POST /large-one 5000", "GET /after 0"}, s.Executed())
				assert.Equal(t, evidence.Tally{Unit: "calls", Seen: 1}, relaytest.PlainTally(count))
				skipped := f.Recorded(evidence.Skipped)
				require.Len(t, skipped, 1)
				assert.Contains(t, skipped[0].Detail, "too large")
				assert.Contains(t, f.FinishedCalls()[0].Skipped, "too large")
			})
		}
	}
}

func TestDelayedAndHealed(t *testing.T) {
	s := relaytest.StartShop(t)
	f := relaytest.OpenLink(t, s.Addr, message.Config{})
	count, heal := f.AddRule(t, message.Rule{Action: message.Delay, By: 2 * relaytest.Quiet, Jitter: relaytest.Quiet / 2, Match: relaytest.Charge})
	p := relaytest.Connect(t, f.Addr)
	began := time.Now()
	p.Send(relaytest.HTTPRequest("GET", "/quick"), false)
	p.ReadReply()
	p.Send(relaytest.HTTPPost("/charge", "x"), false)
	p.ReadReply()
	assert.GreaterOrEqual(t, time.Since(began), 3*relaytest.Quiet/2)
	tally := count.Tally()
	assert.Equal(t, []int64{1, 1, 1}, []int64{tally.Seen, tally.Affected, tally.Delayed})
	assert.GreaterOrEqual(t, tally.DelayP50, 3*relaytest.Quiet/2-relaytest.Quiet/100, "as measured")
	assert.Equal(t, tally.DelayP50, tally.Worst)
	heal()
	// An indefinite delay ends on healing.
	count, heal = f.AddRule(t, message.Rule{ID: "fault-2", Action: message.Delay, By: time.Hour})
	p.Send(relaytest.HTTPPost("/charge", "x"), false)
	relaytest.WaitUntil(t, "it waits", func() bool { return count.Tally().Seen == 1 })
	_, how := p.ReadToEnd(relaytest.Quiet)
	require.Equal(t, "silence", how)
	heal()
	assert.Contains(t, p.ReadReply(), "/charge")
	assert.Less(t, count.Tally().Worst, time.Hour/2, "what it was kept for, not what was asked for")
	assert.Positive(t, count.Tally().Worst)
}

func TestDelayCombinesWithLoss(t *testing.T) {
	s := relaytest.StartShop(t)
	f := relaytest.OpenLink(t, s.Addr, message.Config{})
	late, _ := f.AddRule(t, message.Rule{ID: "fault-1", Action: message.Delay, By: relaytest.Quiet})
	lost, _ := f.AddRule(t, message.Rule{ID: "fault-2", Action: message.LoseReply})
	none, _ := f.AddRule(t, message.Rule{ID: "fault-3", Action: message.Answer, Status: 500})
	p := relaytest.Connect(t, f.Addr)
	began := time.Now()
	p.Send(relaytest.HTTPPost("/charge", "x"), false)
	_, how := p.ReadToEnd(relaytest.Patience)
	assert.Equal(t, "reset", how)
	assert.GreaterOrEqual(t, time.Since(began), relaytest.Quiet)
	assert.EqualValues(t, 1, s.Done.Load())
	assert.EqualValues(t, 1, late.Tally().Affected)
	assert.EqualValues(t, 1, lost.Tally().Affected)
	assert.Zero(t, none.Tally().Affected)
}

func TestReorderedBehindAnother(t *testing.T) {
	s := relaytest.StartScript(t)
	f := relaytest.OpenLink(t, s.Addr, message.Config{})
	count, _ := f.AddRule(t, message.Rule{Action: message.Reorder, Wait: relaytest.Patience, First: 1, Match: relaytest.Charge})
	a := relaytest.Connect(t, f.Addr)
	serverA := s.Accept(t)
	b := relaytest.Connect(t, f.Addr)
	serverB := s.Accept(t)
	a.Send(relaytest.HTTPPost("/charge", "first"), false)
	relaytest.WaitUntil(t, "it is held", func() bool { return len(f.Recorded(evidence.Held)) == 1 })
	relaytest.Play(b, serverB, relaytest.Turns(">"+relaytest.HTTPRequest("GET", "/unrelated"), "<"+relaytest.OK), false)
	_, how := serverA.ReadToEnd(relaytest.Quiet)
	require.Equal(t, "silence", how, "what the rule does not match frees nothing")
	relaytest.Play(b, serverB, relaytest.Turns(">"+relaytest.HTTPPost("/charge", "second"), "<"+relaytest.OK), false)
	serverA.Expect(relaytest.HTTPPost("/charge", "first"))
	relaytest.Play(a, serverA, relaytest.Turns("<"+relaytest.OK, ">"+relaytest.HTTPPost("/charge", "third"), "<"+relaytest.OK), false)
	assert.Equal(t, evidence.Tally{Unit: "calls", Seen: 3, Affected: 1}, relaytest.PlainTally(count))
	assert.Empty(t, f.Recorded(evidence.Expired))
}

func TestExpiredReorderIsDelay(t *testing.T) {
	s := relaytest.StartShop(t)
	f := relaytest.OpenLink(t, s.Addr, message.Config{})
	count, _ := f.AddRule(t, message.Rule{Action: message.Reorder, Wait: relaytest.Quiet})
	p := relaytest.Connect(t, f.Addr)
	p.Send(relaytest.HTTPPost("/charge", "a"), false)
	assert.Contains(t, p.ReadReply(), "1 /charge")
	assert.Equal(t, evidence.Tally{Unit: "calls", Seen: 1}, relaytest.PlainTally(count))
	assert.Len(t, f.Recorded(evidence.Expired), 1)
	assert.Empty(t, f.Recorded(evidence.Applied))
}

// If every message is chosen, one is held and the others pass: messages are reordered rather than all delayed.
func TestReorderHoldsOneMessageAtATime(t *testing.T) {
	s := relaytest.StartShop(t)
	f := relaytest.OpenLink(t, s.Addr, message.Config{})
	count, heal := f.AddRule(t, message.Rule{Action: message.Reorder, Wait: relaytest.Patience})
	var all sync.WaitGroup
	for range 8 {
		p := relaytest.Connect(t, f.Addr)
		all.Go(func() {
			for range 5 {
				_, _ = p.WriteText(relaytest.HTTPPost("/charge", "x"), false)
				if !assert.Contains(t, p.ReadReply(), "/charge") {
					return
				}
			}
		})
	}
	// For the last messages, no others may be left to pass them.
	relaytest.WaitUntil(t, "nearly all are answered", func() bool { return s.Done.Load() >= 35 })
	heal()
	all.Wait()
	assert.Positive(t, count.Tally().Affected)
	assert.LessOrEqual(t, len(f.Recorded(evidence.Expired)), 1)
}

// A caller that disconnects before the answer has given up; one that half-closes still gets the answer.
func TestGivingUp(t *testing.T) {
	leave := map[string]struct {
		do     func(client, server relaytest.Peer)
		gaveUp bool
		status int
	}{
		"reset":  {func(c, _ relaytest.Peer) { c.Reset() }, true, 0},
		"closed": {func(c, _ relaytest.Peer) { _ = c.Close() }, true, 0},
		"half-closed, answered": {func(c, s relaytest.Peer) {
			_ = c.CloseWrite()
			s.ReadToEnd(relaytest.Quiet)
			s.Send(relaytest.OK, false)
			c.Expect(relaytest.OK)
		}, true, 200},
		"half-closed, no answer":   {func(c, s relaytest.Peer) { _ = c.CloseWrite(); s.ReadToEnd(relaytest.Patience); _ = s.Close() }, true, 0},
		"server closes":            {func(_, s relaytest.Peer) { _ = s.Close() }, false, 0},
		"answered and then closed": {func(c, s relaytest.Peer) { s.Send(relaytest.OK, false); c.Expect(relaytest.OK); _ = c.Close() }, false, 200},
	}
	for name, l := range leave {
		t.Run(name, func(t *testing.T) {
			s := relaytest.StartScript(t)
			f := relaytest.OpenLink(t, s.Addr, message.Config{})
			client := relaytest.Connect(t, f.Addr)
			server := s.Accept(t)
			client.Send(relaytest.HTTPPost("/charge?x=1", "x"), false)
			server.Expect(relaytest.HTTPPost("/charge?x=1", "x"))
			l.do(client, server)
			if name == "closed" {
				server.ReadToEnd(relaytest.Patience)
				_ = server.Close()
			}
			relaytest.WaitUntil(t, "the call is reported", func() bool { return len(f.FinishedCalls()) == 1 })
			c := f.FinishedCalls()[0]
			assert.Equal(t, message.Call{Op: "POST /charge", Status: l.status, GaveUp: l.gaveUp}, relaytest.WithoutTimes(c))
			assert.False(t, c.End.Before(c.Start))
		})
	}
}

// net/http retries a GET on a reused connection, but not a POST. The relay must not hide this behavior of the
// client.
func TestNetHTTPWithLostReply(t *testing.T) {
	for _, method := range []string{"GET", "POST"} {
		t.Run(method, func(t *testing.T) {
			s := relaytest.StartShop(t)
			f := relaytest.OpenLink(t, s.Addr, message.Config{})
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport, Timeout: relaytest.Patience}
			do := func(path string) (int, error) {
				req, err := http.NewRequest(method, "http://"+f.Addr+path, http.NoBody)
				require.NoError(t, err)
				res, err := client.Do(req)
				if err != nil {
					return 0, err
				}
				defer res.Body.Close()
				_, err = io.Copy(io.Discard, res.Body)
				return res.StatusCode, err
			}
			_, err := do("/warm")
			require.NoError(t, err)
			f.AddRule(t, message.Rule{Action: message.LoseReply, First: 1, Match: message.Match{Path: "/charge"}})
			status, err := do("/charge")
			if method == "GET" {
				require.NoError(t, err)
				assert.Equal(t, 200, status)
				assert.EqualValues(t, 3, s.Done.Load())
			} else {
				require.Error(t, err)
				assert.EqualValues(t, 2, s.Done.Load())
			}
		})
	}
}

// Under load with mixed faults, the relay itself loses nothing.
func TestAccountsAddUpUnderMixedFaults(t *testing.T) {
	s := relaytest.StartShop(t)
	f := relaytest.OpenLink(t, s.Addr, message.Config{})
	rules := []message.Rule{
		{Action: message.Delay, By: time.Millisecond, Jitter: time.Millisecond, Share: .3},
		{Action: message.LoseRequest, Share: .05, EndWith: message.EndReset},
		{Action: message.LoseRequest, Share: .05, EndWith: message.EndClosed},
		{Action: message.LoseReply, Share: .05, EndWith: message.EndReset},
		{Action: message.LoseReply, Share: .05, EndWith: message.EndClosed},
		{Action: message.Answer, Status: 503, Share: .1},
		{Action: message.Twice, Share: .1},
		{Action: message.Twice, Share: .1, Second: true},
		{Action: message.Twice, Share: .1, Late: 5 * time.Millisecond},
		{Action: message.Reorder, Share: .1, Wait: 20 * time.Millisecond},
	}
	var counts []*evidence.Counter
	for i, r := range rules {
		r.ID, r.Seed = fmt.Sprintf("fault-%d", i), 7
		c, _ := f.AddRule(t, r)
		counts = append(counts, c)
	}
	sendLoad(t, f.Addr, 8, 60)
	toServer, toClient := f.CheckAccounts(t)
	var answered int64
	for i, c := range counts {
		assert.Positive(t, c.Tally().Affected, rules[i].Action)
		if rules[i].Action == message.Twice {
			answered += c.Tally().Affected
		}
	}
	assert.EqualValues(t, 480, toServer.Received)
	assert.Equal(t, answered, toServer.Copies)
	assert.Equal(t, answered, toClient.Discarded)
	assert.Equal(t, s.Done.Load(), toServer.Delivered)
	assert.Equal(t, counts[1].Tally().Affected+counts[2].Tally().Affected+counts[5].Tally().Affected, toServer.Dropped)
	assert.Equal(t, counts[3].Tally().Affected+counts[4].Tally().Affected, toClient.HeldBack)
	assert.Equal(t, counts[5].Tally().Affected, toClient.Injected)
	relaytest.WaitUntil(t, "all calls are told", func() bool { return len(f.FinishedCalls()) == 480 })
}

// sendLoad sends POST requests from a number of clients, each on a persistent connection.
func sendLoad(t *testing.T, addr string, clients, each int) {
	t.Helper()
	var all sync.WaitGroup
	for c := range clients {
		all.Go(func() {
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport, Timeout: relaytest.Patience}
			for i := range each {
				res, err := client.Post(fmt.Sprintf("http://%s/orders/%d", addr, c*each+i), "", strings.NewReader("x"))
				if err == nil {
					_, _ = io.Copy(io.Discard, res.Body)
					_ = res.Body.Close()
				}
			}
		})
	}
	all.Wait()
}

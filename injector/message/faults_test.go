package message

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
)

var charge = Match{Method: "POST", Path: "/charge"}

// outcome is what a raw client sees of its request, and what the upstream executes.
type outcome struct {
	answer   string // the last line received, or ""
	how      string // how the connection ended
	executed int
}

func withMatch(r Rule) Rule {
	r.Match = charge
	return r
}

// plain returns a tally without times and operations.
func plain(c *evidence.Counter) evidence.Tally {
	tally := c.Tally()
	tally.First, tally.Last = time.Time{}, time.Time{}
	tally.Ops, tally.Skipped = nil, nil
	return tally
}

func TestSilenceDropsLaterMessagesAndOutlastsHealing(t *testing.T) {
	s := startShop(t)
	f := openLink(t, s.addr, Config{})
	_, heal := f.addRule(t, Rule{Action: LoseRequest, EndWith: EndSilence, Match: charge})
	p := connect(t, f.addr)
	p.send(post("/charge", "x"), false)
	waitUntil(t, "it is lost", func() bool { return len(f.recorded(evidence.Applied)) == 1 })
	p.send(post("/other", strings.Repeat("x", 1<<20)), false) // larger than all buffers: it must be discarded
	heal()
	_, how := p.readToEnd(quiet)
	assert.Equal(t, "silence", how)
	assert.Zero(t, s.done.Load())
	fresh := connect(t, f.addr)
	fresh.send(post("/charge", "x"), false)
	assert.Contains(t, fresh.readReply(), "1 /charge")
}

// The reply is lost after the work was done, even if the caller does not wait for it.
func TestLostReplyIsReadToEndAfterCallerDisconnects(t *testing.T) {
	s := startScript(t)
	f := openLink(t, s.addr, Config{})
	count, _ := f.addRule(t, Rule{Action: LoseReply})
	client := connect(t, f.addr)
	server := s.accept(t)
	client.send(post("/charge", "x"), false)
	server.expect(post("/charge", "x"))
	client.reset()
	_, how := server.readToEnd(quiet)
	require.Equal(t, "silence", how, "the caller's end must not end the work")
	assert.Zero(t, count.Tally().Affected, "the work is not done yet")
	server.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndo", false)
	_, how = server.readToEnd(quiet)
	require.Equal(t, "silence", how)
	assert.Zero(t, count.Tally().Affected, "half an answer is no work done")
	server.send("ne", false)
	waitUntil(t, "the loss is counted", func() bool { return count.Tally().Affected == 1 })
	waitUntil(t, "the call is told", func() bool { return len(f.finishedCalls()) == 1 })
	assert.True(t, f.finishedCalls()[0].GaveUp)
}

func TestMissingReplyIsNotCountedAsLost(t *testing.T) {
	s := startScript(t)
	f := openLink(t, s.addr, Config{})
	count, _ := f.addRule(t, Rule{Action: LoseReply, EndWith: EndClosed})
	client := connect(t, f.addr)
	server := s.accept(t)
	client.send(post("/charge", "x"), false)
	server.expect(post("/charge", "x"))
	server.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndo", false)
	server.reset()
	_, how := client.readToEnd(patience)
	assert.Equal(t, "reset", how, "the upstream's own failure shows as what it was")
	waitUntil(t, "the call is told", func() bool { return len(f.finishedCalls()) == 1 })
	assert.Zero(t, count.Tally().Affected)
	assert.Empty(t, f.recorded(evidence.Applied))
}

func TestAnswerWithStatus(t *testing.T) {
	s := startShop(t)
	f := openLink(t, s.addr, Config{})
	count, heal := f.addRule(t, Rule{Action: Answer, Status: 503, RetryAfter: 1500 * time.Millisecond, Match: charge})
	p := connect(t, f.addr)
	for range 2 {
		p.send(post("/charge", strings.Repeat("x", 3<<20)), false) // its body must be discarded
		answer := p.readReply()
		assert.True(t, strings.HasPrefix(answer, "HTTP/1.1 503 Service Unavailable\r\n"), answer)
		assert.Contains(t, answer, "\r\nRetry-After: 2\r\n")
	}
	p.send(request("GET", "/other"), false)
	assert.Contains(t, p.readReply(), "1 /other")
	p.send("POST /charge HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n", false)
	assert.Contains(t, p.readReply(), "503")
	assert.Equal(t, evidence.Tally{Unit: "calls", Seen: 3, Affected: 3}, plain(count))
	heal()
	fresh := connect(t, f.addr)
	fresh.send(post("/charge", "x"), false)
	assert.Contains(t, fresh.readReply(), "2 /charge")
	waitUntil(t, "all calls are told", func() bool { return len(f.finishedCalls()) == 5 })
	assert.Equal(t, Call{Op: "POST /charge", Status: 503, Affected: true}, withoutTimes(f.finishedCalls()[0]))
	assert.Equal(t, Call{Op: "GET /other", Status: 200}, withoutTimes(f.finishedCalls()[2]))
}

func withoutTimes(c Call) Call {
	c.Start, c.Sent, c.End = time.Time{}, time.Time{}, time.Time{}
	return c
}

// Answers are sent in the order of their requests, even between answers of the upstream.
func TestInjectedAnswerKeepsPipelineOrder(t *testing.T) {
	s := startShop(t)
	f := openLink(t, s.addr, Config{})
	f.addRule(t, Rule{Action: Answer, Status: 429, Match: charge})
	p := connect(t, f.addr)
	p.send(request("GET", "/a")+post("/charge", "x")+request("GET", "/b")+request("HEAD", "/c")+post("/charge", "")+request("GET", "/d"), false)
	assert.Contains(t, p.readReply(), "1 /a")
	assert.Contains(t, p.readReply(), "HTTP/1.1 429 Too Many Requests")
	assert.Contains(t, p.readReply(), "2 /b")
	_ = p.CloseWrite()
	rest, _ := p.readToEnd(patience)
	assert.Less(t, strings.Index(rest, "Content-Length: 4"), strings.Index(rest, "429"))
	assert.True(t, strings.HasSuffix(rest, "4 /d"), rest)
}

func TestDeliveredTwice(t *testing.T) {
	for _, second := range []bool{false, true} {
		t.Run(fmt.Sprintf("second=%v", second), func(t *testing.T) {
			s := startShop(t)
			f := openLink(t, s.addr, Config{})
			count, heal := f.addRule(t, Rule{Action: Twice, Second: second, Match: Match{Path: "/once"}})
			p := connect(t, f.addr)
			p.send("POST /once HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k1\r\nContent-Length: 3\r\n\r\nabc", false)
			answer, other := p.readReply(), "status 200, 7 bytes"
			if !second && strings.Contains(answer, "200 OK") { // both are in progress at the same time
				other = "status 409, 7 bytes"
			} else {
				assert.Contains(t, answer, "HTTP/1.1 409 Conflict")
			}
			toServer, toClient := f.checkAccounts(t)
			assert.EqualValues(t, 1, toServer.Copies)
			assert.EqualValues(t, 1, toClient.Discarded)
			assert.Equal(t, []string{"POST /once 3", "POST /once 3"}, s.executed())
			discarded := f.recorded(evidence.Discarded)
			require.Len(t, discarded, 1)
			assert.Equal(t, other, discarded[0].Detail)
			assert.Equal(t, "k1", discarded[0].Key)
			assert.Equal(t, "POST /once", discarded[0].Op)
			assert.Equal(t, evidence.Tally{Unit: "calls", Seen: 1, Affected: 1}, plain(count))
			heal()
			p.send(post("/once", "x"), false)
			p.readReply()
			assert.EqualValues(t, 3, s.done.Load())
		})
	}
}

func TestQuiesceWaitsForLateCopy(t *testing.T) {
	s := startShop(t)
	f := openLink(t, s.addr, Config{})
	count, _ := f.addRule(t, Rule{Action: Twice, Late: 3 * quiet, Match: Match{Path: "/once"}})
	p := connect(t, f.addr)
	p.send(post("/once", "x"), false)
	assert.Contains(t, p.readReply(), "200 OK")
	assert.EqualValues(t, 1, s.done.Load(), "the copy leaves later")
	p.reset()
	f.checkAccounts(t)
	assert.EqualValues(t, 2, s.done.Load())
	require.Len(t, f.recorded(evidence.Discarded), 1)
	assert.Equal(t, "status 409, 7 bytes", f.recorded(evidence.Discarded)[0].Detail)
	assert.EqualValues(t, 1, count.Tally().Affected)
}

func TestChunkedRequestDeliveredTwice(t *testing.T) {
	s := startShop(t)
	f := openLink(t, s.addr, Config{})
	f.addRule(t, Rule{Action: Twice, Second: true})
	p := connect(t, f.addr)
	p.send("POST /once HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3\r\nyou\r\n0\r\n\r\n", true)
	assert.Contains(t, p.readReply(), "409")
	assert.Equal(t, []string{"POST /once 8", "POST /once 8"}, s.executed())
}

func TestLargeMessagesAreSkippedAndPass(t *testing.T) {
	bodies := map[string]string{
		"sized":   "Content-Length: 5000\r\n\r\n" + strings.Repeat("x", 5000),
		"chunked": "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("3e8\r\n"+strings.Repeat("x", 1000)+"\r\n", 5) + "0\r\n\r\n",
	}
	for name, body := range bodies {
		for _, single := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/single=%v", name, single), func(t *testing.T) {
				s := startShop(t)
				f := openLink(t, s.addr, Config{Whole: 1024})
				count, _ := f.addRule(t, Rule{Action: Twice, Match: Match{Method: "POST"}})
				p := connect(t, f.addr)
				p.send("POST /large-one HTTP/1.1\r\nHost: x\r\n"+body, single)
				assert.Contains(t, p.readReply(), "1 /large-one")
				p.send(request("GET", "/after"), false)
				assert.Contains(t, p.readReply(), "2 /after")
				assert.Equal(t, []string{"POST /large-one 5000", "GET /after 0"}, s.executed())
				assert.Equal(t, evidence.Tally{Unit: "calls", Seen: 1}, plain(count))
				skipped := f.recorded(evidence.Skipped)
				require.Len(t, skipped, 1)
				assert.Contains(t, skipped[0].Detail, "too large")
				assert.Contains(t, f.finishedCalls()[0].Skipped, "too large")
			})
		}
	}
}

func TestDelayedAndHealed(t *testing.T) {
	s := startShop(t)
	f := openLink(t, s.addr, Config{})
	count, heal := f.addRule(t, Rule{Action: Delay, By: 2 * quiet, Jitter: quiet / 2, Match: charge})
	p := connect(t, f.addr)
	began := time.Now()
	p.send(request("GET", "/quick"), false)
	p.readReply()
	p.send(post("/charge", "x"), false)
	p.readReply()
	assert.GreaterOrEqual(t, time.Since(began), 3*quiet/2)
	tally := count.Tally()
	assert.Equal(t, []int64{1, 1, 1}, []int64{tally.Seen, tally.Affected, tally.Delayed})
	assert.GreaterOrEqual(t, tally.DelayP50, 3*quiet/2-quiet/100, "as measured")
	assert.Equal(t, tally.DelayP50, tally.Worst)
	heal()
	// An indefinite delay ends on healing.
	count, heal = f.addRule(t, Rule{ID: "fault-2", Action: Delay, By: time.Hour})
	p.send(post("/charge", "x"), false)
	waitUntil(t, "it waits", func() bool { return count.Tally().Seen == 1 })
	_, how := p.readToEnd(quiet)
	require.Equal(t, "silence", how)
	heal()
	assert.Contains(t, p.readReply(), "/charge")
	assert.Less(t, count.Tally().Worst, time.Hour/2, "what it was kept for, not what was asked for")
	assert.Positive(t, count.Tally().Worst)
}

func TestDelayCombinesWithLoss(t *testing.T) {
	s := startShop(t)
	f := openLink(t, s.addr, Config{})
	late, _ := f.addRule(t, Rule{ID: "fault-1", Action: Delay, By: quiet})
	lost, _ := f.addRule(t, Rule{ID: "fault-2", Action: LoseReply})
	none, _ := f.addRule(t, Rule{ID: "fault-3", Action: Answer, Status: 500})
	p := connect(t, f.addr)
	began := time.Now()
	p.send(post("/charge", "x"), false)
	_, how := p.readToEnd(patience)
	assert.Equal(t, "reset", how)
	assert.GreaterOrEqual(t, time.Since(began), quiet)
	assert.EqualValues(t, 1, s.done.Load())
	assert.EqualValues(t, 1, late.Tally().Affected)
	assert.EqualValues(t, 1, lost.Tally().Affected)
	assert.Zero(t, none.Tally().Affected)
}

func TestReorderedBehindAnother(t *testing.T) {
	s := startScript(t)
	f := openLink(t, s.addr, Config{})
	count, _ := f.addRule(t, Rule{Action: Reorder, Wait: patience, First: 1, Match: charge})
	a := connect(t, f.addr)
	serverA := s.accept(t)
	b := connect(t, f.addr)
	serverB := s.accept(t)
	a.send(post("/charge", "first"), false)
	waitUntil(t, "it is held", func() bool { return len(f.recorded(evidence.Held)) == 1 })
	exchange(b, serverB, messages(">"+request("GET", "/unrelated"), "<"+ok), false)
	_, how := serverA.readToEnd(quiet)
	require.Equal(t, "silence", how, "what the rule does not match frees nothing")
	exchange(b, serverB, messages(">"+post("/charge", "second"), "<"+ok), false)
	serverA.expect(post("/charge", "first"))
	exchange(a, serverA, messages("<"+ok, ">"+post("/charge", "third"), "<"+ok), false)
	assert.Equal(t, evidence.Tally{Unit: "calls", Seen: 3, Affected: 1}, plain(count))
	assert.Empty(t, f.recorded(evidence.Expired))
}

func TestExpiredReorderIsDelay(t *testing.T) {
	s := startShop(t)
	f := openLink(t, s.addr, Config{})
	count, _ := f.addRule(t, Rule{Action: Reorder, Wait: quiet})
	p := connect(t, f.addr)
	p.send(post("/charge", "a"), false)
	assert.Contains(t, p.readReply(), "1 /charge")
	assert.Equal(t, evidence.Tally{Unit: "calls", Seen: 1}, plain(count))
	assert.Len(t, f.recorded(evidence.Expired), 1)
	assert.Empty(t, f.recorded(evidence.Applied))
}

// If every message is chosen, one is held and the others pass: messages are reordered rather than all delayed.
func TestReorderHoldsOneMessageAtATime(t *testing.T) {
	s := startShop(t)
	f := openLink(t, s.addr, Config{})
	count, heal := f.addRule(t, Rule{Action: Reorder, Wait: patience})
	var all sync.WaitGroup
	for range 8 {
		p := connect(t, f.addr)
		all.Go(func() {
			for range 5 {
				_, _ = p.write(post("/charge", "x"), false)
				if !assert.Contains(t, p.readReply(), "/charge") {
					return
				}
			}
		})
	}
	// For the last messages, no others may be left to pass them.
	waitUntil(t, "nearly all are answered", func() bool { return s.done.Load() >= 35 })
	heal()
	all.Wait()
	assert.Positive(t, count.Tally().Affected)
	assert.LessOrEqual(t, len(f.recorded(evidence.Expired)), 1)
}

// A rule that is healed after it chose a message but before it holds it records that it held nothing.
func TestHealedReorderHoldsNothing(t *testing.T) {
	f := openLink(t, startShop(t).addr, Config{})
	count, heal := f.addRule(t, Rule{Action: Reorder, Wait: patience})
	f.mu.Lock()
	chosen := f.rules[0]
	f.mu.Unlock()
	heal()
	x := &Exchange{msg: Message{op: "POST /charge"}}
	x.chosen.Store(chosen)
	assert.Nil(t, f.Reorder(x))
	assert.False(t, x.affected)
	assert.Equal(t, "the fault was healed before it was held", x.skipped)
	assert.Len(t, f.recorded(evidence.Skipped), 1)
	assert.Empty(t, f.recorded(evidence.Held))
	assert.Zero(t, count.Tally().Affected)
}

// A caller that disconnects before the answer has given up; one that half-closes still gets the answer.
func TestGivingUp(t *testing.T) {
	leave := map[string]struct {
		do     func(client, server peer)
		gaveUp bool
		status int
	}{
		"reset":                    {func(c, _ peer) { c.reset() }, true, 0},
		"closed":                   {func(c, _ peer) { _ = c.Close() }, true, 0},
		"half-closed, answered":    {func(c, s peer) { _ = c.CloseWrite(); s.readToEnd(quiet); s.send(ok, false); c.expect(ok) }, true, 200},
		"half-closed, no answer":   {func(c, s peer) { _ = c.CloseWrite(); s.readToEnd(patience); _ = s.Close() }, true, 0},
		"server closes":            {func(_, s peer) { _ = s.Close() }, false, 0},
		"answered and then closed": {func(c, s peer) { s.send(ok, false); c.expect(ok); _ = c.Close() }, false, 200},
	}
	for name, l := range leave {
		t.Run(name, func(t *testing.T) {
			s := startScript(t)
			f := openLink(t, s.addr, Config{})
			client := connect(t, f.addr)
			server := s.accept(t)
			client.send(post("/charge?x=1", "x"), false)
			server.expect(post("/charge?x=1", "x"))
			l.do(client, server)
			if name == "closed" {
				server.readToEnd(patience)
				_ = server.Close()
			}
			waitUntil(t, "the call is told", func() bool { return len(f.finishedCalls()) == 1 })
			c := f.finishedCalls()[0]
			assert.Equal(t, Call{Op: "POST /charge", Status: l.status, GaveUp: l.gaveUp}, withoutTimes(c))
			assert.False(t, c.End.Before(c.Start))
		})
	}
}

// net/http retries a GET on a reused connection, but not a POST. The relay must not hide this behavior of the
// client.
func TestNetHTTPWithLostReply(t *testing.T) {
	for _, method := range []string{"GET", "POST"} {
		t.Run(method, func(t *testing.T) {
			s := startShop(t)
			f := openLink(t, s.addr, Config{})
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport, Timeout: patience}
			do := func(path string) (int, error) {
				req, err := http.NewRequest(method, "http://"+f.addr+path, http.NoBody)
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
			f.addRule(t, Rule{Action: LoseReply, First: 1, Match: Match{Path: "/charge"}})
			status, err := do("/charge")
			if method == "GET" {
				require.NoError(t, err)
				assert.Equal(t, 200, status)
				assert.EqualValues(t, 3, s.done.Load())
			} else {
				require.Error(t, err)
				assert.EqualValues(t, 2, s.done.Load())
			}
		})
	}
}

// Under load with mixed faults, the relay itself loses nothing.
func TestAccountsAddUpUnderMixedFaults(t *testing.T) {
	s := startShop(t)
	f := openLink(t, s.addr, Config{})
	rules := []Rule{
		{Action: Delay, By: time.Millisecond, Jitter: time.Millisecond, Share: .3},
		{Action: LoseRequest, Share: .05, EndWith: EndReset},
		{Action: LoseRequest, Share: .05, EndWith: EndClosed},
		{Action: LoseReply, Share: .05, EndWith: EndReset},
		{Action: LoseReply, Share: .05, EndWith: EndClosed},
		{Action: Answer, Status: 503, Share: .1},
		{Action: Twice, Share: .1},
		{Action: Twice, Share: .1, Second: true},
		{Action: Twice, Share: .1, Late: 5 * time.Millisecond},
		{Action: Reorder, Share: .1, Wait: 20 * time.Millisecond},
	}
	var counts []*evidence.Counter
	for i, r := range rules {
		r.ID, r.Seed = fmt.Sprintf("fault-%d", i), 7
		c, _ := f.addRule(t, r)
		counts = append(counts, c)
	}
	sendLoad(t, f.addr, 8, 60)
	toServer, toClient := f.checkAccounts(t)
	var answered int64
	for i, c := range counts {
		assert.Positive(t, c.Tally().Affected, rules[i].Action)
		if rules[i].Action == Twice {
			answered += c.Tally().Affected
		}
	}
	assert.EqualValues(t, 480, toServer.Received)
	assert.Equal(t, answered, toServer.Copies)
	assert.Equal(t, answered, toClient.Discarded)
	assert.Equal(t, s.done.Load(), toServer.Delivered)
	assert.Equal(t, counts[1].Tally().Affected+counts[2].Tally().Affected+counts[5].Tally().Affected, toServer.Dropped)
	assert.Equal(t, counts[3].Tally().Affected+counts[4].Tally().Affected, toClient.HeldBack)
	assert.Equal(t, counts[5].Tally().Affected, toClient.Injected)
	waitUntil(t, "all calls are told", func() bool { return len(f.finishedCalls()) == 480 })
}

// sendLoad sends POST requests from a number of clients, each on a persistent connection.
func sendLoad(t *testing.T, addr string, clients, each int) {
	t.Helper()
	var all sync.WaitGroup
	for c := range clients {
		all.Go(func() {
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport, Timeout: patience}
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

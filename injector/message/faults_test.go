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

// outcome is what a raw client sees of its request, and the upstream executes.
type outcome struct {
	answer   string // the last line of what came, "" for nothing
	how      string // how the connection ended
	executed int
}

func withMatch(r Rule) Rule {
	r.Match = charge
	return r
}

// plain is a tally without times.
func plain(c *evidence.Counter) evidence.Tally {
	tally := c.Tally()
	tally.First, tally.Last = time.Time{}, time.Time{}
	return tally
}

func TestSilenceSwallowsWhatFollowsAndOutlivesTheHeal(t *testing.T) {
	s := trade(t)
	f := open(t, s.addr, Config{})
	_, heal := f.live(t, Rule{Do: LoseRequest, Then: ThenSilence, Match: charge})
	p := connect(t, f.addr)
	p.send(post("/charge", "x"), false)
	until(t, "it is lost", func() bool { return len(f.seen(evidence.Applied)) == 1 })
	p.send(post("/other", strings.Repeat("x", 1<<20)), false) // more than buffers take: it is read away
	heal()
	_, how := p.ends(quiet)
	assert.Equal(t, "silence", how)
	assert.Zero(t, s.done.Load())
	fresh := connect(t, f.addr)
	fresh.send(post("/charge", "x"), false)
	assert.Contains(t, fresh.reply(), "1 /charge")
}

// The reply is lost after the work was done, also when the caller does not wait for it.
func TestALostReplyIsReadToTheEndThoughTheCallerLeft(t *testing.T) {
	s := play(t)
	f := open(t, s.addr, Config{})
	count, _ := f.live(t, Rule{Do: LoseReply})
	client := connect(t, f.addr)
	server := s.next(t)
	client.send(post("/charge", "x"), false)
	server.expect(post("/charge", "x"))
	client.reset()
	_, how := server.ends(quiet)
	require.Equal(t, "silence", how, "the caller's end must not end the work")
	assert.Zero(t, count.Tally().Affected, "the work is not done yet")
	server.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndo", false)
	_, how = server.ends(quiet)
	require.Equal(t, "silence", how)
	assert.Zero(t, count.Tally().Affected, "half an answer is no work done")
	server.send("ne", false)
	until(t, "the loss is counted", func() bool { return count.Tally().Affected == 1 })
	until(t, "the call is told", func() bool { return len(f.over()) == 1 })
	assert.True(t, f.over()[0].GaveUp)
}

func TestAReplyThatNeverCameIsNotALostOne(t *testing.T) {
	s := play(t)
	f := open(t, s.addr, Config{})
	count, _ := f.live(t, Rule{Do: LoseReply, Then: ThenClosed})
	client := connect(t, f.addr)
	server := s.next(t)
	client.send(post("/charge", "x"), false)
	server.expect(post("/charge", "x"))
	server.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndo", false)
	server.reset()
	_, how := client.ends(patience)
	assert.Equal(t, "reset", how, "the upstream's own failure shows as what it was")
	until(t, "the call is told", func() bool { return len(f.over()) == 1 })
	assert.Zero(t, count.Tally().Affected)
	assert.Empty(t, f.seen(evidence.Applied))
}

func TestAnsweredWithAStatus(t *testing.T) {
	s := trade(t)
	f := open(t, s.addr, Config{})
	count, heal := f.live(t, Rule{Do: Answer, Status: 503, RetryAfter: 1500 * time.Millisecond, Match: charge})
	p := connect(t, f.addr)
	for range 2 {
		p.send(post("/charge", strings.Repeat("x", 3<<20)), false) // its body must be read away
		answer := p.reply()
		assert.True(t, strings.HasPrefix(answer, "HTTP/1.1 503 Service Unavailable\r\n"), answer)
		assert.Contains(t, answer, "\r\nRetry-After: 2\r\n")
	}
	p.send(request("GET", "/other"), false)
	assert.Contains(t, p.reply(), "1 /other")
	p.send("POST /charge HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n", false)
	assert.Contains(t, p.reply(), "503")
	assert.Equal(t, evidence.Tally{Unit: "calls", Seen: 3, Affected: 3}, plain(count))
	heal()
	fresh := connect(t, f.addr)
	fresh.send(post("/charge", "x"), false)
	assert.Contains(t, fresh.reply(), "2 /charge")
	until(t, "all calls are told", func() bool { return len(f.over()) == 5 })
	assert.Equal(t, Call{Op: "POST /charge", Status: 503, Affected: true}, timeless(f.over()[0]))
	assert.Equal(t, Call{Op: "GET /other", Status: 200}, timeless(f.over()[2]))
}

func timeless(c Call) Call {
	c.Start, c.End = time.Time{}, time.Time{}
	return c
}

// Answers stand in the order of their requests, also between those of the upstream.
func TestAnAnswerKeepsItsPlaceInThePipeline(t *testing.T) {
	s := trade(t)
	f := open(t, s.addr, Config{})
	f.live(t, Rule{Do: Answer, Status: 429, Match: charge})
	p := connect(t, f.addr)
	p.send(request("GET", "/a")+post("/charge", "x")+request("GET", "/b")+request("HEAD", "/c")+post("/charge", "")+request("GET", "/d"), false)
	assert.Contains(t, p.reply(), "1 /a")
	assert.Contains(t, p.reply(), "HTTP/1.1 429 Too Many Requests")
	assert.Contains(t, p.reply(), "2 /b")
	_ = p.CloseWrite()
	rest, _ := p.ends(patience)
	assert.Less(t, strings.Index(rest, "Content-Length: 4"), strings.Index(rest, "429"))
	assert.True(t, strings.HasSuffix(rest, "4 /d"), rest)
}

func TestDeliveredTwice(t *testing.T) {
	for _, second := range []bool{false, true} {
		t.Run(fmt.Sprintf("second=%v", second), func(t *testing.T) {
			s := trade(t)
			f := open(t, s.addr, Config{})
			count, heal := f.live(t, Rule{Do: Twice, Second: second, Match: Match{Path: "/once"}})
			p := connect(t, f.addr)
			p.send("POST /once HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k1\r\nContent-Length: 3\r\n\r\nabc", false)
			answer, other := p.reply(), "status 200, 7 bytes"
			if !second && strings.Contains(answer, "200 OK") { // both are under way at once
				other = "status 409, 7 bytes"
			} else {
				assert.Contains(t, answer, "HTTP/1.1 409 Conflict")
			}
			toServer, toClient := f.balanced(t)
			assert.EqualValues(t, 1, toServer.Copies)
			assert.EqualValues(t, 1, toClient.Swallowed)
			assert.Equal(t, []string{"POST /once 3", "POST /once 3"}, s.executed())
			swallowed := f.seen(evidence.Swallowed)
			require.Len(t, swallowed, 1)
			assert.Equal(t, other, swallowed[0].Detail)
			assert.Equal(t, "k1", swallowed[0].Key)
			assert.Equal(t, "POST /once", swallowed[0].Op)
			assert.Equal(t, evidence.Tally{Unit: "calls", Seen: 1, Affected: 1}, plain(count))
			heal()
			p.send(post("/once", "x"), false)
			p.reply()
			assert.EqualValues(t, 3, s.done.Load())
		})
	}
}

func TestALateCopyIsAwaitedByQuiesce(t *testing.T) {
	s := trade(t)
	f := open(t, s.addr, Config{})
	count, _ := f.live(t, Rule{Do: Twice, Late: 3 * quiet, Match: Match{Path: "/once"}})
	p := connect(t, f.addr)
	p.send(post("/once", "x"), false)
	assert.Contains(t, p.reply(), "200 OK")
	assert.EqualValues(t, 1, s.done.Load(), "the copy leaves later")
	p.reset()
	f.balanced(t)
	assert.EqualValues(t, 2, s.done.Load())
	require.Len(t, f.seen(evidence.Swallowed), 1)
	assert.Equal(t, "status 409, 7 bytes", f.seen(evidence.Swallowed)[0].Detail)
	assert.EqualValues(t, 1, count.Tally().Affected)
}

func TestAChunkedRequestIsDeliveredTwiceWhole(t *testing.T) {
	s := trade(t)
	f := open(t, s.addr, Config{})
	f.live(t, Rule{Do: Twice, Second: true})
	p := connect(t, f.addr)
	p.send("POST /once HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3\r\nyou\r\n0\r\n\r\n", true)
	assert.Contains(t, p.reply(), "409")
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
				s := trade(t)
				f := open(t, s.addr, Config{Whole: 1024})
				count, _ := f.live(t, Rule{Do: Twice, Match: Match{Method: "POST"}})
				p := connect(t, f.addr)
				p.send("POST /large-one HTTP/1.1\r\nHost: x\r\n"+body, single)
				assert.Contains(t, p.reply(), "1 /large-one")
				p.send(request("GET", "/after"), false)
				assert.Contains(t, p.reply(), "2 /after")
				assert.Equal(t, []string{"POST /large-one 5000", "GET /after 0"}, s.executed())
				assert.Equal(t, evidence.Tally{Unit: "calls", Seen: 1}, plain(count))
				skipped := f.seen(evidence.Skipped)
				require.Len(t, skipped, 1)
				assert.Contains(t, skipped[0].Detail, "too large")
				assert.Contains(t, f.over()[0].Skipped, "too large")
			})
		}
	}
}

func TestDelayedAndHealed(t *testing.T) {
	s := trade(t)
	f := open(t, s.addr, Config{})
	count, heal := f.live(t, Rule{Do: Delay, By: 2 * quiet, Jitter: quiet / 2, Match: charge})
	p := connect(t, f.addr)
	began := time.Now()
	p.send(request("GET", "/quick"), false)
	p.reply()
	p.send(post("/charge", "x"), false)
	p.reply()
	assert.GreaterOrEqual(t, time.Since(began), 3*quiet/2)
	told := count.Tally()
	assert.Equal(t, []int64{1, 1, 1}, []int64{told.Seen, told.Affected, told.Delayed})
	assert.GreaterOrEqual(t, told.DelayP50, 3*quiet/2-quiet/100, "as measured")
	assert.Equal(t, told.DelayP50, told.Worst)
	heal()
	// A delay without end in sight ends with its heal.
	count, heal = f.live(t, Rule{ID: "fault-2", Do: Delay, By: time.Hour})
	p.send(post("/charge", "x"), false)
	until(t, "it waits", func() bool { return count.Tally().Seen == 1 })
	_, how := p.ends(quiet)
	require.Equal(t, "silence", how)
	heal()
	assert.Contains(t, p.reply(), "/charge")
	assert.Less(t, count.Tally().Worst, time.Hour/2, "what it was kept for, not what was asked for")
	assert.Positive(t, count.Tally().Worst)
}

func TestADelayComposesWithALoss(t *testing.T) {
	s := trade(t)
	f := open(t, s.addr, Config{})
	late, _ := f.live(t, Rule{ID: "fault-1", Do: Delay, By: quiet})
	lost, _ := f.live(t, Rule{ID: "fault-2", Do: LoseReply})
	none, _ := f.live(t, Rule{ID: "fault-3", Do: Answer, Status: 500})
	p := connect(t, f.addr)
	began := time.Now()
	p.send(post("/charge", "x"), false)
	_, how := p.ends(patience)
	assert.Equal(t, "reset", how)
	assert.GreaterOrEqual(t, time.Since(began), quiet)
	assert.EqualValues(t, 1, s.done.Load())
	assert.EqualValues(t, 1, late.Tally().Affected)
	assert.EqualValues(t, 1, lost.Tally().Affected)
	assert.Zero(t, none.Tally().Affected)
}

func TestReorderedBehindAnother(t *testing.T) {
	s := play(t)
	f := open(t, s.addr, Config{})
	count, _ := f.live(t, Rule{Do: Reorder, Wait: patience, First: 1, Match: charge})
	a := connect(t, f.addr)
	serverA := s.next(t)
	b := connect(t, f.addr)
	serverB := s.next(t)
	a.send(post("/charge", "first"), false)
	until(t, "it is held", func() bool { return len(f.seen(evidence.Held)) == 1 })
	talk(b, serverB, say(">"+request("GET", "/unrelated"), "<"+ok), false)
	_, how := serverA.ends(quiet)
	require.Equal(t, "silence", how, "what the rule does not match frees nothing")
	talk(b, serverB, say(">"+post("/charge", "second"), "<"+ok), false)
	serverA.expect(post("/charge", "first"))
	talk(a, serverA, say("<"+ok, ">"+post("/charge", "third"), "<"+ok), false)
	assert.Equal(t, evidence.Tally{Unit: "calls", Seen: 3, Affected: 1}, plain(count))
	assert.Empty(t, f.seen(evidence.Expired))
}

func TestAReorderThatExpiresIsADelay(t *testing.T) {
	s := trade(t)
	f := open(t, s.addr, Config{})
	count, _ := f.live(t, Rule{Do: Reorder, Wait: quiet})
	p := connect(t, f.addr)
	p.send(post("/charge", "a"), false)
	assert.Contains(t, p.reply(), "1 /charge")
	assert.Equal(t, evidence.Tally{Unit: "calls", Seen: 1}, plain(count))
	assert.Len(t, f.seen(evidence.Expired), 1)
	assert.Empty(t, f.seen(evidence.Applied))
}

// With everybody chosen, one is held and the others pass: real reorders and not delays of all.
func TestReorderHoldsOneAtATime(t *testing.T) {
	s := trade(t)
	f := open(t, s.addr, Config{})
	count, heal := f.live(t, Rule{Do: Reorder, Wait: patience})
	var all sync.WaitGroup
	for range 8 {
		p := connect(t, f.addr)
		all.Go(func() {
			for range 5 {
				_, _ = p.write(post("/charge", "x"), false)
				if !assert.Contains(t, p.reply(), "/charge") {
					return
				}
			}
		})
	}
	// The last ones may find nobody left to pass them.
	until(t, "nearly all are answered", func() bool { return s.done.Load() >= 35 })
	heal()
	all.Wait()
	assert.Positive(t, count.Tally().Affected)
	assert.LessOrEqual(t, len(f.seen(evidence.Expired)), 1)
}

// A rule that is healed between its choice and the holding holds nothing, and says so.
func TestAHealedReorderHoldsNothing(t *testing.T) {
	f := open(t, trade(t).addr, Config{})
	count, heal := f.live(t, Rule{Do: Reorder, Wait: patience})
	f.mu.Lock()
	chosen := f.rules[0]
	f.mu.Unlock()
	heal()
	skipped, touched := f.reorder(t.Context(), chosen, message{op: "POST /charge"})
	assert.False(t, touched)
	assert.Equal(t, "the fault was healed before it was held", skipped)
	assert.Len(t, f.seen(evidence.Skipped), 1)
	assert.Empty(t, f.seen(evidence.Held))
	assert.Zero(t, count.Tally().Affected)
}

// A caller who leaves while an answer is owed has given up; one who closes only its half still gets it.
func TestGivingUp(t *testing.T) {
	leave := map[string]struct {
		do     func(client, server peer)
		gaveUp bool
		status int
	}{
		"reset":                    {func(c, _ peer) { c.reset() }, true, 0},
		"closed":                   {func(c, _ peer) { _ = c.Close() }, true, 0},
		"half-closed, answered":    {func(c, s peer) { _ = c.CloseWrite(); s.ends(quiet); s.send(ok, false); c.expect(ok) }, true, 200},
		"half-closed, no answer":   {func(c, s peer) { _ = c.CloseWrite(); s.ends(patience); _ = s.Close() }, true, 0},
		"server closes":            {func(_, s peer) { _ = s.Close() }, false, 0},
		"answered and then closed": {func(c, s peer) { s.send(ok, false); c.expect(ok); _ = c.Close() }, false, 200},
	}
	for name, l := range leave {
		t.Run(name, func(t *testing.T) {
			s := play(t)
			f := open(t, s.addr, Config{})
			client := connect(t, f.addr)
			server := s.next(t)
			client.send(post("/charge?x=1", "x"), false)
			server.expect(post("/charge?x=1", "x"))
			l.do(client, server)
			if name == "closed" {
				server.ends(patience)
				_ = server.Close()
			}
			until(t, "the call is told", func() bool { return len(f.over()) == 1 })
			c := f.over()[0]
			assert.Equal(t, Call{Op: "POST /charge", Status: l.status, GaveUp: l.gaveUp}, timeless(c))
			assert.False(t, c.End.Before(c.Start))
		})
	}
}

// net/http repeats a GET on a connection in use, and does not repeat a POST: a finding about the client, which the relay must not hide.
func TestHowNetHTTPMeetsALostReply(t *testing.T) {
	for _, method := range []string{"GET", "POST"} {
		t.Run(method, func(t *testing.T) {
			s := trade(t)
			f := open(t, s.addr, Config{})
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
			f.live(t, Rule{Do: LoseReply, First: 1, Match: Match{Path: "/charge"}})
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

// Mixed faults under load: nothing is lost by the relay itself.
func TestTheBooksBalanceUnderMixedFaults(t *testing.T) {
	s := trade(t)
	f := open(t, s.addr, Config{})
	rules := []Rule{
		{Do: Delay, By: time.Millisecond, Jitter: time.Millisecond, Share: .3},
		{Do: LoseRequest, Share: .05, Then: ThenReset},
		{Do: LoseRequest, Share: .05, Then: ThenClosed},
		{Do: LoseReply, Share: .05, Then: ThenReset},
		{Do: LoseReply, Share: .05, Then: ThenClosed},
		{Do: Answer, Status: 503, Share: .1},
		{Do: Twice, Share: .1},
		{Do: Twice, Share: .1, Second: true},
		{Do: Twice, Share: .1, Late: 5 * time.Millisecond},
		{Do: Reorder, Share: .1, Wait: 20 * time.Millisecond},
	}
	var counts []*evidence.Counter
	for i, r := range rules {
		r.ID, r.Seed = fmt.Sprintf("fault-%d", i), 7
		c, _ := f.live(t, r)
		counts = append(counts, c)
	}
	load(t, f.addr, 8, 60)
	toServer, toClient := f.balanced(t)
	var answered int64
	for i, c := range counts {
		assert.Positive(t, c.Tally().Affected, rules[i].Do)
		if rules[i].Do == Twice {
			answered += c.Tally().Affected
		}
	}
	assert.EqualValues(t, 480, toServer.In)
	assert.Equal(t, answered, toServer.Copies)
	assert.Equal(t, answered, toClient.Swallowed)
	assert.Equal(t, s.done.Load(), toServer.Out)
	assert.Equal(t, counts[1].Tally().Affected+counts[2].Tally().Affected+counts[5].Tally().Affected, toServer.Dropped)
	assert.Equal(t, counts[3].Tally().Affected+counts[4].Tally().Affected, toClient.Withheld)
	assert.Equal(t, counts[5].Tally().Affected, toClient.Injected)
	until(t, "all calls are told", func() bool { return len(f.over()) == 480 })
}

// load sends POSTs from so many clients, each on a connection as long as it lives.
func load(t *testing.T, addr string, clients, each int) {
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

package message

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/link"
)

// Clients pipeline, pause, half-close and reset under all faults at once: nothing hangs, nothing leaks, the
// accounts add up.
func TestMisbehavingClientsUnderEveryFault(t *testing.T) {
	s := startShop(t)
	f := openLink(t, s.addr, Config{Whole: 4 << 10})
	var heals []func()
	for i, r := range []Rule{
		{Action: Delay, By: 2 * time.Millisecond, Jitter: 2 * time.Millisecond, Share: .2},
		{Action: LoseRequest, Share: .03}, {Action: LoseRequest, Share: .03, EndWith: EndClosed}, {Action: LoseRequest, Share: .03, EndWith: EndSilence}, {Action: LoseRequest, Share: .03, EndWith: EndHeld},
		{Action: LoseReply, Share: .03}, {Action: LoseReply, Share: .03, EndWith: EndClosed}, {Action: LoseReply, Share: .03, EndWith: EndSilence}, {Action: LoseReply, Share: .03, EndWith: EndHeld},
		{Action: Answer, Status: 503, Share: .1}, {Action: Twice, Share: .1}, {Action: Twice, Second: true, Share: .1}, {Action: Twice, Late: time.Millisecond, Share: .1},
		{Action: Reorder, Wait: 5 * time.Millisecond, Share: .1},
	} {
		r.ID, r.Seed = fmt.Sprint("fault-", i), 5
		_, heal := f.addRule(t, r)
		heals = append(heals, heal)
	}
	var all sync.WaitGroup
	for c := range 6 {
		random := rand.New(rand.NewPCG(11, uint64(c))) //nolint:gosec // a test's choices
		all.Go(func() {
			for range 25 {
				c, err := net.Dial("tcp", f.addr)
				if assert.NoError(t, err) {
					misbehave(peer{c.(*net.TCPConn), t}, random)
				}
			}
		})
	}
	all.Wait()
	for _, heal := range heals {
		heal()
	}
	f.checkAccounts(t)
	for _, stage := range []evidence.Stage{evidence.Held, evidence.Applied, evidence.Discarded, evidence.Released, evidence.Skipped, evidence.Collateral} {
		assert.NotEmpty(t, f.recorded(stage), stage)
	}
}

// misbehave sends a few requests ahead of their answers and disconnects in one way or another.
func misbehave(p peer, random *rand.Rand) {
	defer p.Close()
	var text strings.Builder
	for range 1 + random.IntN(6) {
		switch random.IntN(5) {
		case 0:
			text.WriteString(request("GET", "/a"))
		case 1:
			text.WriteString(post("/charge", strings.Repeat("x", random.IntN(8<<10))))
		case 2:
			text.WriteString("POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
		case 3:
			text.WriteString(request("HEAD", "/h"))
		case 4:
			text.WriteString(request("GET", "/large"))
		}
	}
	_, _ = p.write(text.String(), false)
	_ = p.SetReadDeadline(time.Now().Add(time.Duration(random.IntN(30)) * time.Millisecond))
	_, _ = io.CopyN(io.Discard, p, int64(random.IntN(4<<10)))
	switch random.IntN(3) {
	case 0:
		p.reset()
	case 1:
		_ = p.CloseWrite()
		_, _ = io.Copy(io.Discard, p)
	}
}

// A held request is sent on healing even if its caller has disconnected, as one in transit would be.
func TestHeldRequestOutlivesCaller(t *testing.T) {
	s := startShop(t)
	f := openLink(t, s.addr, Config{})
	_, heal := f.addRule(t, Rule{Action: LoseRequest, EndWith: EndHeld})
	p := connect(t, f.addr)
	p.send(post("/charge", "x"), false)
	waitUntil(t, "it is held", func() bool { return len(f.recorded(evidence.Held)) == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), quiet)
	defer cancel()
	toServer, _, err := f.Quiesce(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.Contains(t, err.Error(), `quiesce link "orders -> payments": 1 message under way`)
	assert.EqualValues(t, 1, toServer.Pending)
	_ = p.CloseWrite()
	heal()
	rest, _ := p.readToEnd(patience)
	assert.Contains(t, rest, "1 /charge")
	waitUntil(t, "the call is told", func() bool { return len(f.finishedCalls()) == 1 })
	assert.True(t, f.finishedCalls()[0].GaveUp)
}

// Pipelined requests behind a lost one are lost with the connection.
func TestLostReplyEndsLaterPipelinedRequests(t *testing.T) {
	s := startScript(t)
	f := openLink(t, s.addr, Config{})
	f.addRule(t, Rule{Action: LoseReply, Match: charge})
	client := connect(t, f.addr)
	server := s.accept(t)
	exchange(client, server, messages(">"+request("GET", "/a")+post("/charge", "x")+request("GET", "/b"), "<"+ok), false)
	server.send(ok+ok, false)
	rest, how := client.readToEnd(patience)
	assert.Equal(t, "reset", how)
	assert.Empty(t, rest)
	waitUntil(t, "all calls are told", func() bool { return len(f.finishedCalls()) == 3 })
	require.Len(t, f.recorded(evidence.Collateral), 1)
	assert.Equal(t, "GET /b", f.recorded(evidence.Collateral)[0].Op)
	assert.Equal(t, Call{Op: "GET /b"}, withoutTimes(f.finishedCalls()[2]))
}

// A FIN remains a FIN, whatever the client sends afterwards.
func TestLossThenClosedDoesNotReset(t *testing.T) {
	for _, do := range []Action{LoseRequest, LoseReply} {
		s := startShop(t)
		f := openLink(t, s.addr, Config{})
		f.addRule(t, Rule{Action: do, EndWith: EndClosed, Match: charge})
		p := connect(t, f.addr)
		p.send(post("/charge", "x")+strings.Repeat(post("/charge", strings.Repeat("x", 32<<10)), 4), false)
		waitUntil(t, "it is lost", func() bool { return len(f.recorded(evidence.Applied)) == 1 })
		_, _ = p.write(post("/more", "x"), false)
		rest, how := p.readToEnd(patience)
		assert.Equal(t, "closed", how, do)
		assert.Empty(t, rest)
	}
}

// Input in another protocol contains no calls, even if it looks like one.
func TestRulesDoNotActOnOtherProtocols(t *testing.T) {
	s := startScript(t)
	f := openLink(t, s.addr, Config{})
	count, _ := f.addRule(t, Rule{Action: Answer, Status: 500, Match: Match{Path: "/inner"}})
	client := connect(t, f.addr)
	server := s.accept(t)
	exchange(client, server, messages(">GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n", "<HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\n",
		">"+request("GET", "/inner"), "<"+ok), false)
	closeBoth(client, server)
	assert.Zero(t, count.Tally().Seen)
	waitUntil(t, "the upgrade is told", func() bool { return len(f.finishedCalls()) == 1 })
	assert.Equal(t, Call{Op: "GET /a", Status: 101}, withoutTimes(f.finishedCalls()[0]))
}

// An upgrade request is an ordinary call until the upgrade succeeds.
func TestRulesActOnUpgradeRequests(t *testing.T) {
	s := startShop(t)
	f := openLink(t, s.addr, Config{})
	f.addRule(t, Rule{Action: Answer, Status: 503, First: 1, Match: Match{Path: "/a"}})
	p := connect(t, f.addr)
	ask := request("GET", "/a", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n")
	p.send(ask, false)
	assert.Contains(t, p.readReply(), "503")
	p.send(ask, false)
	assert.Contains(t, p.readReply(), "1 /a")
	p.send(request("GET", "/b"), false)
	assert.Contains(t, p.readReply(), "2 /b")
	waitUntil(t, "all calls are told", func() bool { return len(f.finishedCalls()) == 3 })
	assert.Empty(t, f.finishedCalls()[2].Skipped)
}

// If an upstream resets a connection after its FIN, a client that still sends gets a reset too.
func TestUpstreamWriteFailsAfterItsEnd(t *testing.T) {
	client, server := connPair(t)
	require.NoError(t, server.CloseWrite())
	_, how := client.readToEnd(patience)
	require.Equal(t, "closed", how)
	server.reset()
	waitUntil(t, "the client is reset", func() bool {
		_, err := client.write(request("GET", "/a"), false)
		return err != nil
	})
}

func TestDeepPipeliningPassesUntouched(t *testing.T) {
	client, server := connPair(t)
	exchange(client, server, []line{{">", strings.Repeat(request("GET", "/a"), 2*maxPending)}, {"<", strings.Repeat(ok, 2*maxPending)}}, false)
	closeBoth(client, server)
}

// A rule that holds a request back does not prevent a client from sending its body after 100 Continue.
func TestDelayedExpectContinue(t *testing.T) {
	s := startScript(t)
	f := openLink(t, s.addr, Config{})
	count, _ := f.addRule(t, Rule{Action: Delay, By: quiet})
	twice, _ := f.addRule(t, Rule{ID: "fault-2", Action: Twice})
	client := connect(t, f.addr)
	server := s.accept(t)
	exchange(client, server, messages(">POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", "<HTTP/1.1 100 Continue\r\n\r\n", ">hello", "<"+ok), false)
	closeBoth(client, server)
	assert.EqualValues(t, 1, count.Tally().Affected)
	assert.Zero(t, twice.Tally().Affected)
	require.Len(t, f.recorded(evidence.Skipped), 1)
}

// If the copy cannot reach the upstream, the caller that was to get the second answer sees a lost connection.
func TestCopyWithoutUpstream(t *testing.T) {
	r, err := New("http", Config{})
	require.NoError(t, err)
	count := evidence.NewCounter("calls")
	_, err = r.Add(Rule{ID: "fault-1", Action: Twice, Second: true, Count: count})
	require.NoError(t, err)
	s := startShop(t)
	served := make(chan struct{})
	l := serveLink(t, s.addr, func(ctx context.Context, c link.Conn, dial Dial) {
		defer close(served)
		dials := 0
		r.Serve(ctx, c, func(ctx context.Context) (net.Conn, error) {
			if dials++; dials > 1 {
				return nil, errors.New("nobody there")
			}
			return dial(ctx)
		})
	})
	p := connect(t, l.Addr())
	p.send(post("/charge", "x"), false)
	rest, how := p.readToEnd(patience)
	assert.Equal(t, "reset", how)
	assert.Empty(t, rest)
	<-served
	assert.Zero(t, count.Tally().Affected)
	assert.EqualValues(t, 1, s.done.Load())
}

// Cancelling the context ends connections in every state, and Serve returns.
func TestContextEndsEveryConnection(t *testing.T) {
	for _, rule := range []Rule{
		{Action: Answer, Status: 500, Match: Match{Path: "/none"}}, {Action: Delay, By: time.Hour}, {Action: LoseRequest, EndWith: EndSilence}, {Action: LoseRequest, EndWith: EndHeld},
		{Action: LoseRequest, EndWith: EndClosed}, {Action: LoseReply, EndWith: EndSilence}, {Action: LoseReply, EndWith: EndHeld}, {Action: Reorder, Wait: time.Hour},
	} {
		t.Run(fmt.Sprint(rule.Action, " ", rule.EndWith), func(t *testing.T) {
			s := startShop(t)
			r, err := New("http", Config{})
			require.NoError(t, err)
			rule.ID, rule.Count = "fault-1", evidence.NewCounter("calls")
			_, err = r.Add(rule)
			require.NoError(t, err)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			served := make(chan struct{})
			l := serveLink(t, s.addr, func(_ context.Context, c link.Conn, dial Dial) {
				defer close(served)
				r.Serve(ctx, c, dial)
			})
			p := connect(t, l.Addr())
			p.send(post("/charge", "x"), false)
			p.readToEnd(quiet)
			cancel()
			select {
			case <-served:
			case <-time.After(patience):
				require.FailNow(t, "Serve did not return")
			}
			toServer, toClient, err := r.Quiesce(context.Background())
			require.NoError(t, err)
			for _, b := range []evidence.Accounts{toServer, toClient} {
				assert.Empty(t, b.Wrong())
			}
		})
	}
}

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

// Clients who pipeline, dawdle, half-close and reset, every fault at once: nothing hangs, nothing leaks, the books balance.
func TestUnrulyClientsAndEveryFault(t *testing.T) {
	s := trade(t)
	f := open(t, s.addr, Config{Whole: 4 << 10})
	var heals []func()
	for i, r := range []Rule{
		{Do: Delay, By: 2 * time.Millisecond, Jitter: 2 * time.Millisecond, Share: .2},
		{Do: LoseRequest, Share: .03}, {Do: LoseRequest, Share: .03, Then: ThenClosed}, {Do: LoseRequest, Share: .03, Then: ThenSilence}, {Do: LoseRequest, Share: .03, Then: ThenHeld},
		{Do: LoseReply, Share: .03}, {Do: LoseReply, Share: .03, Then: ThenClosed}, {Do: LoseReply, Share: .03, Then: ThenSilence}, {Do: LoseReply, Share: .03, Then: ThenHeld},
		{Do: Answer, Status: 503, Share: .1}, {Do: Twice, Share: .1}, {Do: Twice, Second: true, Share: .1}, {Do: Twice, Late: time.Millisecond, Share: .1},
		{Do: Reorder, Wait: 5 * time.Millisecond, Share: .1},
	} {
		r.ID, r.Seed = fmt.Sprint("fault-", i), 5
		_, heal := f.live(t, r)
		heals = append(heals, heal)
	}
	var all sync.WaitGroup
	for c := range 6 {
		random := rand.New(rand.NewPCG(11, uint64(c))) //nolint:gosec // a test's choices
		all.Go(func() {
			for range 25 {
				c, err := net.Dial("tcp", f.addr)
				if assert.NoError(t, err) {
					unruly(peer{c.(*net.TCPConn), t}, random)
				}
			}
		})
	}
	all.Wait()
	for _, heal := range heals {
		heal()
	}
	f.balanced(t)
	for _, stage := range []evidence.Stage{evidence.Held, evidence.Applied, evidence.Swallowed, evidence.Released, evidence.Skipped, evidence.Collateral} {
		assert.NotEmpty(t, f.seen(stage), stage)
	}
}

// unruly sends a few requests ahead of their answers and leaves in one way or another.
func unruly(p peer, random *rand.Rand) {
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

// A held request goes out on heal although its caller has left, as one that was under way would.
func TestAHeldRequestOutlivesItsCaller(t *testing.T) {
	s := trade(t)
	f := open(t, s.addr, Config{})
	_, heal := f.live(t, Rule{Do: LoseRequest, Then: ThenHeld})
	p := connect(t, f.addr)
	p.send(post("/charge", "x"), false)
	until(t, "it is held", func() bool { return len(f.seen(evidence.Held)) == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), quiet)
	defer cancel()
	toServer, _, err := f.Quiesce(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.Contains(t, err.Error(), `quiesce link "orders -> payments": 1 message under way`)
	assert.EqualValues(t, 1, toServer.Held)
	_ = p.CloseWrite()
	heal()
	rest, _ := p.ends(patience)
	assert.Contains(t, rest, "1 /charge")
	until(t, "the call is told", func() bool { return len(f.over()) == 1 })
	assert.True(t, f.over()[0].GaveUp)
}

// What stands behind a message on its connection falls with it.
func TestPipelinedRequestsFallWithTheLostReplyBeforeThem(t *testing.T) {
	s := play(t)
	f := open(t, s.addr, Config{})
	f.live(t, Rule{Do: LoseReply, Match: charge})
	client := connect(t, f.addr)
	server := s.next(t)
	talk(client, server, say(">"+request("GET", "/a")+post("/charge", "x")+request("GET", "/b"), "<"+ok), false)
	server.send(ok+ok, false)
	rest, how := client.ends(patience)
	assert.Equal(t, "reset", how)
	assert.Empty(t, rest)
	until(t, "all calls are told", func() bool { return len(f.over()) == 3 })
	require.Len(t, f.seen(evidence.Collateral), 1)
	assert.Equal(t, "GET /b", f.seen(evidence.Collateral)[0].Op)
	assert.Equal(t, Call{Op: "GET /b"}, timeless(f.over()[2]))
}

// A FIN stays a FIN, whatever the client has sent behind.
func TestALossThenClosedIsNoResetThoughMoreWasSent(t *testing.T) {
	for _, do := range []Do{LoseRequest, LoseReply} {
		s := trade(t)
		f := open(t, s.addr, Config{})
		f.live(t, Rule{Do: do, Then: ThenClosed, Match: charge})
		p := connect(t, f.addr)
		p.send(post("/charge", "x")+strings.Repeat(post("/charge", strings.Repeat("x", 32<<10)), 4), false)
		until(t, "it is lost", func() bool { return len(f.seen(evidence.Applied)) == 1 })
		_, _ = p.write(post("/more", "x"), false)
		rest, how := p.ends(patience)
		assert.Equal(t, "closed", how, do)
		assert.Empty(t, rest)
	}
}

// Within another protocol there are no calls, even where its bytes look like one.
func TestRulesKeepOutOfOtherProtocols(t *testing.T) {
	s := play(t)
	f := open(t, s.addr, Config{})
	count, _ := f.live(t, Rule{Do: Answer, Status: 500, Match: Match{Path: "/inner"}})
	client := connect(t, f.addr)
	server := s.next(t)
	talk(client, server, say(">GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n", "<HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\n",
		">"+request("GET", "/inner"), "<"+ok), false)
	part(client, server)
	assert.Zero(t, count.Tally().Seen)
	until(t, "the upgrade is told", func() bool { return len(f.over()) == 1 })
	assert.Equal(t, Call{Op: "GET /a", Status: 101}, timeless(f.over()[0]))
}

// A request that asks for another protocol is a call as any other, until it gets it.
func TestRulesMeetARequestForAnotherProtocol(t *testing.T) {
	s := trade(t)
	f := open(t, s.addr, Config{})
	f.live(t, Rule{Do: Answer, Status: 503, First: 1, Match: Match{Path: "/a"}})
	p := connect(t, f.addr)
	ask := request("GET", "/a", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n")
	p.send(ask, false)
	assert.Contains(t, p.reply(), "503")
	p.send(ask, false)
	assert.Contains(t, p.reply(), "1 /a")
	p.send(request("GET", "/b"), false)
	assert.Contains(t, p.reply(), "2 /b")
	until(t, "all calls are told", func() bool { return len(f.over()) == 3 })
	assert.Empty(t, f.over()[2].Skipped)
}

// An upstream that resets a connection after its FIN shows to a client who still speaks as a reset too.
func TestAnUpstreamThatIsLostAfterItsEnd(t *testing.T) {
	client, server := couple(t)
	require.NoError(t, server.CloseWrite())
	_, how := client.ends(patience)
	require.Equal(t, "closed", how)
	server.reset()
	until(t, "the client is reset", func() bool {
		_, err := client.write(request("GET", "/a"), false)
		return err != nil
	})
}

func TestAskingFarAheadGoesThroughUntouched(t *testing.T) {
	client, server := couple(t)
	talk(client, server, []line{{">", strings.Repeat(request("GET", "/a"), 2*maxOwed)}, {"<", strings.Repeat(ok, 2*maxOwed)}}, false)
	part(client, server)
}

// A client that waits for 100 Continue is not kept from sending its body by a rule that holds its request back.
func TestDelayedExpectation(t *testing.T) {
	s := play(t)
	f := open(t, s.addr, Config{})
	count, _ := f.live(t, Rule{Do: Delay, By: quiet})
	twice, _ := f.live(t, Rule{ID: "fault-2", Do: Twice})
	client := connect(t, f.addr)
	server := s.next(t)
	talk(client, server, say(">POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", "<HTTP/1.1 100 Continue\r\n\r\n", ">hello", "<"+ok), false)
	part(client, server)
	assert.EqualValues(t, 1, count.Tally().Affected)
	assert.Zero(t, twice.Tally().Affected)
	require.Len(t, f.seen(evidence.Skipped), 1)
}

// When the copy finds no upstream, nothing is invented: the caller of a second answer sees a lost connection.
func TestACopyThatFindsNobody(t *testing.T) {
	r, err := New("http", Config{})
	require.NoError(t, err)
	count := evidence.NewCounter("calls")
	_, err = r.Add(Rule{ID: "fault-1", Do: Twice, Second: true, Count: count})
	require.NoError(t, err)
	s := trade(t)
	served := make(chan struct{})
	l := carry(t, s.addr, func(ctx context.Context, c link.Conn, dial Dial) {
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
	rest, how := p.ends(patience)
	assert.Equal(t, "reset", how)
	assert.Empty(t, rest)
	<-served
	assert.Zero(t, count.Tally().Affected)
	assert.EqualValues(t, 1, s.done.Load())
}

// An end of the run reaches connections in every state, and Serve returns.
func TestTheContextEndsEveryConnection(t *testing.T) {
	for _, rule := range []Rule{
		{Do: Answer, Status: 500, Match: Match{Path: "/none"}}, {Do: Delay, By: time.Hour}, {Do: LoseRequest, Then: ThenSilence}, {Do: LoseRequest, Then: ThenHeld},
		{Do: LoseRequest, Then: ThenClosed}, {Do: LoseReply, Then: ThenSilence}, {Do: LoseReply, Then: ThenHeld}, {Do: Reorder, Wait: time.Hour},
	} {
		t.Run(fmt.Sprint(rule.Do, " ", rule.Then), func(t *testing.T) {
			s := trade(t)
			r, err := New("http", Config{})
			require.NoError(t, err)
			rule.ID, rule.Count = "fault-1", evidence.NewCounter("calls")
			_, err = r.Add(rule)
			require.NoError(t, err)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			served := make(chan struct{})
			l := carry(t, s.addr, func(_ context.Context, c link.Conn, dial Dial) {
				defer close(served)
				r.Serve(ctx, c, dial)
			})
			p := connect(t, l.Addr())
			p.send(post("/charge", "x"), false)
			p.ends(quiet)
			cancel()
			select {
			case <-served:
			case <-time.After(patience):
				require.FailNow(t, "Serve did not return")
			}
			toServer, toClient, err := r.Quiesce(context.Background())
			require.NoError(t, err)
			for _, b := range []Books{toServer, toClient} {
				assert.Equal(t, b.In+b.Copies+b.Injected, b.Out+b.Dropped+b.Swallowed+b.Withheld+b.Collateral)
				assert.Zero(t, b.Held)
			}
		})
	}
}

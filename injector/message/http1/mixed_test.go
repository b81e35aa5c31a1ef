package http1

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/link"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// Clients pipeline, pause, half-close and reset under all faults at once.
func TestMisbehavingClientsUnderEveryFault(t *testing.T) {
	relaytest.Set(t, &maxBuffered, 4<<10)
	relaytest.MisbehaveUnderEveryFault(t, .03, .03, relaytest.Misbehave)
}

// A held request is sent on healing even if its caller has disconnected, as one in transit would be.
func TestHeldRequestOutlivesCaller(t *testing.T) {
	s := relaytest.StartShop(t)
	f := relaytest.OpenLink(t, s.Addr, message.Config{})
	_, heal := f.AddRule(t, message.Rule{Action: message.LoseRequest, EndWith: message.EndHeld})
	p := relaytest.Connect(t, f.Addr)
	p.Send(relaytest.HTTPPost("/charge", "x"), false)
	relaytest.WaitUntil(t, "it is held", func() bool { return len(f.Recorded(evidence.Held)) == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), relaytest.Quiet)
	defer cancel()
	toServer, _, err := f.Quiesce(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.Contains(t, err.Error(), `quiesce link "orders -> payments": 1 message under way`)
	assert.EqualValues(t, 1, toServer.Pending)
	_ = p.CloseWrite()
	f.WaitClosed(t, message.ToServer)
	heal()
	rest, _ := p.ReadToEnd(relaytest.Patience)
	assert.Contains(t, rest, "1 /charge")
	relaytest.WaitUntil(t, "the call is reported", func() bool { return len(f.FinishedCalls()) == 1 })
	assert.True(t, f.FinishedCalls()[0].GaveUp)
}

// Pipelined requests behind a lost one are lost with the connection.
func TestLostReplyEndsLaterPipelinedRequests(t *testing.T) {
	s := relaytest.StartScript(t)
	f := relaytest.OpenLink(t, s.Addr, message.Config{})
	f.AddRule(t, message.Rule{Action: message.LoseReply, Match: relaytest.Charge})
	client := relaytest.Connect(t, f.Addr)
	server := s.Accept(t)
	relaytest.Play(client, server, relaytest.Turns(">"+relaytest.HTTPRequest("GET", "/a")+relaytest.HTTPPost("/charge", "x")+relaytest.HTTPRequest("GET", "/b"), "<"+relaytest.OK), false)
	server.Send(relaytest.OK+relaytest.OK, false)
	rest, how := client.ReadToEnd(relaytest.Patience)
	assert.Equal(t, "reset", how)
	assert.Empty(t, rest)
	relaytest.WaitUntil(t, "all calls are told", func() bool { return len(f.FinishedCalls()) == 3 })
	require.Len(t, f.Recorded(evidence.Collateral), 1)
	assert.Equal(t, "GET /b", f.Recorded(evidence.Collateral)[0].Op)
	assert.Equal(t, message.Call{Op: "GET /b"}, relaytest.WithoutTimes(f.FinishedCalls()[2]))
}

// A FIN remains a FIN, whatever the client sends afterwards.
func TestLossThenClosedDoesNotReset(t *testing.T) {
	for _, do := range []message.Action{message.LoseRequest, message.LoseReply} {
		s := relaytest.StartShop(t)
		f := relaytest.OpenLink(t, s.Addr, message.Config{})
		f.AddRule(t, message.Rule{Action: do, EndWith: message.EndClosed, Match: relaytest.Charge})
		p := relaytest.Connect(t, f.Addr)
		p.Send(relaytest.HTTPPost("/charge", "x")+strings.Repeat(relaytest.HTTPPost("/charge", strings.Repeat("x", 32<<10)), 4), false)
		relaytest.WaitUntil(t, "it is lost", func() bool { return len(f.Recorded(evidence.Applied)) == 1 })
		_, _ = p.WriteText(relaytest.HTTPPost("/more", "x"), false)
		rest, how := p.ReadToEnd(relaytest.Patience)
		assert.Equal(t, "closed", how, do)
		assert.Empty(t, rest)
	}
}

// Input in another protocol contains no calls, even if it looks like one.
func TestRulesDoNotActOnOtherProtocols(t *testing.T) {
	s := relaytest.StartScript(t)
	f := relaytest.OpenLink(t, s.Addr, message.Config{})
	count, _ := f.AddRule(t, message.Rule{Action: message.Answer, Status: 500, Match: message.Match{Path: "/inner"}})
	client := relaytest.Connect(t, f.Addr)
	server := s.Accept(t)
	relaytest.Play(client, server, relaytest.Turns(">GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n", "<HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\n",
		">"+relaytest.HTTPRequest("GET", "/inner"), "<"+relaytest.OK), false)
	relaytest.CloseBoth(client, server)
	assert.Zero(t, count.Tally().Seen)
	relaytest.WaitUntil(t, "the upgrade is reported", func() bool { return len(f.FinishedCalls()) == 1 })
	assert.Equal(t, message.Call{Op: "GET /a", Status: 101}, relaytest.WithoutTimes(f.FinishedCalls()[0]))
}

// An upgrade request is an ordinary call until the upgrade succeeds.
func TestRulesActOnUpgradeRequests(t *testing.T) {
	s := relaytest.StartShop(t)
	f := relaytest.OpenLink(t, s.Addr, message.Config{})
	f.AddRule(t, message.Rule{Action: message.Answer, Status: 503, First: 1, Match: message.Match{Path: "/a"}})
	p := relaytest.Connect(t, f.Addr)
	ask := relaytest.HTTPRequest("GET", "/a", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n")
	p.Send(ask, false)
	assert.Contains(t, p.ReadReply(), "503")
	p.Send(ask, false)
	assert.Contains(t, p.ReadReply(), "1 /a")
	p.Send(relaytest.HTTPRequest("GET", "/b"), false)
	assert.Contains(t, p.ReadReply(), "2 /b")
	relaytest.WaitUntil(t, "all calls are told", func() bool { return len(f.FinishedCalls()) == 3 })
	assert.Empty(t, f.FinishedCalls()[2].Skipped)
}

// If an upstream resets a connection after its FIN, a client that still sends gets a reset too.
func TestUpstreamWriteFailsAfterItsEnd(t *testing.T) {
	client, server := relaytest.ConnPair(t)
	require.NoError(t, server.CloseWrite())
	_, how := client.ReadToEnd(relaytest.Patience)
	require.Equal(t, "closed", how)
	server.Reset()
	relaytest.WaitUntil(t, "the client is reset", func() bool {
		_, err := client.WriteText(relaytest.HTTPRequest("GET", "/a"), false)
		return err != nil
	})
}

func TestDeepPipeliningPassesUntouched(t *testing.T) {
	client, server := relaytest.ConnPair(t)
	relaytest.Play(client, server, []relaytest.Turn{{From: ">", Text: strings.Repeat(relaytest.HTTPRequest("GET", "/a"), 2*maxPending)}, {From: "<", Text: strings.Repeat(relaytest.OK, 2*maxPending)}}, false)
	relaytest.CloseBoth(client, server)
}

// A rule that holds a request back does not prevent a client from sending its body after 100 Continue.
func TestDelayedExpectContinue(t *testing.T) {
	s := relaytest.StartScript(t)
	f := relaytest.OpenLink(t, s.Addr, message.Config{})
	count, _ := f.AddRule(t, message.Rule{Action: message.Delay, By: relaytest.Quiet})
	twice, _ := f.AddRule(t, message.Rule{ID: "fault-2", Action: message.Twice})
	client := relaytest.Connect(t, f.Addr)
	server := s.Accept(t)
	relaytest.Play(client, server, relaytest.Turns(">POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", "<HTTP/1.1 100 Continue\r\n\r\n", ">hello", "<"+relaytest.OK), false)
	relaytest.CloseBoth(client, server)
	assert.EqualValues(t, 1, count.Tally().Affected)
	assert.Zero(t, twice.Tally().Affected)
	require.Len(t, f.Recorded(evidence.Skipped), 1)
}

// If the copy cannot reach the upstream, the caller that was to get the second answer sees a lost connection.
func TestCopyWithoutUpstream(t *testing.T) {
	r, err := relaytest.NewRelay("http", message.Config{})
	require.NoError(t, err)
	count := evidence.NewCounter("calls")
	_, err = r.Add(message.Rule{ID: "fault-1", Action: message.Twice, Second: true, Count: count})
	require.NoError(t, err)
	s := relaytest.StartShop(t)
	served := make(chan struct{})
	l := relaytest.ServeLink(t, s.Addr, func(ctx context.Context, c link.Conn, dial message.Dial) {
		defer close(served)
		dials := 0
		r.Serve(ctx, c, func(ctx context.Context) (net.Conn, error) {
			if dials++; dials > 1 {
				return nil, errors.New("nobody there")
			}
			return dial(ctx)
		})
	})
	p := relaytest.Connect(t, l.Addr())
	p.Send(relaytest.HTTPPost("/charge", "x"), false)
	rest, how := p.ReadToEnd(relaytest.Patience)
	assert.Equal(t, "reset", how)
	assert.Empty(t, rest)
	<-served
	assert.Zero(t, count.Tally().Affected)
	assert.EqualValues(t, 1, s.Done.Load())
}

// Cancelling the context ends connections in every state, and Serve returns.
func TestContextEndsEveryConnection(t *testing.T) {
	relaytest.ContextEndsEveryConnection(t, func(t *testing.T, addr string) {
		p := relaytest.Connect(t, addr)
		p.Send(relaytest.HTTPPost("/charge", "x"), false)
		p.ReadToEnd(relaytest.Quiet)
	})
}

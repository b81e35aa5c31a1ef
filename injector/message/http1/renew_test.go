package http1

import (
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

// Whatever the server does with its idle connection while a request is held is hidden from the client: the
// request is sent once, on a new connection.
func TestHeldRequestSurvivesServerIdleTimeout(t *testing.T) {
	for name, idle := range map[string]func(relaytest.Peer){
		"closed": func(s relaytest.Peer) { _ = s.Close() },
		"reset":  func(s relaytest.Peer) { s.Reset() },
		"with a status": func(s relaytest.Peer) {
			s.Send("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n", false)
			_ = s.Close()
		},
	} {
		for _, fresh := range []bool{true, false} { // the server's connection is unused
			t.Run(name+map[bool]string{true: ", never used", false: ", used"}[fresh], func(t *testing.T) {
				s := relaytest.StartScript(t)
				f := relaytest.OpenLink(t, s.Addr, message.Config{})
				client := relaytest.Connect(t, f.Addr)
				server := s.Accept(t)
				if !fresh {
					relaytest.Play(client, server, relaytest.Turns(">"+relaytest.HTTPRequest("GET", "/before"), "<"+relaytest.OK), false)
				}
				count, heal := f.AddRule(t, message.Rule{Action: message.Delay, By: time.Hour})
				client.Send(relaytest.HTTPPost("/charge", "x")+relaytest.HTTPRequest("GET", "/next"), false)
				f.WaitPending(t, 1)
				idle(server)
				_, how := client.ReadToEnd(relaytest.Quiet)
				require.Equal(t, "silence", how, "the client does not notice")
				heal()
				again := s.Accept(t)
				again.Expect(relaytest.HTTPPost("/charge", "x") + relaytest.HTTPRequest("GET", "/next"))
				again.Send(relaytest.OK+relaytest.OK, false)
				client.Expect(relaytest.OK + relaytest.OK)
				assert.Zero(t, count.Tally().Broken)
				assert.Empty(t, s.Conns)
			})
		}
	}
}

// A held request uses the existing connection if the server keeps it open, so that many requests do not cause a
// burst of dials.
func TestOpenConnectionIsReusedAfterIdleTime(t *testing.T) {
	s := relaytest.StartScript(t)
	f := relaytest.OpenLink(t, s.Addr, message.Config{})
	f.AddRule(t, message.Rule{Action: message.Delay, By: 1500 * time.Millisecond, Match: relaytest.Charge})
	client := relaytest.Connect(t, f.Addr)
	server := s.Accept(t)
	relaytest.Play(client, server, relaytest.Turns(">"+relaytest.HTTPRequest("GET", "/a"), "<"+relaytest.OK), false)
	client.Send(relaytest.HTTPPost("/charge", "x"), false)
	server.Expect(relaytest.HTTPPost("/charge", "x"))
	server.Send(relaytest.OK, false)
	client.Expect(relaytest.OK)
	assert.Empty(t, s.Conns, "no other was dialled")
}

// After a held answer, the server's idle connection is replaced for the next request if the server has closed
// it.
func TestHeldAnswerSurvivesServerIdleTimeout(t *testing.T) {
	s := relaytest.StartScript(t)
	f := relaytest.OpenLink(t, s.Addr, message.Config{})
	count, heal := f.AddRule(t, message.Rule{Action: message.LoseReply, EndWith: message.EndHeld, First: 1})
	client := relaytest.Connect(t, f.Addr)
	server := s.Accept(t)
	client.Send(relaytest.HTTPPost("/charge", "x"), false)
	server.Expect(relaytest.HTTPPost("/charge", "x"))
	server.Send(relaytest.OK, false)
	relaytest.WaitUntil(t, "it is held", func() bool { return count.Tally().Affected == 1 })
	_ = server.Close()
	heal()
	client.Expect(relaytest.OK)
	_, how := client.ReadToEnd(relaytest.Quiet)
	require.Equal(t, "silence", how)
	client.Send(relaytest.HTTPRequest("GET", "/next"), false)
	again := s.Accept(t)
	again.Expect(relaytest.HTTPRequest("GET", "/next"))
	again.Send(relaytest.OK, false)
	client.Expect(relaytest.OK)
	_ = again.Close()
	_, how = client.ReadToEnd(relaytest.Patience)
	assert.Equal(t, "closed", how, "an end that is the server's own is passed on")
}

// A close that the server announced, or that interrupts a request it has received, is forwarded.
func TestServerCloseIsForwarded(t *testing.T) {
	t.Run("announced", func(t *testing.T) {
		s := relaytest.StartScript(t)
		f := relaytest.OpenLink(t, s.Addr, message.Config{})
		count, _ := f.AddRule(t, message.Rule{Action: message.Delay, By: time.Hour, Match: relaytest.Charge})
		client := relaytest.Connect(t, f.Addr)
		server := s.Accept(t)
		last := "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
		relaytest.Play(client, server, relaytest.Turns(">"+relaytest.HTTPRequest("GET", "/a"), "<"+last), false)
		client.Send(relaytest.HTTPPost("/charge", "x"), false)
		relaytest.WaitUntil(t, "it is held", func() bool { return count.Tally().Seen == 1 })
		_ = server.Close()
		_, how := client.ReadToEnd(relaytest.Patience)
		assert.Equal(t, "closed", how)
	})
	t.Run("unanswered", func(t *testing.T) {
		s := relaytest.StartScript(t)
		f := relaytest.OpenLink(t, s.Addr, message.Config{})
		count, _ := f.AddRule(t, message.Rule{Action: message.Delay, By: time.Millisecond})
		client := relaytest.Connect(t, f.Addr)
		server := s.Accept(t)
		client.Send(relaytest.HTTPPost("/charge", "x"), false)
		server.Expect(relaytest.HTTPPost("/charge", "x"))
		time.Sleep(2 * message.CrossingTime)
		server.Reset()
		_, how := client.ReadToEnd(relaytest.Patience)
		assert.Equal(t, "reset", how)
		assert.Zero(t, count.Tally().Broken)
		assert.Empty(t, s.Conns, "what was sent is not sent again")
	})
	t.Run("gone", func(t *testing.T) {
		up := relaytest.StartShop(t)
		f := relaytest.OpenLink(t, up.Addr, message.Config{})
		count, heal := f.AddRule(t, message.Rule{Action: message.Delay, By: time.Hour})
		client := relaytest.Connect(t, f.Addr)
		client.Send(relaytest.HTTPPost("/charge", "x"), false)
		relaytest.WaitUntil(t, "it is held", func() bool { return count.Tally().Seen == 1 })
		require.NoError(t, f.Link.Close())
		heal()
		_, how := client.ReadToEnd(relaytest.Patience)
		assert.Equal(t, "reset", how)
	})
}

// A request that races with the server's close is never resent; it is counted as broken.
func TestRequestRacingServerCloseIsCountedAsBroken(t *testing.T) {
	relaytest.Set(t, &message.CrossingTime, relaytest.Patience) // a slow machine may take longer to notice the end
	s := relaytest.StartScript(t)
	f := relaytest.OpenLink(t, s.Addr, message.Config{})
	count, _ := f.AddRule(t, message.Rule{Action: message.Delay, By: time.Millisecond})
	client := relaytest.Connect(t, f.Addr)
	server := s.Accept(t)
	client.Send(relaytest.HTTPPost("/charge", "x"), false)
	server.Expect(relaytest.HTTPPost("/charge", "x"))
	_ = server.Close()
	_, how := client.ReadToEnd(relaytest.Patience)
	assert.Equal(t, "closed", how)
	assert.EqualValues(t, 1, count.Tally().Broken)
	assert.Empty(t, s.Conns)
}

// A client's disconnection ends everything, even while the relay waits to redial.
func TestClientDisconnectsWhileServerIsClosed(t *testing.T) {
	for name, leave := range map[string]func(relaytest.Peer){"closed": func(c relaytest.Peer) { _ = c.Close() }, "reset": func(c relaytest.Peer) { c.Reset() }} {
		t.Run(name, func(t *testing.T) {
			s := relaytest.StartScript(t)
			f := relaytest.OpenLink(t, s.Addr, message.Config{})
			count, heal := f.AddRule(t, message.Rule{Action: message.LoseReply, EndWith: message.EndHeld, First: 1})
			client := relaytest.Connect(t, f.Addr)
			server := s.Accept(t)
			client.Send(relaytest.HTTPPost("/charge", "x"), false)
			server.Expect(relaytest.HTTPPost("/charge", "x"))
			server.Send(relaytest.OK, false)
			relaytest.WaitUntil(t, "it is held", func() bool { return count.Tally().Affected == 1 })
			_ = server.Close()
			heal()
			client.Expect(relaytest.OK)
			leave(client)
			relaytest.WaitUntil(t, "the connection is over", func() bool { return f.Link.Counters().Live == 0 })
		})
	}
}

// nginx closes idle connections after five seconds, and calls are held for eight: a client with persistent
// connections, such as a gateway, sees no error.
func TestNginxClosesIdleHeldConnection(t *testing.T) {
	addr, _, worked := relaytest.NginxServer(t, "; keepalive_timeout 5s; client_header_timeout 5s")
	f := relaytest.OpenLink(t, addr, message.Config{})
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: relaytest.Patience}
	const callers = 40
	charge := func(wait time.Duration) {
		var all sync.WaitGroup
		for i := range callers {
			all.Go(func() {
				time.Sleep(wait * time.Duration(i) / callers)
				resp, err := client.Post("http://"+f.Addr+"/work", "text/plain", strings.NewReader("")) // net/http does not retry it
				if assert.NoError(t, err) {
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
					assert.Equal(t, 200, resp.StatusCode)
				}
			})
		}
		all.Wait()
	}
	charge(0)
	count, heal := f.AddRule(t, message.Rule{Action: message.Delay, By: 8 * time.Second})
	charge(time.Second) // all are held before nginx closes: a call that arrives in that moment may be lost
	heal()
	charge(0)
	relaytest.WaitUntil(t, "the work is written down", func() bool { return worked() >= 3*callers })
	assert.Equal(t, 3*callers, worked(), "nothing is sent twice")
	tally := count.Tally()
	assert.EqualValues(t, callers, tally.Affected)
	assert.Zero(t, tally.Broken)
	assert.Empty(t, f.Recorded(evidence.Collateral))
}

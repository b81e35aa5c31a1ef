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

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// Whatever the server does with its idle connection while a request is held is hidden from the client: the
// request is sent once, on a new connection.
func TestHeldRequestSurvivesServerIdleTimeout(t *testing.T) {
	for name, idle := range map[string]func(peer){
		"closed": func(s peer) { _ = s.Close() },
		"reset":  func(s peer) { s.reset() },
		"with a status": func(s peer) {
			s.send("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n", false)
			_ = s.Close()
		},
	} {
		for _, fresh := range []bool{true, false} { // the server's connection is unused
			t.Run(name+map[bool]string{true: ", never used", false: ", used"}[fresh], func(t *testing.T) {
				s := startScript(t)
				f := openLink(t, s.addr, Config{})
				client := connect(t, f.addr)
				server := s.accept(t)
				if !fresh {
					exchange(client, server, messages(">"+request("GET", "/before"), "<"+ok), false)
				}
				count, heal := f.addRule(t, Rule{Action: Delay, By: time.Hour})
				client.send(post("/charge", "x")+request("GET", "/next"), false)
				waitUntil(t, "it is held", func() bool { return count.Tally().Seen == 1 })
				idle(server)
				_, how := client.readToEnd(quiet)
				require.Equal(t, "silence", how, "the client does not notice")
				heal()
				again := s.accept(t)
				again.expect(post("/charge", "x") + request("GET", "/next"))
				again.send(ok+ok, false)
				client.expect(ok + ok)
				assert.Zero(t, count.Tally().Broken)
				assert.Empty(t, s.conns)
			})
		}
	}
}

// A held request uses the existing connection if the server keeps it open, so that many requests do not cause a
// burst of dials.
func TestOpenConnectionIsReusedAfterIdleTime(t *testing.T) {
	s := startScript(t)
	f := openLink(t, s.addr, Config{})
	f.addRule(t, Rule{Action: Delay, By: 1500 * time.Millisecond, Match: charge})
	client := connect(t, f.addr)
	server := s.accept(t)
	exchange(client, server, messages(">"+request("GET", "/a"), "<"+ok), false)
	client.send(post("/charge", "x"), false)
	server.expect(post("/charge", "x"))
	server.send(ok, false)
	client.expect(ok)
	assert.Empty(t, s.conns, "no other was dialled")
}

// After a held answer, the server's idle connection is replaced for the next request if the server has closed
// it.
func TestHeldAnswerSurvivesServerIdleTimeout(t *testing.T) {
	s := startScript(t)
	f := openLink(t, s.addr, Config{})
	count, heal := f.addRule(t, Rule{Action: LoseReply, EndWith: EndHeld, First: 1})
	client := connect(t, f.addr)
	server := s.accept(t)
	client.send(post("/charge", "x"), false)
	server.expect(post("/charge", "x"))
	server.send(ok, false)
	waitUntil(t, "it is held", func() bool { return count.Tally().Affected == 1 })
	_ = server.Close()
	heal()
	client.expect(ok)
	_, how := client.readToEnd(quiet)
	require.Equal(t, "silence", how)
	client.send(request("GET", "/next"), false)
	again := s.accept(t)
	again.expect(request("GET", "/next"))
	again.send(ok, false)
	client.expect(ok)
	_ = again.Close()
	_, how = client.readToEnd(patience)
	assert.Equal(t, "closed", how, "an end that is the server's own is passed on")
}

// A close that the server announced, or that interrupts a request it has received, is forwarded.
func TestServerCloseIsForwarded(t *testing.T) {
	t.Run("announced", func(t *testing.T) {
		s := startScript(t)
		f := openLink(t, s.addr, Config{})
		count, _ := f.addRule(t, Rule{Action: Delay, By: time.Hour, Match: charge})
		client := connect(t, f.addr)
		server := s.accept(t)
		last := "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
		exchange(client, server, messages(">"+request("GET", "/a"), "<"+last), false)
		client.send(post("/charge", "x"), false)
		waitUntil(t, "it is held", func() bool { return count.Tally().Seen == 1 })
		_ = server.Close()
		_, how := client.readToEnd(patience)
		assert.Equal(t, "closed", how)
	})
	t.Run("unanswered", func(t *testing.T) {
		s := startScript(t)
		f := openLink(t, s.addr, Config{})
		count, _ := f.addRule(t, Rule{Action: Delay, By: time.Millisecond})
		client := connect(t, f.addr)
		server := s.accept(t)
		client.send(post("/charge", "x"), false)
		server.expect(post("/charge", "x"))
		time.Sleep(2 * crossingTime)
		server.reset()
		_, how := client.readToEnd(patience)
		assert.Equal(t, "reset", how)
		assert.Zero(t, count.Tally().Broken)
		assert.Empty(t, s.conns, "what was sent is not sent again")
	})
	t.Run("gone", func(t *testing.T) {
		up := startShop(t)
		f := openLink(t, up.addr, Config{})
		count, heal := f.addRule(t, Rule{Action: Delay, By: time.Hour})
		client := connect(t, f.addr)
		client.send(post("/charge", "x"), false)
		waitUntil(t, "it is held", func() bool { return count.Tally().Seen == 1 })
		require.NoError(t, f.link.Close())
		heal()
		_, how := client.readToEnd(patience)
		assert.Equal(t, "reset", how)
	})
}

// A request that races with the server's close is never resent; it is counted as broken.
func TestRequestRacingServerCloseIsCountedAsBroken(t *testing.T) {
	s := startScript(t)
	f := openLink(t, s.addr, Config{})
	count, _ := f.addRule(t, Rule{Action: Delay, By: time.Millisecond})
	client := connect(t, f.addr)
	server := s.accept(t)
	client.send(post("/charge", "x"), false)
	server.expect(post("/charge", "x"))
	_ = server.Close()
	_, how := client.readToEnd(patience)
	assert.Equal(t, "closed", how)
	assert.EqualValues(t, 1, count.Tally().Broken)
	assert.Empty(t, s.conns)
}

// A client's disconnection ends everything, even while the relay waits to redial.
func TestClientDisconnectsWhileServerIsClosed(t *testing.T) {
	for name, leave := range map[string]func(peer){"closed": func(c peer) { _ = c.Close() }, "reset": func(c peer) { c.reset() }} {
		t.Run(name, func(t *testing.T) {
			s := startScript(t)
			f := openLink(t, s.addr, Config{})
			count, heal := f.addRule(t, Rule{Action: LoseReply, EndWith: EndHeld, First: 1})
			client := connect(t, f.addr)
			server := s.accept(t)
			client.send(post("/charge", "x"), false)
			server.expect(post("/charge", "x"))
			server.send(ok, false)
			waitUntil(t, "it is held", func() bool { return count.Tally().Affected == 1 })
			_ = server.Close()
			heal()
			client.expect(ok)
			leave(client)
			waitUntil(t, "the connection is over", func() bool { return f.link.Counters().Live == 0 })
		})
	}
}

// nginx closes idle connections after two seconds, and calls are held for four: a client with persistent
// connections, such as a gateway, sees no error.
func TestNginxClosesIdleHeldConnection(t *testing.T) {
	addr, _, worked := nginxServer(t, "; keepalive_timeout 2s; client_header_timeout 2s")
	f := openLink(t, addr, Config{})
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: patience}
	const callers = 40
	charge := func(wait time.Duration) {
		var all sync.WaitGroup
		for i := range callers {
			all.Go(func() {
				time.Sleep(wait * time.Duration(i) / callers)
				resp, err := client.Post("http://"+f.addr+"/work", "text/plain", strings.NewReader("")) // net/http does not retry it
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
	count, heal := f.addRule(t, Rule{Action: Delay, By: 4 * time.Second})
	charge(2 * time.Second)
	heal()
	charge(0)
	waitUntil(t, "the work is written down", func() bool { return worked() >= 3*callers })
	assert.Equal(t, 3*callers, worked(), "nothing is sent twice")
	tally := count.Tally()
	assert.EqualValues(t, callers, tally.Affected)
	assert.Zero(t, tally.Broken)
	assert.Empty(t, f.recorded(evidence.Collateral))
}

package protocols_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// waitingClient is a client of one transport.
type waitingClient interface {
	warm()            // exchanges a message that no rule matches
	send(key string)  // sends a message that the server counts
	answer() string   // waits for its answer and returns the number of the execution; "" if the connection ended
	leave(reset bool) // disconnects
}

// waitingCase is a transport whose messages rules make wait.
type waitingCase struct {
	serverCase
	connect func(t *testing.T, addr, key string, c serverCase) waitingClient
	// keepsSession means that the relay cannot redial for a message whose server disconnected.
	keepsSession bool
}

func waitingCases() []waitingCase {
	cases := []waitingCase{}
	for _, c := range serverCases {
		cases = append(cases, waitingCase{serverCase: c, connect: connectRaw, keepsSession: c.protocol != "http"})
	}
	h2, grpc := serverCases[0], serverCase{protocol: "grpc", match: message.Match{Path: grpcPath}, Code: "UNAVAILABLE", serve: countGRPC}
	return append(cases, waitingCase{serverCase: h2, connect: connectHTTP2}, waitingCase{serverCase: grpc, connect: connectHTTP2})
}

// waits lists the rules that make a message or its answer wait until they are healed.
var waits = map[string]message.Rule{
	"delayed":       {Action: message.Delay, By: time.Hour},
	"held":          {Action: message.LoseRequest, EndWith: message.EndHeld},
	"out of order":  {Action: message.Reorder, Wait: time.Hour},
	"reply delayed": {Action: message.DelayReply, By: time.Hour},
	"reply held":    {Action: message.LoseReply, EndWith: message.EndHeld},
	"copied late":   {Action: message.Twice, Late: time.Hour},
}

// While a rule makes a message wait, its client disconnects, its server disconnects, or the rule is healed: on every
// transport, on a new connection and on one in use, the message is executed as often as it should be, whoever still
// waits gets the answer or the end of the connection, and the accounts add up.
func TestInterruptedWaits(t *testing.T) {
	lengthenQuietTime(t)
	for i, c := range waitingCases() {
		t.Run(fmt.Sprint(i, " ", c.protocol), func(t *testing.T) {
			t.Parallel()
			upstream, executed := c.serve(t)
			for name, rule := range waits {
				for _, interruption := range []string{"healed", "client resets", "client closes", "server gone"} {
					for _, used := range []bool{false, true} {
						t.Run(fmt.Sprintf("%s/%s/used=%v", name, interruption, used), func(t *testing.T) {
							t.Parallel()
							w := &interruptedWait{waitingCase: c, executed: executed, rule: rule, key: fmt.Sprintf("w%x", evidence.Hash(0, 0, t.Name()))}
							w.run(t, upstream, interruption, used)
						})
					}
				}
			}
		})
	}
}

// interruptedWait is one case.
type interruptedWait struct {
	waitingCase
	executed func(key string) int
	rule     message.Rule
	key      string
}

// ofRequest reports whether the message waits before the server executes it.
func (w *interruptedWait) ofRequest() bool {
	return !w.rule.Action.OfReply() && w.rule.Action != message.Twice
}

func (w *interruptedWait) run(t *testing.T, upstream, interruption string, used bool) {
	server := startForwarder(t, upstream)
	f := relaytest.OpenLinkFor(t, w.protocol, server.addr, w.Cfg)
	client := w.connect(t, f.Addr, w.key, w.serverCase)
	if used {
		client.warm()
	}
	w.rule.Match, w.rule.Code = w.match, w.Code
	count, heal := f.AddRule(t, w.rule)
	sent := server.sent.Load()
	client.send(w.key)
	relaytest.WaitUntil(t, "it is chosen", func() bool { return count.Tally().Seen == 1 })
	before := 1
	if w.ofRequest() {
		before = 0
	}
	relaytest.WaitUntil(t, "it is executed", func() bool { return w.executed(w.key) == before })
	if !w.ofRequest() {
		relaytest.WaitUntil(t, "it is answered", func() bool {
			n := server.sent.Load()
			time.Sleep(relaytest.Quiet / 2)
			return n > sent && server.sent.Load() == n
		})
	}
	answered := false
	if w.rule.Action == message.Twice {
		require.Equal(t, "1", client.answer())
		answered = true
	}
	switch interruption {
	case "client resets", "client closes":
		client.leave(interruption == "client resets")
		f.WaitClosed(t, message.ToServer)
		if answered { // nothing keeps the connection to the server
			f.WaitClosed(t, message.ToClient)
		}
	case "server gone":
		relaytest.WaitUntil(t, "the server is connected", server.connected)
		server.cut()
		h2, multiplexed := client.(*http2Client)
		if multiplexed && w.ofRequest() {
			require.Empty(t, h2.ReadUntil(relaytest.Patience, func() bool { return h2.GoAway != nil }))
		}
		if multiplexed || w.ofRequest() || answered { // otherwise the relay does not read on while it holds the answer
			f.WaitClosed(t, message.ToClient)
		}
	}
	heal()
	if interruption == "healed" && !answered {
		assert.Equal(t, "1", client.answer())
	}
	if interruption == "server gone" && !answered {
		want := "1"
		if w.ofRequest() && (w.keepsSession || count.Tally().Broken > 0) { // broken: it raced with the server's close
			want = ""
		}
		assert.Equal(t, want, client.answer())
	}
	if interruption == "healed" && w.rule.Action == message.Twice {
		relaytest.WaitUntil(t, "the copy is executed", func() bool { return w.executed(w.key) == 2 })
	}
	client.leave(false)
	relaytest.WaitUntil(t, "the connection is over", func() bool { return f.Link.Counters().Live == 0 })
	toServer, toClient := f.CheckAccounts(t)
	want := 1
	switch {
	case w.rule.Action == message.Twice && !(w.keepsSession && interruption != "healed"):
		want = 2
	case w.ofRequest() && (w.keepsSession || count.Tally().Broken > 0) && interruption == "server gone":
		want = 0
	}
	if want > 0 { // what was written may take a moment
		relaytest.WaitUntil(t, "all is executed", func() bool { return w.executed(w.key) >= want })
	}
	assert.Equal(t, want, w.executed(w.key), "to server %+v, to client %+v, %+v", toServer, toClient, f.Recorded(evidence.Discarded))
}

// forwarder forwards connections to a server until they are cut.
type forwarder struct {
	addr  string
	sent  atomic.Int64 // bytes from the server
	mu    sync.Mutex
	conns []net.Conn
}

// Write counts bytes from the server.
func (f *forwarder) Write(p []byte) (int, error) {
	f.sent.Add(int64(len(p)))
	return len(p), nil
}

func startForwarder(t *testing.T, to string) *forwarder {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	f := &forwarder{addr: ln.Addr().String()}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("tcp", to)
			if err != nil {
				_ = c.Close()
				continue
			}
			f.mu.Lock()
			f.conns = append(f.conns, c, up)
			f.mu.Unlock()
			all.Go(func() { _, _ = io.Copy(up, c); _ = up.(*net.TCPConn).CloseWrite() })
			all.Go(func() { _, _ = io.Copy(c, io.TeeReader(up, f)); _ = c.(*net.TCPConn).CloseWrite() })
		}
	})
	t.Cleanup(func() { _ = ln.Close(); f.cut(); all.Wait() })
	return f
}

func (f *forwarder) connected() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.conns) > 0
}

// cut ends all connections.
func (f *forwarder) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.conns {
		_ = c.Close()
	}
	f.conns = nil
}

// rawClient sends the exact bytes of a protocol.
type rawClient struct {
	relaytest.Peer
	serverCase
	key string
}

func connectRaw(t *testing.T, addr, key string, c serverCase) waitingClient {
	p := relaytest.Connect(t, addr)
	if c.open != nil {
		c.open(p, key)
	}
	return &rawClient{p, c, key}
}

func (c *rawClient) warm() {
	c.Send(c.serverCase.warm[0], false)
	c.Expect(c.serverCase.warm[1])
}

func (c *rawClient) send(key string) { c.Send(c.Request(key), false) }

func (c *rawClient) answer() string {
	require.NoError(c.T, c.SetReadDeadline(time.Now().Add(relaytest.Patience)))
	text := c.answerText(c.key, "1")
	buf := make([]byte, len(text))
	n, err := io.ReadFull(c, buf)
	if err != nil {
		require.Zero(c.T, n, "%q, then %v", buf[:n], err)
		require.NotErrorIs(c.T, err, os.ErrDeadlineExceeded)
		return ""
	}
	require.Equal(c.T, text, string(buf))
	return "1"
}

func (c *rawClient) leave(reset bool) {
	if reset {
		c.Reset()
		return
	}
	_ = c.Close()
}

// http2Client is a client of HTTP/2 with prior knowledge.
type http2Client struct {
	*relaytest.HTTP2Peer
	grpc bool
	id   uint32
}

func connectHTTP2(t *testing.T, addr, _ string, c serverCase) waitingClient {
	p := relaytest.ConnectHTTP2(t, addr)
	for { // a server that leaves before its SETTINGS cannot be hidden
		f, err := p.ReadFrame()
		require.NoError(t, err)
		p.HandleFrame(f)
		if _, ok := f.(*http2.SettingsFrame); ok {
			return &http2Client{HTTP2Peer: p, grpc: c.protocol == "grpc"}
		}
	}
}

func (c *http2Client) warm() {
	if c.grpc {
		require.Equal(c.T, grpcBody("warm"), c.Response(c.call("/shop.Counter/Warm", "")).Body)
		return
	}
	require.Equal(c.T, "200 warm", c.Response(c.Request("GET", "/warm", "")).String())
}

func (c *http2Client) call(path, text string) uint32 {
	return c.Request("POST", path, grpcBody(text), "content-type: application/grpc", "te: trailers")
}

func (c *http2Client) send(key string) {
	if c.grpc {
		c.id = c.call(grpcPath, key)
		return
	}
	c.id = c.Request("POST", "/"+key, "10 EUR")
}

func (c *http2Client) answer() string {
	r := c.Responses[c.id]
	how := c.ReadUntil(relaytest.Patience, func() bool { return r.Ended || r.WasReset })
	require.NotEqual(c.T, "silence", how)
	if !r.Ended {
		return ""
	}
	if c.grpc {
		require.Contains(c.T, r.Trailers, "grpc-status: 0")
		return r.Body[5:]
	}
	return r.Body
}

func (c *http2Client) leave(reset bool) {
	if reset {
		c.HTTP2Peer.Peer.Reset()
		return
	}
	_ = c.Close()
}

package protocols_test

import (
	"fmt"
	"io"
	"net"
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

// waits lists the rules that make a message or its answer wait until they are healed, by the cell of the matrix.
var waits = map[string]message.Rule{
	"delayed":          {Action: message.Delay, By: time.Hour},
	"lost, held":       {Action: message.LoseRequest, EndWith: message.EndHeld},
	"out of order":     {Action: message.Reorder, Wait: time.Hour},
	"reply delayed":    {Action: message.DelayReply, By: time.Hour},
	"reply lost, held": {Action: message.LoseReply, EndWith: message.EndHeld},
	"twice, late":      {Action: message.Twice, Late: time.Hour},
}

// While a rule makes a message wait, its client disconnects, its server disconnects, or the rule is healed: on every
// transport, on a new connection and on one in use, the message arrives as often as it should, whoever still waits
// gets the answer or the end of the connection, and the accounts add up.
func TestInterruptedWaits(t *testing.T) {
	lengthenQuietTime(t)
	for _, tr := range transports {
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			b := tr.serve(t)
			for name, rule := range waits {
				if absent(&tr, name) != nil {
					continue
				}
				for _, interruption := range []string{"healed", "client resets", "client closes", "server gone"} {
					for _, used := range []bool{false, true} {
						t.Run(fmt.Sprintf("%s/%s/used=%v", name, interruption, used), func(t *testing.T) {
							t.Parallel()
							w := &interruptedWait{transport: tr, backend: b, rule: tr.complete(rule), interruption: interruption, key: fmt.Sprintf("w%x", evidence.Hash(0, 0, t.Name()))}
							w.run(t, used)
						})
					}
				}
			}
		})
	}
}

// interruptedWait is one case.
type interruptedWait struct {
	transport
	*backend
	rule         message.Rule
	interruption string
	key          string
	f            relayed
	server       *forwarder // nil for datagrams
	count        *evidence.Counter
	done         bool // the message has arrived and, if it has an answer, was answered; a copy waits
}

// ofMessage reports whether the message waits, and not its answer or a copy.
func (w *interruptedWait) ofMessage() bool {
	return !w.rule.Action.OfReply() && w.rule.Action != message.Twice
}

func (w *interruptedWait) clientGone() bool { return strings.HasPrefix(w.interruption, "client") }

// broken reports whether the message or its answer was lost with the server's connection: the relay cannot redial, or
// it raced with the server's close.
func (w *interruptedWait) broken() bool { return !w.redials || w.count.Tally().Broken > 0 }

func (w *interruptedWait) run(t *testing.T, used bool) {
	if w.datagrams {
		w.backend = w.serve(t) // of its own, as it may end
		w.f = openTransport(t, &w.transport, w.addr)
	} else {
		w.server = startForwarder(t, w.addr)
		w.f = openTransport(t, &w.transport, w.server.addr)
	}
	c := w.connect(t, w.f.addr, w.key, w.backend)
	if used {
		c.warm()
	}
	var heal func()
	w.count, heal = w.f.AddRule(t, w.rule)
	require.NoError(t, c.send())
	w.await(t, c)
	w.interrupt(t, c)
	heal()
	w.checkAnswer(t, c)
	if w.interruption == "healed" {
		relaytest.WaitUntil(t, "all arrive", func() bool { return c.arrived() == w.want() })
	}
	if !w.clientGone() && w.dir == message.ToClient {
		relaytest.WaitUntil(t, "it arrives", func() bool { return c.arrived() == w.want() })
	}
	c.leave(false)
	w.f.waitOver(t)
	toServer, toClient := w.f.CheckAccounts(t)
	if want := w.want(); want > 0 { // what was written may take a moment
		relaytest.WaitUntil(t, "all arrive", func() bool { return c.arrived() >= want })
	}
	assert.Equal(t, w.want(), c.arrived(), "to server %+v, to client %+v, %+v", toServer, toClient, w.f.Recorded(evidence.Discarded))
}

// await waits until the rule makes the message, its answer or its copy wait.
func (w *interruptedWait) await(t *testing.T, c conversation) {
	relaytest.WaitUntil(t, "it is chosen", func() bool { return w.count.Tally().Seen == 1 })
	before := 1
	if w.ofMessage() {
		before = 0
	}
	relaytest.WaitUntil(t, "it arrives", func() bool { return c.arrived() == before })
	if w.ofMessage() && w.dir == message.ToServer { // a close of the server is hidden from now on
		w.f.WaitPending(t, 1)
	}
	if w.rule.Action.OfReply() {
		relaytest.WaitUntil(t, "it is answered", func() bool { return c.(answeredIn).answeredIn(w.server.output()) })
	}
	if w.done = w.rule.Action == message.Twice; w.done && !w.oneWay {
		require.Equal(t, "1", c.answer())
	}
}

// interrupt ends what the case is about, and waits until the relay has noticed.
func (w *interruptedWait) interrupt(t *testing.T, c conversation) {
	switch {
	case w.clientGone():
		c.leave(w.interruption == "client resets")
		if !w.datagrams {
			w.f.WaitClosed(t, message.ToServer)
		}
		if w.done && !w.datagrams { // nothing keeps the connection to the server
			w.f.WaitClosed(t, message.ToClient)
		}
	case w.interruption == "server gone" && w.datagrams:
		w.gone()
	case w.interruption == "server gone":
		relaytest.WaitUntil(t, "the server is connected", w.server.connected)
		w.server.cut()
		h2, multiplexed := c.(*http2Client)
		if multiplexed && w.ofMessage() {
			require.Empty(t, h2.ReadUntil(relaytest.Patience, func() bool { return h2.GoAway != nil }))
		}
		if multiplexed || w.done || w.ofMessage() && w.dir == message.ToServer { // otherwise the relay does not read on
			w.f.WaitClosed(t, message.ToClient)
		}
	}
}

// checkAnswer checks what a client that still waits gets.
func (w *interruptedWait) checkAnswer(t *testing.T, c conversation) {
	if w.oneWay || w.done || w.clientGone() || w.datagrams && w.interruption == "server gone" {
		return
	}
	want := "1"
	if w.interruption == "server gone" && w.ofMessage() && w.broken() {
		want = ""
	}
	assert.Equal(t, want, c.answer())
}

// want returns how often the message arrives.
func (w *interruptedWait) want() int {
	toServer := w.dir == message.ToServer
	switch healed := w.interruption == "healed"; {
	case w.rule.Action == message.Twice && (healed || w.redials || w.datagrams && toServer == w.clientGone()):
		return 2
	case w.rule.Action == message.Twice:
		return 1
	case healed:
		return 1
	case !toServer && w.clientGone():
		return 0
	case toServer && w.ofMessage() && w.interruption == "server gone" && w.broken():
		return 0
	}
	return 1
}

// forwarder forwards connections to a server until they are cut.
type forwarder struct {
	addr  string
	mu    sync.Mutex
	conns []net.Conn
	sent  strings.Builder // by the server
}

// Write records what the server sends.
func (f *forwarder) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sent.Write(p)
}

func (f *forwarder) output() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sent.String()
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
			all.Go(func() { _, _ = io.Copy(io.MultiWriter(c, f), up); _ = c.(*net.TCPConn).CloseWrite() })
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

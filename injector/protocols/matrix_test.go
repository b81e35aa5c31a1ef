package protocols_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/datagram"
	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/link"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// matrixCell is one fault of the conformance matrix: what a client sees of one message, and how often it arrives.
type matrixCell struct {
	name  string
	rule  message.Rule                                                    // of the relay, or
	fault func(*link.Link, *evidence.Counter) (heal link.Heal, err error) // of the link
	// reply is what the client gets: how often the message had arrived, "error", or "" for no answer.
	reply string
	// how is how the connection ends: "closed" (FIN), "reset" (ECONNRESET), "silence" (open, but it carries nothing any
	// more), "held" (nothing comes until the fault is healed), or "" if it does not end.
	how           string
	before, after int // how often the message arrives before healing, and in all
}

// unused follows the name of a cell that is only about new connections.
const unused = "/used=false"

var matrix = []matrixCell{
	{name: "lost", rule: message.Rule{Action: message.LoseRequest}, how: "reset"},
	{name: "lost, reset", rule: message.Rule{Action: message.LoseRequest, EndWith: message.EndReset}, how: "reset"},
	{name: "lost, closed", rule: message.Rule{Action: message.LoseRequest, EndWith: message.EndClosed}, how: "closed"},
	{name: "lost, silence", rule: message.Rule{Action: message.LoseRequest, EndWith: message.EndSilence}, how: "silence"},
	{name: "lost, held", rule: message.Rule{Action: message.LoseRequest, EndWith: message.EndHeld}, how: "held", after: 1},
	{name: "reply lost", rule: message.Rule{Action: message.LoseReply}, how: "reset", before: 1, after: 1},
	{name: "reply lost, reset", rule: message.Rule{Action: message.LoseReply, EndWith: message.EndReset}, how: "reset", before: 1, after: 1},
	{name: "reply lost, closed", rule: message.Rule{Action: message.LoseReply, EndWith: message.EndClosed}, how: "closed", before: 1, after: 1},
	{name: "reply lost, silence", rule: message.Rule{Action: message.LoseReply, EndWith: message.EndSilence}, how: "silence", before: 1, after: 1},
	{name: "reply lost, held", rule: message.Rule{Action: message.LoseReply, EndWith: message.EndHeld}, how: "held", before: 1, after: 1},
	{name: "answered", rule: message.Rule{Action: message.Answer, Status: 503}, reply: "error"},
	{name: "delayed", rule: message.Rule{Action: message.Delay, By: relaytest.Quiet}, reply: "1", before: 1, after: 1},
	{name: "reply delayed", rule: message.Rule{Action: message.DelayReply, By: relaytest.Quiet}, reply: "1", before: 1, after: 1},
	{name: "twice", rule: message.Rule{Action: message.Twice}, reply: "1", before: 2, after: 2},
	{name: "twice, second answer", rule: message.Rule{Action: message.Twice, Second: true}, reply: "2", before: 2, after: 2},
	{name: "twice, late", rule: message.Rule{Action: message.Twice, Late: time.Hour}, reply: "1", before: 1, after: 2},
	{name: "out of order", rule: message.Rule{Action: message.Reorder, Wait: relaytest.Patience, First: 1}, reply: "2", before: 2, after: 2},
	// New connections get ECONNREFUSED.
	{name: "refused", fault: func(l *link.Link, n *evidence.Counter) (link.Heal, error) { return l.Refuse(n) }, how: "reset"},
	{name: "accepted and closed", fault: func(l *link.Link, n *evidence.Counter) (link.Heal, error) {
		return l.CloseAfter(link.EarlyClose{On: link.On{ID: "f", Count: n}})
	}, how: "closed"},
}

// The effect of each fault with each ending on both sides, including exact bytes and errno, on every transport, on a
// new connection and on one in use. Damage depends on the payload: the packages of the transports test it.
func TestConformanceMatrix(t *testing.T) {
	lengthenQuietTime(t)
	for i, tr := range transports {
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			b := tr.serve(t)
			for j, c := range matrix {
				if a := absent(&tr, c.name); a != nil {
					if a.refused != "" {
						assertRefused(t, &tr, b, c.rule, a.refused)
					}
					continue
				}
				for _, used := range []bool{false, true} {
					if !used && absent(&tr, c.name+unused) != nil {
						continue
					}
					t.Run(fmt.Sprintf("%s/used=%v", c.name, used), func(t *testing.T) {
						t.Parallel()
						m := &matrixRun{transport: tr, matrixCell: c, backend: b, key: fmt.Sprintf("k%dx%d%v", i, j, used)}
						m.run(t, used)
					})
				}
			}
		})
	}
}

// relayed is a link with a relay.
type relayed struct {
	*relaytest.Recording
	addr string
	link *link.Link // nil for datagrams
}

func openTransport(t *testing.T, tr *transport, upstream string) relayed {
	if !tr.datagrams {
		f := relaytest.OpenLinkFor(t, tr.protocol, upstream, tr.cfg)
		return relayed{&f.Recording, f.Addr, f.Link}
	}
	f := &relaytest.Recording{}
	l, err := datagram.Open(datagram.Config{Name: "orders -> payments", Protocol: tr.protocol, Upstream: upstream, Sink: f.Event})
	require.NoError(t, err)
	f.Relay = l.Relay()
	t.Cleanup(func() { require.NoError(t, l.Close()); f.CheckAccounts(t) })
	return relayed{f, l.Addr(), nil}
}

// waitOver waits until no connection is left. Datagrams have none.
func (f relayed) waitOver(t *testing.T) {
	if f.link != nil {
		relaytest.WaitUntil(t, "the connection is over", func() bool { return f.link.Counters().Live == 0 })
	}
}

// rules completes a rule for a transport.
func (tr *transport) complete(r message.Rule) message.Rule {
	r.Match, r.Code, r.Dir = tr.match, tr.code, tr.dir
	return r
}

// assertRefused checks that a relay refuses the rule of a cell that a transport lacks.
func assertRefused(t *testing.T, tr *transport, b *backend, r message.Rule, why string) {
	t.Helper()
	r = tr.complete(r)
	r.ID, r.Count = "fault-1", evidence.NewCounter("messages")
	_, err := openTransport(t, tr, b.addr).Add(r)
	assert.ErrorContains(t, err, why, "%s, %s", tr.name, r.Action)
}

// matrixRun is the run of one cell.
type matrixRun struct {
	transport
	matrixCell
	*backend
	f     relayed
	key   string
	count *evidence.Counter
	heal  func()
}

func (m *matrixRun) run(t *testing.T, used bool) {
	m.f = openTransport(t, &m.transport, m.addr)
	if m.rule.Action == message.LoseRequest || m.rule.Action == message.LoseReply {
		if slices.Contains(m.stays, m.rule.EndWith) {
			m.how = "lost"
		}
	}
	if m.rule.Action == message.Reorder && m.unicast {
		m.before, m.after = 1, 1
	}
	if !used {
		m.inject(t)
		if m.matrixCell.name == "refused" {
			_, err := net.Dial("tcp", m.f.addr)
			require.ErrorIs(t, err, syscall.ECONNREFUSED)
			return
		}
	}
	c := m.connect(t, m.f.addr, m.key, m.backend)
	if used {
		c.warm()
		m.inject(t)
	}
	began := time.Now()
	if m.matrixCell.name != "refused" { // an open connection is reset at once, so a write would fail instead of the read
		if err := c.send(); m.fault == nil { // else the first byte closes the connection, before a request of two writes is complete
			require.NoError(t, err)
		}
	}
	if m.rule.Action == message.Reorder {
		m.overtake(t)
	}
	if m.multiplexed && m.rule.Action == message.Delay {
		c.warm()
	}
	m.checkReply(t, c)
	relaytest.WaitUntil(t, "it arrives", func() bool { return c.arrived() == m.before })
	if by := m.rule.By; by > 0 {
		assert.GreaterOrEqual(t, time.Since(began), by)
	}
	relaytest.WaitUntil(t, "it is reported", func() bool { return m.count.Tally().Affected > 0 || m.rule.Late > 0 })
	m.checkHealed(t, c)
	m.checkReported(t)
}

// inject starts the fault.
func (m *matrixRun) inject(t *testing.T) {
	if m.fault == nil {
		m.count, m.heal = m.f.AddRule(t, m.complete(m.rule))
		return
	}
	m.count = evidence.NewCounter("connections")
	heal, err := m.fault(m.f.link, m.count)
	require.NoError(t, err)
	m.heal = func() { require.NoError(t, heal(context.Background())) }
}

// overtake lets another client's message pass the held one.
func (m *matrixRun) overtake(t *testing.T) {
	relaytest.WaitUntil(t, "it is held", func() bool { return len(m.f.Recorded(evidence.Held)) == 1 })
	other := m.connect(t, m.f.addr, m.key, m.backend)
	require.NoError(t, other.send())
	if !m.oneWay {
		got := other.answer()
		if m.anyOrder && got == "2" {
			got, m.reply = "1", "1"
		}
		require.Equal(t, "1", got)
	}
	relaytest.WaitUntil(t, "the other arrives", func() bool { return other.arrived() > 0 })
	other.leave(false)
}

// checkReply checks what the client receives and how its connection ends.
func (m *matrixRun) checkReply(t *testing.T, c conversation) {
	if m.reply != "" && !m.oneWay {
		got := c.answer()
		if m.separate && m.rule.Action == message.Twice && !m.rule.Second && m.rule.Late == 0 && got == "2" {
			got = "1" // the copy was faster
		}
		require.Equal(t, m.reply, got)
		if got == "error" && m.errorCloses {
			m.how = "closed"
		}
	}
	switch m.how {
	case "":
	case "silence", "held", "lost":
		require.Equal(t, "silence", c.ending(relaytest.Quiet/2))
		if m.multiplexed {
			c.warm()
		}
	default:
		require.Equal(t, m.how, c.ending(relaytest.Patience))
	}
}

// checkHealed heals the fault. Held messages arrive, an open connection remains usable, and a blackholed one stays
// silent.
func (m *matrixRun) checkHealed(t *testing.T, c conversation) {
	m.heal()
	if m.how == "held" && !m.oneWay {
		require.Equal(t, "1", c.answer())
	}
	m.f.CheckAccounts(t)
	relaytest.WaitUntil(t, "all arrive", func() bool { return c.arrived() == m.after })
	err := c.send() // on a connection that is over, whatever the result, it does not arrive
	switch m.how {
	case "", "held", "lost":
		require.NoError(t, err)
		if !m.oneWay {
			require.Equal(t, fmt.Sprint(m.after+1), c.answer())
		}
		relaytest.WaitUntil(t, "the next arrives", func() bool { return c.arrived() == m.after+1 })
		c.leave(false)
		m.f.waitOver(t)
	default:
		c.leave(false)
		m.f.waitOver(t)
		assert.Equal(t, m.after, c.arrived())
	}
}

// checkReported checks the evidence.
func (m *matrixRun) checkReported(t *testing.T) {
	if m.fault != nil {
		assert.Positive(t, m.count.Tally().Affected)
		return
	}
	assert.EqualValues(t, 1, m.count.Tally().Affected)
	stage := evidence.Applied
	if m.rule.EndWith == message.EndHeld {
		stage = evidence.Released
	}
	assert.Len(t, m.f.Recorded(stage), 1)
	if !m.datagrams && m.dir == message.ToServer && m.rule.Late == 0 { // a late copy leaves after the call
		relaytest.WaitUntil(t, "the affected call is reported", func() bool {
			n := 0
			for _, call := range m.f.FinishedCalls() {
				if call.Affected {
					n++
				}
			}
			return n == 1
		})
	}
}

package protocols_test

import (
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/link"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// matrixCase is one fault of the conformance matrix: what a raw client sees of one message, and how often the
// server executes it.
type matrixCase struct {
	Name  string
	rule  message.Rule                                                    // of the relay, or
	fault func(*link.Link, *evidence.Counter) (heal link.Heal, err error) // of the link
	// heard is the number of the execution in the answer, "" for no answer, or "error".
	reply string
	// how is how the connection ends: "closed" (FIN), "reset" (ECONNRESET), "silence" (open, but no data), or ""
	// if it does not end.
	How            string
	executedBefore int // executions before healing
	executedAfter  int // executions after healing
}

var matrix = []matrixCase{
	{Name: "request lost, reset", rule: message.Rule{Action: message.LoseRequest, EndWith: message.EndReset}, How: "reset"},
	{Name: "request lost, closed", rule: message.Rule{Action: message.LoseRequest, EndWith: message.EndClosed}, How: "closed"},
	{Name: "request lost, silence", rule: message.Rule{Action: message.LoseRequest, EndWith: message.EndSilence}, How: "silence"},
	{Name: "request lost, held", rule: message.Rule{Action: message.LoseRequest, EndWith: message.EndHeld}, How: "silence", executedAfter: 1},
	{Name: "reply lost, reset", rule: message.Rule{Action: message.LoseReply, EndWith: message.EndReset}, How: "reset", executedBefore: 1, executedAfter: 1},
	{Name: "reply lost, closed", rule: message.Rule{Action: message.LoseReply, EndWith: message.EndClosed}, How: "closed", executedBefore: 1, executedAfter: 1},
	{Name: "reply lost, silence", rule: message.Rule{Action: message.LoseReply, EndWith: message.EndSilence}, How: "silence", executedBefore: 1, executedAfter: 1},
	{Name: "reply lost, held", rule: message.Rule{Action: message.LoseReply, EndWith: message.EndHeld}, How: "silence", executedBefore: 1, executedAfter: 1},
	{Name: "answered", rule: message.Rule{Action: message.Answer, Status: 503}, reply: "error"},
	{Name: "delayed", rule: message.Rule{Action: message.Delay, By: relaytest.Quiet}, reply: "1", executedBefore: 1, executedAfter: 1},
	{Name: "twice", rule: message.Rule{Action: message.Twice}, reply: "1", executedBefore: 2, executedAfter: 2},
	{Name: "twice, second answer", rule: message.Rule{Action: message.Twice, Second: true}, reply: "2", executedBefore: 2, executedAfter: 2},
	{Name: "twice, late", rule: message.Rule{Action: message.Twice, Late: time.Hour}, reply: "1", executedBefore: 1, executedAfter: 2},
	{Name: "out of order", rule: message.Rule{Action: message.Reorder, Wait: relaytest.Patience, First: 1}, reply: "2", executedBefore: 2, executedAfter: 2},
	{Name: "header of the request changed", rule: message.Rule{Action: message.EditRequest, Headers: []string{"X-A: b"}}, reply: "1", executedBefore: 1, executedAfter: 1},
	{Name: "reply replaced", rule: message.Rule{Action: message.ReplaceReply, Body: "replaced"}, reply: "replaced", executedBefore: 1, executedAfter: 1},
	// New connections get ECONNREFUSED.
	{Name: "refused", fault: func(l *link.Link, n *evidence.Counter) (link.Heal, error) { return l.Refuse(n) }, How: "reset"},
	{Name: "accepted and closed", fault: func(l *link.Link, n *evidence.Counter) (link.Heal, error) {
		return l.CloseAfter(link.EarlyClose{On: link.On{ID: "f", Count: n}})
	}, How: "closed"},
}

// The effect of each fault with each ending on both sides, including exact bytes and errno, on a new connection
// and on one in use.
func TestConformanceMatrix(t *testing.T) {
	for _, g := range serverCases {
		t.Run(g.protocol, func(t *testing.T) {
			upstream, executed := g.serve(t)
			for i, c := range matrix {
				if !g.has(c) {
					continue
				}
				for _, used := range []bool{false, true} {
					t.Run(fmt.Sprintf("%s/used=%v", c.Name, used), func(t *testing.T) {
						m := &matrixRun{serverCase: g, matrixCase: c, Executed: executed, key: fmt.Sprintf("k%d%v", i, used)}
						m.f = relaytest.OpenLinkFor(t, g.protocol, upstream, g.Cfg)
						m.run(t, used)
					})
				}
			}
		})
	}
}

// matrixRun is the run of one case.
type matrixRun struct {
	serverCase
	matrixCase
	f        *relaytest.TestLink
	key      string
	Executed func(key string) int
	count    *evidence.Counter
	heal     func()
}

func (m *matrixRun) run(t *testing.T, used bool) {
	if m.fault == nil || !used {
		m.inject(t)
	}
	c, err := net.Dial("tcp", m.f.Addr)
	if m.Name == "refused" && !used {
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		assert.Equal(t, 0, m.Executed(m.key))
		return
	}
	require.NoError(t, err)
	p := relaytest.Peer{TCPConn: c.(*net.TCPConn), T: t}
	defer p.Close()
	if m.open != nil {
		m.open(p, m.key)
	}
	if used {
		p.Send(m.warm[0], false)
		p.Expect(m.warm[1])
	}
	if m.fault != nil && used {
		m.inject(t)
	}
	began := time.Now()
	if m.Name != "refused" { // an open connection is reset at once, so a write would fail instead of the read
		p.Send(m.Request(m.key), false)
	}
	if m.rule.Action == message.Reorder {
		m.overtake(t)
	}
	m.readResponse(t, p)
	if m.rule.Action == message.Delay {
		assert.GreaterOrEqual(t, time.Since(began), m.rule.By)
	}
	relaytest.WaitUntil(t, "it is executed", func() bool { return m.Executed(m.key) == m.executedBefore })
	relaytest.WaitUntil(t, "it is told", func() bool { return m.count.Tally().Affected > 0 || m.rule.Late > 0 })
	m.checkHealed(t, p)
	m.checkReported(t)
}

// inject starts the fault.
func (m *matrixRun) inject(t *testing.T) {
	if m.fault == nil {
		m.rule.Match, m.rule.Code = m.match, m.Code
		m.count, m.heal = m.f.AddRule(t, m.rule)
		return
	}
	m.count = evidence.NewCounter("connections")
	heal, err := m.fault(m.f.Link, m.count)
	require.NoError(t, err)
	m.heal = func() { require.NoError(t, heal(t.Context())) }
}

// overtake lets another client's message pass the held one.
func (m *matrixRun) overtake(t *testing.T) {
	relaytest.WaitUntil(t, "it is held", func() bool { return len(m.f.Recorded(evidence.Held)) == 1 })
	other := relaytest.Connect(t, m.f.Addr)
	other.Send(m.Request(m.key), false)
	other.Expect(m.answerText(m.key, "1"))
	_ = other.Close()
}

// readResponse checks what the client receives and how its connection ends.
func (m *matrixRun) readResponse(t *testing.T, p relaytest.Peer) {
	if m.reply != "" {
		got := m.readAnswer(p)
		if m.separateConn && m.rule.Action == message.Twice && !m.rule.Second && m.rule.Late == 0 && got == m.answerText(m.key, "2") {
			got = m.answerText(m.key, "1") // the copy was faster
		}
		require.Equal(t, m.answerText(m.key, m.reply), got)
	}
	bound := relaytest.Patience
	switch m.How {
	case "":
		return
	case "silence":
		bound = relaytest.Quiet / 2
	}
	rest, how := p.ReadToEnd(bound)
	require.Equal(t, m.How, how)
	require.Empty(t, rest)
}

// readAnswer reads as many bytes as the answer has.
func (m *matrixRun) readAnswer(p relaytest.Peer) string {
	p.T.Helper()
	require.NoError(p.T, p.SetReadDeadline(time.Now().Add(relaytest.Patience)))
	buf := make([]byte, len(m.answerText(m.key, m.reply)))
	n, err := io.ReadFull(p, buf)
	require.NoError(p.T, err, "after %q", buf[:n])
	return string(buf)
}

// checkHealed heals the fault. Held messages arrive, an open connection remains usable, and a blackholed one
// stays silent.
func (m *matrixRun) checkHealed(t *testing.T, p relaytest.Peer) {
	m.heal()
	if m.rule.EndWith == message.EndHeld {
		p.Expect(m.answerText(m.key, "1"))
	}
	m.f.CheckAccounts(t)
	relaytest.WaitUntil(t, "all is executed", func() bool { return m.Executed(m.key) == m.executedAfter })
	if m.How == "" || m.rule.EndWith == message.EndHeld {
		p.Send(m.Request(m.key), false)
		p.Expect(m.answerText(m.key, fmt.Sprint(m.executedAfter+1)))
		return
	}
	_, _ = p.WriteText(m.Request(m.key), false) // whatever the result, it is not executed
	_ = p.Close()
	relaytest.WaitUntil(t, "the connection is over", func() bool { return m.f.Link.Counters().Live == 0 })
	assert.Equal(t, m.executedAfter, m.Executed(m.key))
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
}

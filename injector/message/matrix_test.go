package message

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
	"github.com/firedrill-dev/firedrill/injector/link"
)

// matrixCase is one fault of the conformance matrix: what a raw client sees of one message, and how often the
// server executes it.
type matrixCase struct {
	name  string
	rule  Rule                                                            // of the relay, or
	fault func(*link.Link, *evidence.Counter) (heal link.Heal, err error) // of the link
	// heard is the number of the execution in the answer, "" for no answer, or "error".
	reply string
	// how is how the connection ends: "closed" (FIN), "reset" (ECONNRESET), "silence" (open, but no data), or ""
	// if it does not end.
	how            string
	executedBefore int // executions before healing
	executedAfter  int // executions after healing
}

var matrix = []matrixCase{
	{name: "request lost, reset", rule: Rule{Action: LoseRequest, EndWith: EndReset}, how: "reset"},
	{name: "request lost, closed", rule: Rule{Action: LoseRequest, EndWith: EndClosed}, how: "closed"},
	{name: "request lost, silence", rule: Rule{Action: LoseRequest, EndWith: EndSilence}, how: "silence"},
	{name: "request lost, held", rule: Rule{Action: LoseRequest, EndWith: EndHeld}, how: "silence", executedAfter: 1},
	{name: "reply lost, reset", rule: Rule{Action: LoseReply, EndWith: EndReset}, how: "reset", executedBefore: 1, executedAfter: 1},
	{name: "reply lost, closed", rule: Rule{Action: LoseReply, EndWith: EndClosed}, how: "closed", executedBefore: 1, executedAfter: 1},
	{name: "reply lost, silence", rule: Rule{Action: LoseReply, EndWith: EndSilence}, how: "silence", executedBefore: 1, executedAfter: 1},
	{name: "reply lost, held", rule: Rule{Action: LoseReply, EndWith: EndHeld}, how: "silence", executedBefore: 1, executedAfter: 1},
	{name: "answered", rule: Rule{Action: Answer, Status: 503}, reply: "error"},
	{name: "delayed", rule: Rule{Action: Delay, By: quiet}, reply: "1", executedBefore: 1, executedAfter: 1},
	{name: "twice", rule: Rule{Action: Twice}, reply: "1", executedBefore: 2, executedAfter: 2},
	{name: "twice, second answer", rule: Rule{Action: Twice, Second: true}, reply: "2", executedBefore: 2, executedAfter: 2},
	{name: "twice, late", rule: Rule{Action: Twice, Late: time.Hour}, reply: "1", executedBefore: 1, executedAfter: 2},
	{name: "out of order", rule: Rule{Action: Reorder, Wait: patience, First: 1}, reply: "2", executedBefore: 2, executedAfter: 2},
	// New connections get ECONNREFUSED.
	{name: "refused", fault: func(l *link.Link, n *evidence.Counter) (link.Heal, error) { return l.Refuse(n) }, how: "reset"},
	{name: "accepted and closed", fault: func(l *link.Link, n *evidence.Counter) (link.Heal, error) {
		return l.CloseAfter(link.EarlyClose{On: link.On{ID: "f", Count: n}})
	}, how: "closed"},
}

// The effect of each fault with each ending on both sides, including exact bytes and errno, on a new connection
// and on one in use.
func TestConformanceMatrix(t *testing.T) {
	for _, g := range serverCases {
		t.Run(g.protocol, func(t *testing.T) {
			upstream, executed := g.serve(t)
			for i, c := range matrix {
				for _, used := range []bool{false, true} {
					t.Run(fmt.Sprintf("%s/used=%v", c.name, used), func(t *testing.T) {
						m := &matrixRun{serverCase: g, matrixCase: c, executed: executed, key: fmt.Sprintf("k%d%v", i, used)}
						m.f = openLinkFor(t, g.protocol, upstream, g.cfg)
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
	f        *testLink
	key      string
	executed func(key string) int
	count    *evidence.Counter
	heal     func()
}

func (m *matrixRun) run(t *testing.T, used bool) {
	if m.fault == nil || !used {
		m.inject(t)
	}
	c, err := net.Dial("tcp", m.f.addr)
	if m.name == "refused" && !used {
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		assert.Equal(t, 0, m.executed(m.key))
		return
	}
	require.NoError(t, err)
	p := peer{c.(*net.TCPConn), t}
	defer p.Close()
	if used {
		p.send(m.warm[0], false)
		p.expect(m.warm[1])
	}
	if m.fault != nil && used {
		m.inject(t)
	}
	began := time.Now()
	if m.name != "refused" { // an open connection is reset at once, so a write would fail instead of the read
		p.send(m.request(m.key), false)
	}
	if m.rule.Action == Reorder {
		m.overtake(t)
	}
	m.readResponse(t, p)
	if m.rule.Action == Delay {
		assert.GreaterOrEqual(t, time.Since(began), m.rule.By)
	}
	waitUntil(t, "it is executed", func() bool { return m.executed(m.key) == m.executedBefore })
	waitUntil(t, "it is told", func() bool { return m.count.Tally().Affected > 0 || m.rule.Late > 0 })
	m.checkHealed(t, p)
	m.checkReported(t)
}

// inject starts the fault.
func (m *matrixRun) inject(t *testing.T) {
	if m.fault == nil {
		m.rule.Match, m.rule.Code = m.match, m.code
		m.count, m.heal = m.f.addRule(t, m.rule)
		return
	}
	m.count = evidence.NewCounter("connections")
	heal, err := m.fault(m.f.link, m.count)
	require.NoError(t, err)
	m.heal = func() { require.NoError(t, heal(t.Context())) }
}

// overtake lets another client's message pass the held one.
func (m *matrixRun) overtake(t *testing.T) {
	waitUntil(t, "it is held", func() bool { return len(m.f.recorded(evidence.Held)) == 1 })
	other := connect(t, m.f.addr)
	other.send(m.request(m.key), false)
	other.expect(m.answerText("1"))
	_ = other.Close()
}

// readResponse checks what the client receives and how its connection ends.
func (m *matrixRun) readResponse(t *testing.T, p peer) {
	if m.reply != "" {
		got := m.readAnswer(p)
		if m.separateConn && m.rule.Action == Twice && !m.rule.Second && m.rule.Late == 0 && got == m.answerText("2") {
			got = m.answerText("1") // the copy was faster
		}
		require.Equal(t, m.answerText(m.reply), got)
	}
	bound := patience
	switch m.how {
	case "":
		return
	case "silence":
		bound = quiet / 2
	}
	rest, how := p.readToEnd(bound)
	require.Equal(t, m.how, how)
	require.Empty(t, rest)
}

// readAnswer reads as many bytes as the answer has.
func (m *matrixRun) readAnswer(p peer) string {
	p.t.Helper()
	require.NoError(p.t, p.SetReadDeadline(time.Now().Add(patience)))
	buf := make([]byte, len(m.answerText(m.reply)))
	n, err := io.ReadFull(p, buf)
	require.NoError(p.t, err, "after %q", buf[:n])
	return string(buf)
}

// checkHealed heals the fault. Held messages arrive, an open connection remains usable, and a blackholed one
// stays silent.
func (m *matrixRun) checkHealed(t *testing.T, p peer) {
	m.heal()
	if m.rule.EndWith == EndHeld {
		p.expect(m.answerText("1"))
	}
	m.f.checkAccounts(t)
	waitUntil(t, "all is executed", func() bool { return m.executed(m.key) == m.executedAfter })
	if m.how == "" || m.rule.EndWith == EndHeld {
		p.send(m.request(m.key), false)
		p.expect(m.answerText(fmt.Sprint(m.executedAfter + 1)))
		return
	}
	_, _ = p.write(m.request(m.key), false) // whatever the result, it is not executed
	_ = p.Close()
	waitUntil(t, "the connection is over", func() bool { return m.f.link.Counters().Live == 0 })
	assert.Equal(t, m.executedAfter, m.executed(m.key))
}

// checkReported checks the evidence.
func (m *matrixRun) checkReported(t *testing.T) {
	if m.fault != nil {
		assert.Positive(t, m.count.Tally().Affected)
		return
	}
	assert.EqualValues(t, 1, m.count.Tally().Affected)
	stage := evidence.Applied
	if m.rule.EndWith == EndHeld {
		stage = evidence.Released
	}
	assert.Len(t, m.f.recorded(stage), 1)
}

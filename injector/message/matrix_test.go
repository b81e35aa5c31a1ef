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

// cell is one fault of the conformance matrix: what a raw client sees of one message, and how often the server acts on it.
type cell struct {
	name  string
	rule  Rule                                                            // of the relay, or
	fault func(*link.Link, *evidence.Counter) (heal link.Heal, err error) // of the link
	heard string                                                          // the number of the execution that it is told of, "" for nothing, or "error"
	how   string                                                          // how its connection ends: "closed" (FIN), "reset" (ECONNRESET), "silence" (open, and nothing comes), "" for not at all
	done  int                                                             // executions before the fault is healed
	late  int                                                             // and by the time that the connection rests again
}

var matrix = []cell{
	{name: "request lost, reset", rule: Rule{Do: LoseRequest, Then: ThenReset}, how: "reset"},
	{name: "request lost, closed", rule: Rule{Do: LoseRequest, Then: ThenClosed}, how: "closed"},
	{name: "request lost, silence", rule: Rule{Do: LoseRequest, Then: ThenSilence}, how: "silence"},
	{name: "request lost, held", rule: Rule{Do: LoseRequest, Then: ThenHeld}, how: "silence", late: 1},
	{name: "reply lost, reset", rule: Rule{Do: LoseReply, Then: ThenReset}, how: "reset", done: 1, late: 1},
	{name: "reply lost, closed", rule: Rule{Do: LoseReply, Then: ThenClosed}, how: "closed", done: 1, late: 1},
	{name: "reply lost, silence", rule: Rule{Do: LoseReply, Then: ThenSilence}, how: "silence", done: 1, late: 1},
	{name: "reply lost, held", rule: Rule{Do: LoseReply, Then: ThenHeld}, how: "silence", done: 1, late: 1},
	{name: "answered", rule: Rule{Do: Answer, Status: 503}, heard: "error"},
	{name: "delayed", rule: Rule{Do: Delay, By: quiet}, heard: "1", done: 1, late: 1},
	{name: "twice", rule: Rule{Do: Twice}, heard: "1", done: 2, late: 2},
	{name: "twice, second answer", rule: Rule{Do: Twice, Second: true}, heard: "2", done: 2, late: 2},
	{name: "twice, late", rule: Rule{Do: Twice, Late: time.Hour}, heard: "1", done: 1, late: 2},
	{name: "out of order", rule: Rule{Do: Reorder, Wait: patience, First: 1}, heard: "2", done: 2, late: 2},
	{name: "refused", fault: func(l *link.Link, n *evidence.Counter) (link.Heal, error) { return l.Refuse(n) }, how: "reset"}, // and ECONNREFUSED for whoever connects
	{name: "accepted and closed", fault: func(l *link.Link, n *evidence.Counter) (link.Heal, error) {
		return l.CloseAfter(link.Close{On: link.On{ID: "f", Count: n}})
	}, how: "closed"},
}

// What each fault with each ending looks like from both sides, byte for byte and errno for errno, on a fresh connection and on one in use.
func TestConformanceMatrix(t *testing.T) {
	for _, g := range tongues {
		t.Run(g.protocol, func(t *testing.T) {
			upstream, executed := g.serve(t)
			for i, c := range matrix {
				for _, used := range []bool{false, true} {
					t.Run(fmt.Sprintf("%s/used=%v", c.name, used), func(t *testing.T) {
						m := &meeting{tongue: g, cell: c, executed: executed, key: fmt.Sprintf("k%d%v", i, used)}
						m.f = openAs(t, g.protocol, upstream, g.cfg)
						m.run(t, used)
					})
				}
			}
		})
	}
}

// meeting is a cell that is tried.
type meeting struct {
	tongue
	cell
	f        *front
	key      string
	executed func(key string) int
	count    *evidence.Counter
	heal     func()
}

func (m *meeting) run(t *testing.T, used bool) {
	if m.fault == nil || !used {
		m.breaks(t)
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
		m.breaks(t)
	}
	began := time.Now()
	if m.name != "refused" { // whoever lives is reset at once, and a write would be told of it instead of the read
		p.send(m.ask(m.key), false)
	}
	if m.rule.Do == Reorder {
		m.pass(t)
	}
	m.hears(t, p)
	if m.rule.Do == Delay {
		assert.GreaterOrEqual(t, time.Since(began), m.rule.By)
	}
	until(t, "it is executed", func() bool { return m.executed(m.key) == m.done })
	until(t, "it is told", func() bool { return m.count.Tally().Affected > 0 || m.rule.Late > 0 })
	m.heals(t, p)
	m.told(t)
}

// breaks puts the fault on.
func (m *meeting) breaks(t *testing.T) {
	if m.fault == nil {
		m.rule.Match, m.rule.Code = m.match, m.code
		m.count, m.heal = m.f.live(t, m.rule)
		return
	}
	m.count = evidence.NewCounter("connections")
	heal, err := m.fault(m.f.link, m.count)
	require.NoError(t, err)
	m.heal = func() { require.NoError(t, heal(t.Context())) }
}

// pass lets another client's message pass the one that is held.
func (m *meeting) pass(t *testing.T) {
	until(t, "it is held", func() bool { return len(m.f.seen(evidence.Held)) == 1 })
	other := connect(t, m.f.addr)
	other.send(m.ask(m.key), false)
	other.expect(m.says("1"))
	_ = other.Close()
}

// hears holds what the client hears to what it must, and how that ends.
func (m *meeting) hears(t *testing.T, p peer) {
	if m.heard != "" {
		got := m.answers(p)
		if m.beside && m.rule.Do == Twice && !m.rule.Second && m.rule.Late == 0 && got == m.says("2") {
			got = m.says("1") // the copy was faster
		}
		require.Equal(t, m.says(m.heard), got)
	}
	bound := patience
	switch m.how {
	case "":
		return
	case "silence":
		bound = quiet / 2
	}
	rest, how := p.ends(bound)
	require.Equal(t, m.how, how)
	require.Empty(t, rest)
}

// answers reads as much as the answer is long.
func (m *meeting) answers(p peer) string {
	p.t.Helper()
	require.NoError(p.t, p.SetReadDeadline(time.Now().Add(patience)))
	buf := make([]byte, len(m.says(m.heard)))
	n, err := io.ReadFull(p, buf)
	require.NoError(p.t, err, "after %q", buf[:n])
	return string(buf)
}

// heals takes the fault off. What was held arrives, a connection that stayed open carries on, and one that fell silent stays so.
func (m *meeting) heals(t *testing.T, p peer) {
	m.heal()
	if m.rule.Then == ThenHeld {
		p.expect(m.says("1"))
	}
	m.f.balanced(t)
	until(t, "all is executed", func() bool { return m.executed(m.key) == m.late })
	if m.how == "" || m.rule.Then == ThenHeld {
		p.send(m.ask(m.key), false)
		p.expect(m.says(fmt.Sprint(m.late + 1)))
		return
	}
	_, _ = p.write(m.ask(m.key), false) // whatever comes of it, it is not executed
	_ = p.Close()
	until(t, "the connection is over", func() bool { return m.f.link.Counters().Live == 0 })
	assert.Equal(t, m.late, m.executed(m.key))
}

// told holds the evidence to what happened.
func (m *meeting) told(t *testing.T) {
	if m.fault != nil {
		assert.Positive(t, m.count.Tally().Affected)
		return
	}
	assert.EqualValues(t, 1, m.count.Tally().Affected)
	stage := evidence.Applied
	if m.rule.Then == ThenHeld {
		stage = evidence.Released
	}
	assert.Len(t, m.f.seen(stage), 1)
}

package injector

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/firedrill-dev/firedrill/injector/datagram"
	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/link"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// mirror is a dependency behind a DNS link that sends back what it gets.
type mirror struct {
	Target
	client net.Conn
	ball   string // a question
}

func newMirror(t *testing.T) *mirror {
	t.Helper()
	server, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	var all sync.WaitGroup
	all.Go(func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := server.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			_, _ = server.WriteToUDPAddrPort(buf[:n], from)
		}
	})
	t.Cleanup(func() { server.Close(); all.Wait() })
	l, err := datagram.Open(datagram.Config{Name: "orders -> dns", Protocol: "dns", Upstream: server.LocalAddr().String()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	client, err := net.Dial("udp", l.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { client.Close() })
	m := dnsmessage.Message{Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName("a.test."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}}
	ball, err := m.Pack()
	require.NoError(t, err)
	return &mirror{Target: Target{ID: "f1", Seed: 7, Datagrams: l, Relay: l.Relay()}, client: client, ball: string(ball)}
}

// throw sends the ball so often and returns what comes back in time.
func (m *mirror) throw(times, back int, patience time.Duration) (got []string) {
	for range times {
		_, _ = m.client.Write([]byte(m.ball))
	}
	buf := make([]byte, 2048)
	_ = m.client.SetReadDeadline(time.Now().Add(patience))
	for range back {
		n, err := m.client.Read(buf)
		if err != nil {
			return append(got, "nothing")
		}
		got = append(got, string(buf[:n]))
	}
	return got
}

func (m *mirror) healthy() bool {
	return slices.Equal(m.throw(1, 1, time.Second), []string{m.ball})
}

// misled says for each fault that datagrams know how to see it act.
var misled = map[string]struct {
	fault Fault
	acts  func(m *mirror) bool
}{
	"answered messages": {AnswerMessages{Code: "REFUSED"}, func(m *mirror) bool { a := m.throw(1, 1, 5*time.Second)[0]; return len(a) > 3 && a[3]&15 == 5 }},
	"corrupted messages": {CorruptMessages{}, func(m *mirror) bool {
		a := m.throw(1, 1, 5*time.Second)[0]
		return len(a) == len(m.ball) && a != m.ball && a[:12] == m.ball[:12]
	}},
	"cut off":       {CutOff{}, silent},
	"lost messages": {LoseMessages{}, silent},
	"messages out of order": {ReorderMessages{Wait: time.Hour}, func(m *mirror) bool {
		return slices.Equal(m.throw(1, 1, 50*time.Millisecond), []string{"nothing"}) && slices.Equal(m.throw(1, 2, 5*time.Second), []string{m.ball, m.ball})
	}},
	"messages twice": {MessagesTwice{}, func(m *mirror) bool { return slices.Equal(m.throw(1, 2, 5*time.Second), []string{m.ball, m.ball}) }},
	"refuse": {Refuse{}, func(m *mirror) bool {
		began := time.Now()
		return m.throw(1, 1, 10*time.Second)[0] == "nothing" && time.Since(began) < 10*time.Second
	}},
	"slow messages": {SlowMessages{By: 100 * time.Millisecond}, func(m *mirror) bool {
		began := time.Now()
		return m.throw(1, 1, 10*time.Second)[0] == m.ball && time.Since(began) >= 100*time.Millisecond
	}},
	"truncated messages": {TruncateMessages{}, func(m *mirror) bool { return m.throw(1, 1, 5*time.Second)[0] == m.ball[:len(m.ball)/2] }},
}

func silent(m *mirror) bool { return m.throw(1, 1, 100*time.Millisecond)[0] == "nothing" }

// TestMessageKinds is the conformance test of faults on messages, on a link of datagrams.
func TestMessageKinds(t *testing.T) {
	for _, k := range Kinds() {
		if k.On != "messages" {
			continue
		}
		require.Contains(t, misled, k.Name, "say how this fault is seen to act")
		on, ok := k.Value.(OnMessages)
		require.True(t, ok)
		require.Equal(t, message.ToServer, on.Rule().Dir)
		back, ok := on.Back().(OnMessages)
		require.True(t, ok)
		require.Equal(t, message.ToClient, back.Rule().Dir)
		require.Equal(t, back.Say("b", "a"), on.Say("a", "b"))
	}
	for name, d := range misled {
		t.Run(name, func(t *testing.T) {
			kind := d.fault.Kind()
			require.Equal(t, name, kind.Name)
			m := newMirror(t)
			require.True(t, m.healthy(), "before")
			m.Count = evidence.NewCounter(kind.On)
			ctx, cancel := context.WithCancel(t.Context())
			heal, err := d.fault.Inject(ctx, m.Target)
			require.NoError(t, err)
			require.True(t, d.acts(m), "nothing was disturbed")
			require.Eventually(t, func() bool { return m.Count.Tally().Affected > 0 }, 10*time.Second, time.Millisecond, "no evidence")
			cancel() // the run is over: healing is not
			require.NoError(t, heal(t.Context()))
			require.Eventually(t, m.healthy, 10*time.Second, time.Millisecond, "after")
		})
	}
}

// A link of datagrams has no connections and no stream.
func TestFaultsThatDatagramsDoNotKnow(t *testing.T) {
	m := newMirror(t)
	for _, f := range []Fault{Reset{}, SlowTraffic{By: 1}, Bandwidth{Rate: 1}} {
		_, err := f.Inject(t.Context(), m.Target)
		require.ErrorContains(t, err, "the link carries datagrams, which have neither; speak of messages")
	}
	_, err := LoseMessages{Then: message.EndReset}.Inject(t.Context(), m.Target)
	require.ErrorContains(t, err, "a datagram has no connection that could end")
	_, err = LoseMessages{}.Inject(t.Context(), Target{Link: &link.Link{}})
	require.ErrorContains(t, err, "declare its protocol")
}

func TestSentencesOfMessages(t *testing.T) {
	pick := func(p Pick) Messages { return Messages{Pick: p} }
	for want, f := range map[string]Fault{
		`5% of messages from "a" to "b" are lost, then closed`:                                  LoseMessages{Then: message.EndClosed, Messages: pick(Pick{Share: 0.05})},
		`messages from "b" to "a" are corrupted`:                                                CorruptMessages{Messages{Dir: message.ToClient}},
		`only "COUNTER" messages from "a" to "b" are truncated`:                                 TruncateMessages{pick(Pick{Match: message.Match{Method: "counter"}})},
		`the first 3 "A api.example.com" messages from "a" to "b" are answered with "NXDOMAIN"`: AnswerMessages{Code: "NXDOMAIN", Messages: pick(Pick{First: 3, Match: message.Match{Method: "A", Path: "api.example.com"}})},
		`only "orders.*" messages from "a" to "b" are delivered twice, the copy 2s late`:        MessagesTwice{Late: 2 * time.Second, Messages: pick(Pick{Match: message.Match{Path: "orders.*"}})},
		`messages from "a" to "b" are delayed by 50ms, give or take 10ms`:                       SlowMessages{By: 50 * time.Millisecond, Jitter: 10 * time.Millisecond},
	} {
		require.Equal(t, want, f.Say("a", "b"))
	}
}

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

// echoTarget is a DNS link to a server that sends every datagram back.
type echoTarget struct {
	Target
	client net.Conn
	query  string // a DNS query
}

func newEchoTarget(t *testing.T) *echoTarget {
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
	query, err := m.Pack()
	require.NoError(t, err)
	return &echoTarget{Target: Target{ID: "f1", Seed: 7, Datagrams: l, Relay: l.Relay()}, client: client, query: string(query)}
}

// ask sends n queries and returns up to answers datagrams, or "nothing" at the time limit.
func (m *echoTarget) ask(n, answers int, patience time.Duration) (got []string) {
	for range n {
		_, _ = m.client.Write([]byte(m.query))
	}
	buf := make([]byte, 2048)
	_ = m.client.SetReadDeadline(time.Now().Add(patience))
	for range answers {
		n, err := m.client.Read(buf)
		if err != nil {
			return append(got, "nothing")
		}
		got = append(got, string(buf[:n]))
	}
	return got
}

func (m *echoTarget) healthy() bool {
	return slices.Equal(m.ask(1, 1, time.Second), []string{m.query})
}

// datagramEffects lists, for each fault on datagrams, an example and how to observe its effect.
var datagramEffects = map[string]struct {
	fault Fault
	acts  func(m *echoTarget) bool
}{
	"answered messages": {AnswerMessages{Code: "REFUSED"}, func(m *echoTarget) bool { a := m.ask(1, 1, patience)[0]; return len(a) > 3 && a[3]&15 == 5 }},
	"corrupted messages": {CorruptMessages{}, func(m *echoTarget) bool {
		a := m.ask(1, 1, patience)[0]
		return len(a) == len(m.query) && a != m.query && a[:12] == m.query[:12]
	}},
	"cut off":       {CutOff{}, silent},
	"lost messages": {LoseMessages{}, silent},
	"messages out of order": {ReorderMessages{Wait: time.Hour}, func(m *echoTarget) bool {
		return slices.Equal(m.ask(1, 1, 50*time.Millisecond), []string{"nothing"}) && slices.Equal(m.ask(1, 2, patience), []string{m.query, m.query})
	}},
	"messages twice": {MessagesTwice{}, func(m *echoTarget) bool { return slices.Equal(m.ask(1, 2, patience), []string{m.query, m.query}) }},
	"refuse": {Refuse{}, func(m *echoTarget) bool {
		began := time.Now()
		return m.ask(1, 1, patience)[0] == "nothing" && time.Since(began) < patience
	}},
	"slow messages": {SlowMessages{By: 100 * time.Millisecond}, func(m *echoTarget) bool {
		began := time.Now()
		return m.ask(1, 1, patience)[0] == m.query && time.Since(began) >= 100*time.Millisecond
	}},
	"truncated messages": {TruncateMessages{}, func(m *echoTarget) bool { return m.ask(1, 1, patience)[0] == m.query[:len(m.query)/2] }},
}

func silent(m *echoTarget) bool { return m.ask(1, 1, 100*time.Millisecond)[0] == "nothing" }

// TestMessageKinds is the conformance test of faults on messages. It uses a datagram link.
func TestMessageKinds(t *testing.T) {
	for _, k := range Kinds() {
		if k.On != "messages" {
			continue
		}
		require.Contains(t, datagramEffects, k.Name, "say how this fault is seen to act")
		on, ok := k.Value.(OnMessages)
		require.True(t, ok)
		require.Equal(t, message.ToServer, on.Rule().Dir)
		back, ok := on.FromServer().(OnMessages)
		require.True(t, ok)
		require.Equal(t, message.ToClient, back.Rule().Dir)
		require.Equal(t, back.Say("b", "a"), on.Say("a", "b"))
	}
	for name, d := range datagramEffects {
		t.Run(name, func(t *testing.T) {
			kind := d.fault.Kind()
			require.Equal(t, name, kind.Name)
			m := newEchoTarget(t)
			require.True(t, m.healthy(), "before")
			m.Count = evidence.NewCounter(kind.On)
			ctx, cancel := context.WithCancel(t.Context())
			heal, err := d.fault.Inject(ctx, m.Target)
			require.NoError(t, err)
			require.True(t, d.acts(m), "the fault had no effect")
			require.Eventually(t, func() bool { return m.Count.Tally().Affected > 0 }, patience, time.Millisecond, "the effect was not counted")
			cancel() // healing must work after the run was cancelled
			require.NoError(t, heal(t.Context()))
			require.Eventually(t, m.healthy, patience, time.Millisecond, "after")
		})
	}
}

// TestDatagramLinksRejectStreamFaults also checks faults on messages that need a connection.
func TestDatagramLinksRejectStreamFaults(t *testing.T) {
	m := newEchoTarget(t)
	for _, f := range []Fault{Reset{}, SlowTraffic{By: 1}, Bandwidth{Rate: 1}} {
		_, err := f.Inject(t.Context(), m.Target)
		require.ErrorContains(t, err, "the link carries datagrams, which have neither; use a fault on messages")
	}
	_, err := LoseMessages{Then: message.EndReset}.Inject(t.Context(), m.Target)
	require.ErrorContains(t, err, "a datagram has no connection that could end")
	_, err = LoseMessages{}.Inject(t.Context(), Target{Link: &link.Link{}})
	require.ErrorContains(t, err, "declare its protocol")
}

func TestMessageSentences(t *testing.T) {
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

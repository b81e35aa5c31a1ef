package datagram

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
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

// maxPayload is the largest payload of a UDP datagram over IPv4.
const maxPayload = 64<<10 - 1 - 8 - 20

// Without a rule, and with one that never matches, every datagram passes unchanged in both directions.
func TestDatagramsAreUnchangedWithoutRules(t *testing.T) {
	for _, protocol := range []string{"udp", "dns", "statsd"} {
		for _, rule := range []*message.Rule{nil, {Action: message.LoseRequest, Share: 1e-12}} {
			t.Run(fmt.Sprint(protocol, " with a rule: ", rule != nil), func(t *testing.T) {
				server := serve(t)
				f := openLink(t, server.addr(), Config{Protocol: protocol})
				if rule != nil {
					f.AddRule(t, *rule)
					f.AddRule(t, message.Rule{ID: "back", Action: message.LoseRequest, Dir: message.ToClient, Share: 1e-12})
				}
				client := connect(t, f.Addr())
				random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test's choices
				for _, size := range []int{0, 1, 11, 12, 13, 512, 1472, 1473, 9000, maxPayload - 1, maxPayload, 0} {
					body := make([]byte, size)
					for i := range body {
						body[i] = byte(random.Uint32())
					}
					client.send(string(body))
					got, from := server.next()
					require.True(t, bytes.Equal(body, []byte(got)), "%d bytes to the server", size)
					_, err := server.WriteToUDP(body, from)
					require.NoError(t, err)
					got, _ = client.next()
					require.True(t, bytes.Equal(body, []byte(got)), "%d bytes to the client", size)
				}
				to, from := f.CheckAccounts(t)
				assert.Equal(t, evidence.Accounts{Received: 12, Delivered: 12, Written: 12}, to)
				assert.Equal(t, to, from)
				assert.Empty(t, f.Recorded(evidence.Applied))
			})
		}
	}
}

// Each client has its own address at the dependency, even if answers arrive long after other clients have asked.
func TestClientsAreSeparated(t *testing.T) {
	server := serve(t)
	f := openLink(t, server.addr(), Config{})
	clients := make([]*peer, 8)
	froms := make([]*net.UDPAddr, 8)
	seen := map[string]bool{}
	for i := range clients {
		clients[i] = connect(t, f.Addr())
		clients[i].send("hello")
		_, froms[i] = server.next()
		seen[froms[i].String()] = true
	}
	assert.Len(t, seen, 8)
	for round := range 3 {
		for i, from := range froms {
			_, err := server.WriteToUDP(fmt.Append(nil, i, round), from)
			require.NoError(t, err)
		}
	}
	for i, c := range clients {
		c.expect(fmt.Sprint(i, " 0"), fmt.Sprint(i, " 1"), fmt.Sprint(i, " 2"))
	}
	assert.Equal(t, Counters{Opened: 8, Live: 8}, f.Counters())
}

// If the dependency does not run, the kernel answers with ICMP: the client's later datagrams are still sent, and
// arrive once it runs.
func TestDependencyStartsLate(t *testing.T) {
	server := serve(t)
	addr := server.addr()
	_ = server.Close()
	f := openLink(t, addr, Config{})
	client := connect(t, f.Addr())
	for i := range 5 {
		client.send("nobody")
		relaytest.WaitUntil(t, "it is refused", func() bool { return f.Counters().Refused > int64(i) })
	}
	at, err := net.ResolveUDPAddr("udp", addr)
	require.NoError(t, err)
	c, err := net.ListenUDP("udp", at)
	require.NoError(t, err)
	server = newPeer(t, c)
	client.send("first")
	client.send("second")
	server.expect("first", "second")
	to, _ := f.CheckAccounts(t)
	assert.EqualValues(t, 7, to.Delivered)
	assert.Zero(t, f.Counters().Errors)
}

// Refuse closes the port: the operating system reports it to a connected client. Healing opens the same port;
// healing twice has no further effect.
func TestRefuse(t *testing.T) {
	for _, protocol := range []string{"udp", "dns"} {
		addr := echo(t)
		f := openLink(t, addr, Config{Protocol: protocol})
		client := connect(t, f.Addr())
		client.send("a")
		client.expect("a")
		count := evidence.NewCounter("connections")
		heal, err := f.Refuse(count)
		require.NoError(t, err)
		second, err := f.Refuse(nil)
		require.NoError(t, err)
		assert.EqualValues(t, 1, count.Tally().Affected)
		require.NotNil(t, f.reserved, "the number is kept from before the port is closed")
		refused := func() bool {
			client.send("b")
			_ = client.SetReadDeadline(time.Now().Add(relaytest.Patience))
			_, err := client.Read(client.buf)
			return assert.ErrorIs(t, err, syscall.ECONNREFUSED)
		}
		require.True(t, refused())
		require.NoError(t, second(t.Context()))
		require.NoError(t, second(t.Context()))
		require.True(t, refused(), "the other one is live")
		require.NoError(t, heal(t.Context()))
		client.send("c")
		client.expect("c")
		if protocol == "dns" {
			if conn, err := net.Dial("tcp", f.Addr()); err == nil {
				_ = conn.Close()
			} else {
				assert.NotErrorIs(t, err, syscall.ECONNREFUSED, "its port is open; the dependency has none")
			}
		}
	}
}

func TestRefuseClosedLink(t *testing.T) {
	l, err := Open(Config{Name: "a -> b", Protocol: "udp", Upstream: "127.0.0.1:9"})
	require.NoError(t, err)
	heal, err := l.Refuse(nil)
	require.NoError(t, err)
	require.NoError(t, l.Close())
	require.NoError(t, l.Close())
	require.NoError(t, heal(t.Context()))
	_, err = l.Refuse(nil)
	require.ErrorContains(t, err, `refuse datagrams on link "a -> b"`)
}

// CutOff loses datagrams sent meanwhile, and none of them arrives later.
func TestCutOff(t *testing.T) {
	for name, c := range map[string]struct {
		dir      link.Dir
		to, from bool // whether datagrams pass
	}{"both": {link.Both, false, false}, "to server": {link.ToServer, false, true}, "to client": {link.ToClient, true, false}} {
		t.Run(name, func(t *testing.T) {
			server := serve(t)
			f := openLink(t, server.addr(), Config{})
			client := connect(t, f.Addr())
			client.send("before")
			_, from := server.next()
			count := evidence.NewCounter("traffic")
			heal, err := f.CutOff(link.Cut{On: link.On{ID: "fault-1", Count: count}, Dir: c.dir})
			require.NoError(t, err)
			client.send("meanwhile")
			_, err = server.WriteToUDP([]byte("meanwhile"), from)
			require.NoError(t, err)
			for p, through := range map[*peer]bool{server: c.to, client: c.from} {
				if through {
					p.expect("meanwhile")
				} else {
					p.expectNothing()
				}
			}
			assert.Equal(t, map[bool]int64{true: 1, false: 2}[c.to || c.from], count.Tally().Affected)
			require.NoError(t, heal(t.Context()))
			require.NoError(t, heal(t.Context()))
			client.send("after")
			server.expect("after")
			_, err = server.WriteToUDP([]byte("after"), from)
			require.NoError(t, err)
			client.expect("after")
		})
	}
}

// If there are too many clients, the one that was used least recently is forgotten, and idle clients are
// forgotten.
func TestIdleClientsExpire(t *testing.T) {
	addr := echo(t)
	f := openLink(t, addr, Config{sessions: 3})
	for range 4 {
		c := connect(t, f.Addr())
		c.send("a")
		c.expect("a")
	}
	assert.EqualValues(t, 1, f.Counters().Evicted)
	assert.EqualValues(t, 1, f.Loss().Evicted)
	assert.LessOrEqual(t, f.Counters().Live, int64(3))
	f = openLink(t, addr, Config{idle: time.Second})
	for i := range 2 {
		c := connect(t, f.Addr())
		c.send("b")
		c.expect("b")
		assert.EqualValues(t, i+1, f.Counters().Opened)
		relaytest.WaitUntil(t, "it is forgotten", func() bool { return f.Counters().Live == 0 })
	}
}

// A client with held datagrams is not idle.
func TestClientWithHeldDatagramsDoesNotExpire(t *testing.T) {
	server := serve(t)
	f := openLink(t, server.addr(), Config{idle: 10 * time.Millisecond})
	_, heal := f.AddRule(t, message.Rule{Action: message.Delay, By: time.Hour})
	client := connect(t, f.Addr())
	client.send("a")
	relaytest.WaitUntil(t, "it is kept", func() bool { return f.firstSession().held.Load() == 1 })
	time.Sleep(relaytest.Quiet) // many ticks
	heal()
	server.expect("a")
	relaytest.WaitUntil(t, "it is forgotten", func() bool { return f.Counters().Live == 0 })
}

// firstSession returns any session.
func (f *testLink) firstSession() *session {
	f.Link.mu.Lock()
	defer f.Link.mu.Unlock()
	for _, s := range f.sessions {
		return s
	}
	return &session{}
}

// Held datagrams are limited in number and size; a datagram that does not fit is forwarded and reported.
func TestHeldDatagramLimits(t *testing.T) {
	for name, cfg := range map[string]Config{"number": {held: 3}, "bytes": {bytes: 35}} {
		t.Run(name, func(t *testing.T) {
			server := serve(t)
			f := openLink(t, server.addr(), cfg)
			_, heal := f.AddRule(t, message.Rule{Action: message.Delay, By: time.Hour})
			client := connect(t, f.Addr())
			for i := range 5 {
				client.send(fmt.Sprint("datagram ", i))
			}
			server.expect("datagram 3", "datagram 4")
			server.expectNothing()
			require.Len(t, f.Recorded(evidence.Skipped), 2)
			assert.Equal(t, fullReason, f.Recorded(evidence.Skipped)[0].Detail)
			heal()
			server.expect("datagram 0", "datagram 1", "datagram 2")
		})
	}
}

// Each delay for which there is no room is reported for its own rule.
func TestSkippedDelays(t *testing.T) {
	server := serve(t)
	f := openLink(t, server.addr(), Config{held: -1}) // no room
	f.AddRule(t, message.Rule{ID: "f1", Action: message.Delay, By: time.Hour})
	f.AddRule(t, message.Rule{ID: "f2", Action: message.Delay, By: time.Hour})
	connect(t, f.Addr()).send("a")
	server.expect("a")
	var rules []string
	for _, e := range f.Recorded(evidence.Skipped) {
		rules = append(rules, e.Fault)
	}
	assert.ElementsMatch(t, []string{"f1", "f2"}, rules)
}

// Close works with datagrams in every state; see also TestMain.
func TestCloseDropsHeldDatagrams(t *testing.T) {
	server := serve(t)
	f := openLink(t, server.addr(), Config{})
	f.AddRule(t, message.Rule{ID: "f1", Action: message.Twice, Late: time.Hour, To: 1, From: 1})
	f.AddRule(t, message.Rule{ID: "f2", Action: message.Reorder, Wait: time.Hour})
	client := connect(t, f.Addr())
	client.send("a")
	client.send("b")
	relaytest.WaitUntil(t, "both are kept", func() bool { return f.firstSession().held.Load() == 2 })
	require.NoError(t, f.Close())
	to, _ := f.CheckAccounts(t)
	assert.Equal(t, evidence.Accounts{Received: 2, Delivered: 1, Written: 1, Collateral: 1}, to)
}

// Held datagrams are lost when their port is closed, and this is recorded.
func TestHeldDatagramsAreLostWithTheirPort(t *testing.T) {
	server := serve(t)
	f := openLink(t, server.addr(), Config{})
	f.AddRule(t, message.Rule{ID: "f1", Action: message.Corrupt})
	_, heal := f.AddRule(t, message.Rule{ID: "f2", Action: message.Delay, By: time.Hour})
	client := connect(t, f.Addr())
	client.send("a")
	relaytest.WaitUntil(t, "it is kept", func() bool { return f.firstSession().held.Load() == 1 })
	end, err := f.Refuse(nil)
	require.NoError(t, err)
	heal()
	to, _ := f.CheckAccounts(t)
	assert.Equal(t, evidence.Accounts{Received: 1, Collateral: 1}, to)
	assert.Len(t, f.Recorded(evidence.Collateral), 1)
	assert.Zero(t, f.Loss().Unattributed())
	require.NoError(t, end(t.Context()))
	server.expectNothing()
}

// Datagrams that the kernel drops at a dependency that does not read are counted, and are not attributed to a
// fault.
func TestLossAtTheServer(t *testing.T) {
	if _, err := os.Stat("/proc/net/udp"); err != nil {
		t.Skip("the kernel tells its drops on Linux")
	}
	server := serve(t)
	require.NoError(t, server.SetReadBuffer(4<<10))
	f := openLink(t, server.addr(), Config{})
	client := connect(t, f.Addr())
	const sent = 300
	for i := range sent {
		client.send(string(make([]byte, 1000)))
		relaytest.WaitUntil(t, "it is carried", func() bool {
			to, _, err := f.Quiesce(t.Context())
			return err == nil && to.Delivered == int64(i+1)
		})
	}
	loss := f.Loss()
	require.True(t, loss.Known)
	arrived := int64(0)
	require.NoError(t, server.SetReadDeadline(time.Now().Add(relaytest.Quiet)))
	for {
		if _, err := server.Read(server.buf); err != nil {
			break
		}
		arrived++
	}
	assert.Positive(t, loss.Server)
	assert.Equal(t, sent-arrived, loss.Server)
	assert.Zero(t, loss.Link)
	assert.Equal(t, loss.Server, loss.Unattributed())
}

// Datagrams that the kernel drops at a slow link are counted, even after its clients and its port have been
// closed.
func TestLossAtTheLink(t *testing.T) {
	if _, err := os.Stat("/proc/net/udp"); err != nil {
		t.Skip("the kernel tells its drops on Linux")
	}
	stall := make(chan struct{})
	server := serve(t)
	l, err := Open(Config{Name: "a -> b", Protocol: "udp", Upstream: server.addr(), Sink: func(evidence.Event) { <-stall }})
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	heal, err := l.Relay().Add(message.Rule{ID: "f", Action: message.LoseRequest})
	require.NoError(t, err)
	require.NoError(t, l.conn.SetReadBuffer(4<<10))
	client := connect(t, l.Addr())
	const sent = 300
	for range sent {
		client.send(string(make([]byte, 1000)))
	}
	relaytest.WaitUntil(t, "the kernel drops", func() bool { return l.Loss().Link > 0 })
	lost := l.Loss().Link
	close(stall)
	relaytest.WaitUntil(t, "the rest is carried", func() bool {
		to, _, err := l.Relay().Quiesce(t.Context())
		return err == nil && to.Received == sent-lost
	})
	require.NoError(t, heal(t.Context()))
	end, err := l.Refuse(nil)
	require.NoError(t, err)
	assert.Equal(t, lost, l.Loss().Link)
	require.NoError(t, end(t.Context()))
}

func TestInvalidLinks(t *testing.T) {
	taken := serve(t)
	for want, cfg := range map[string]Config{
		`protocol "http" is not one over UDP`: {Protocol: "http", Upstream: "127.0.0.1:9"},
		`upstream address ""`:                 {Protocol: "udp"},
		`upstream address "nobody"`:           {Protocol: "udp", Upstream: "nobody"},
		`listen address "x"`:                  {Protocol: "udp", Upstream: "127.0.0.1:9", Listen: "x"},
		"address already in use":              {Protocol: "dns", Upstream: "127.0.0.1:9", Listen: taken.addr()},
	} {
		cfg.Name = "a -> b"
		_, err := Open(cfg)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, `open link "a -> b"`)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	_, err = Open(Config{Name: "a -> b", Protocol: "dns", Upstream: "127.0.0.1:9", Listen: ln.Addr().String()})
	require.ErrorContains(t, err, "over TCP too, as DNS needs")
}

func TestIPv6(t *testing.T) {
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv6loopback})
	if err != nil {
		t.Skip("no IPv6 here")
	}
	server := newPeer(t, c)
	f := openLink(t, server.addr(), Config{Listen: "[::1]:0"})
	client := connect(t, f.Addr())
	client.send("a")
	got, from := server.next()
	require.Equal(t, "a", got)
	_, err = server.WriteToUDP([]byte("b"), from)
	require.NoError(t, err)
	client.expect("b")
	assert.Zero(t, f.Loss().Unattributed())
}

// Clients that come and go, answers and questions, under all faults at once: nothing hangs, nothing leaks, the
// accounts add up.
func TestAllFaultsTogether(t *testing.T) {
	addr := echo(t)
	f := openLink(t, addr, Config{sessions: 8, idle: 20 * time.Millisecond, held: 50})
	var heals []func()
	for i, r := range []message.Rule{
		{Action: message.Delay, By: 2 * time.Millisecond, Jitter: 2 * time.Millisecond, Share: .3}, {Action: message.LoseRequest, Share: .1},
		{Action: message.Twice, Share: .1}, {Action: message.Twice, Late: 3 * time.Millisecond, Share: .1}, {Action: message.Reorder, Wait: 5 * time.Millisecond, Share: .1},
		{Action: message.Corrupt, Share: .1}, {Action: message.Truncate, Share: .1},
	} {
		for _, d := range []message.Dir{message.ToServer, message.ToClient} {
			r.ID, r.Dir = fmt.Sprint("fault-", i, d), d
			_, heal := f.AddRule(t, r)
			heals = append(heals, heal)
		}
	}
	var all sync.WaitGroup
	for c := range 12 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(5, uint64(c))) //nolint:gosec // a test's choices
			for range 5 {
				p := connect(t, f.Addr())
				for range 20 {
					_, _ = p.Write(make([]byte, random.IntN(200)))
					if random.IntN(3) == 0 {
						_ = p.SetReadDeadline(time.Now().Add(time.Duration(random.IntN(3)) * time.Millisecond))
						_, _ = p.Read(p.buf)
					}
				}
				_ = p.Close()
			}
		})
	}
	refuse, err := f.Refuse(nil)
	require.NoError(t, err)
	require.NoError(t, refuse(t.Context()))
	all.Wait()
	relaytest.WaitUntil(t, "some of all was done", func() bool {
		for _, stage := range []evidence.Stage{evidence.Held, evidence.Applied, evidence.Skipped} {
			if len(f.Recorded(stage)) == 0 {
				return false
			}
		}
		return true
	})
	for _, heal := range heals {
		heal()
	}
	f.CheckAccounts(t)
}

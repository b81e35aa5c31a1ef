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
	"github.com/firedrill-dev/firedrill/injector/link"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// most is the largest datagram that IPv4 carries.
const most = 64<<10 - 1 - 8 - 20

// Without a rule, and with one that concerns nothing, every byte and every boundary of a datagram stays as it is, both ways.
func TestHealthyDatagramsAreTheSame(t *testing.T) {
	for _, protocol := range []string{"udp", "dns", "statsd"} {
		for _, rule := range []*message.Rule{nil, {Do: message.LoseRequest, Share: 1e-12}} {
			t.Run(fmt.Sprint(protocol, " with a rule: ", rule != nil), func(t *testing.T) {
				server := serve(t)
				f := open(t, server.addr(), Config{Protocol: protocol})
				if rule != nil {
					f.live(t, *rule)
					f.live(t, message.Rule{ID: "back", Do: message.LoseRequest, Dir: message.ToClient, Share: 1e-12})
				}
				client := connect(t, f.Addr())
				random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test's choices
				for _, size := range []int{0, 1, 11, 12, 13, 512, 1472, 1473, 9000, most - 1, most, 0} {
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
				to, from := f.balanced(t)
				assert.Equal(t, message.Books{In: 12, Out: 12}, to)
				assert.Equal(t, to, from)
				assert.Empty(t, f.seen(evidence.Applied))
			})
		}
	}
}

// Each client is one address to the dependency, also when answers come long after others asked.
func TestClientsAreKeptApart(t *testing.T) {
	server := serve(t)
	f := open(t, server.addr(), Config{})
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

// A dependency that is not there makes the kernel answer with ICMP: the client's next datagrams go out all the same, and arrive once it is there.
func TestADependencyThatComesLate(t *testing.T) {
	server := serve(t)
	addr := server.addr()
	_ = server.Close()
	f := open(t, addr, Config{})
	client := connect(t, f.Addr())
	for i := range 5 {
		client.send("nobody")
		until(t, "it is refused", func() bool { return f.Counters().Refused > int64(i) })
	}
	at, err := net.ResolveUDPAddr("udp", addr)
	require.NoError(t, err)
	c, err := net.ListenUDP("udp", at)
	require.NoError(t, err)
	server = newPeer(t, c)
	client.send("first")
	client.send("second")
	server.expect("first", "second")
	to, _ := f.balanced(t)
	assert.EqualValues(t, 7, to.Out)
	assert.Zero(t, f.Counters().Errors)
}

// Refuse closes the port: a connected client is told by the operating system. Healing opens the same port, and twice is once.
func TestRefuse(t *testing.T) {
	for _, protocol := range []string{"udp", "dns"} {
		addr := echo(t)
		f := open(t, addr, Config{Protocol: protocol})
		client := connect(t, f.Addr())
		client.send("a")
		client.expect("a")
		count := evidence.NewCounter("connections")
		heal, err := f.Refuse(count)
		require.NoError(t, err)
		second, err := f.Refuse(nil)
		require.NoError(t, err)
		assert.EqualValues(t, 1, count.Tally().Affected)
		require.NotNil(t, f.port, "the number is kept from before the port is closed")
		refused := func() bool {
			client.send("b")
			_ = client.SetReadDeadline(time.Now().Add(patience))
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

func TestRefuseOfAClosedLink(t *testing.T) {
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

// CutOff loses what is sent meanwhile, and nothing of it comes later.
func TestCutOff(t *testing.T) {
	for name, c := range map[string]struct {
		dir      link.Dir
		to, from bool // whether datagrams come through
	}{"both": {link.Both, false, false}, "to server": {link.ToServer, false, true}, "to client": {link.ToClient, true, false}} {
		t.Run(name, func(t *testing.T) {
			server := serve(t)
			f := open(t, server.addr(), Config{})
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
					p.silent()
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

// Clients beyond the bound push out the one that asked longest ago, and those who are idle are forgotten.
func TestClientsAreForgotten(t *testing.T) {
	addr := echo(t)
	f := open(t, addr, Config{sessions: 3, idle: quiet})
	for range 4 {
		c := connect(t, f.Addr())
		c.send("a")
		c.expect("a")
	}
	assert.EqualValues(t, 1, f.Counters().Evicted)
	assert.EqualValues(t, 1, f.Loss().Evicted)
	assert.LessOrEqual(t, f.Counters().Live, int64(3))
	until(t, "all are forgotten", func() bool { return f.Counters().Live == 0 })
	c := connect(t, f.Addr())
	c.send("b")
	c.expect("b")
	assert.EqualValues(t, 5, f.Counters().Opened)
}

// A client for whom something is kept back is not idle.
func TestAClientIsNotForgottenWhileSomethingWaits(t *testing.T) {
	server := serve(t)
	f := open(t, server.addr(), Config{idle: 10 * time.Millisecond})
	_, heal := f.live(t, message.Rule{Do: message.Delay, By: time.Hour})
	client := connect(t, f.Addr())
	client.send("a")
	until(t, "it is kept", func() bool { return f.session0().held.Load() == 1 })
	time.Sleep(quiet) // many ticks
	heal()
	server.expect("a")
	until(t, "it is forgotten", func() bool { return f.Counters().Live == 0 })
}

// session0 is one of the clients.
func (f *front) session0() *session {
	f.Link.mu.Lock()
	defer f.Link.mu.Unlock()
	for _, s := range f.sessions {
		return s
	}
	return &session{}
}

// What is kept back is bounded in number and bytes; what finds no room goes on and is told.
func TestRoomForWhatWaits(t *testing.T) {
	for name, cfg := range map[string]Config{"number": {held: 3}, "bytes": {bytes: 35}} {
		t.Run(name, func(t *testing.T) {
			server := serve(t)
			f := open(t, server.addr(), cfg)
			_, heal := f.live(t, message.Rule{Do: message.Delay, By: time.Hour})
			client := connect(t, f.Addr())
			for i := range 5 {
				client.send(fmt.Sprint("datagram ", i))
			}
			server.expect("datagram 3", "datagram 4")
			server.silent()
			require.Len(t, f.seen(evidence.Skipped), 2)
			assert.Equal(t, full, f.seen(evidence.Skipped)[0].Detail)
			heal()
			server.expect("datagram 0", "datagram 1", "datagram 2")
		})
	}
}

// An end of the run reaches datagrams in every state; see also TestMain.
func TestCloseDropsWhatWaits(t *testing.T) {
	server := serve(t)
	f := open(t, server.addr(), Config{})
	f.live(t, message.Rule{ID: "f1", Do: message.Twice, Late: time.Hour, To: 1, From: 1})
	f.live(t, message.Rule{ID: "f2", Do: message.Reorder, Wait: time.Hour})
	client := connect(t, f.Addr())
	client.send("a")
	client.send("b")
	until(t, "both are kept", func() bool { return f.session0().held.Load() == 2 })
	require.NoError(t, f.Close())
	to, _ := f.balanced(t)
	assert.Equal(t, message.Books{In: 2, Out: 1, Collateral: 1}, to)
}

// A port that is closed takes what is kept back with it, and that is told.
func TestWhatWaitsFallsWithItsPort(t *testing.T) {
	server := serve(t)
	f := open(t, server.addr(), Config{})
	f.live(t, message.Rule{ID: "f1", Do: message.Corrupt})
	_, heal := f.live(t, message.Rule{ID: "f2", Do: message.Delay, By: time.Hour})
	client := connect(t, f.Addr())
	client.send("a")
	until(t, "it is kept", func() bool { return f.session0().held.Load() == 1 })
	end, err := f.Refuse(nil)
	require.NoError(t, err)
	heal()
	to, _ := f.balanced(t)
	assert.Equal(t, message.Books{In: 1, Collateral: 1}, to)
	assert.Len(t, f.seen(evidence.Collateral), 1)
	assert.Zero(t, f.Loss().Unattributed())
	require.NoError(t, end(t.Context()))
	server.silent()
}

// What the kernel drops at a dependency that does not read is told, and is no fault of ours.
func TestLossAtTheServer(t *testing.T) {
	if _, err := os.Stat("/proc/net/udp"); err != nil {
		t.Skip("the kernel tells its drops on Linux")
	}
	server := serve(t)
	require.NoError(t, server.SetReadBuffer(4<<10))
	f := open(t, server.addr(), Config{})
	client := connect(t, f.Addr())
	const sent = 300
	for i := range sent {
		client.send(string(make([]byte, 1000)))
		until(t, "it is carried", func() bool { to, _, err := f.Relay().Quiesce(t.Context()); return err == nil && to.Out == int64(i+1) })
	}
	loss := f.Loss()
	require.True(t, loss.Known)
	arrived := int64(0)
	require.NoError(t, server.SetReadDeadline(time.Now().Add(quiet)))
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

// What the kernel drops in front of a link that cannot keep up is told, also after its clients and its port are gone.
func TestLossAtTheLink(t *testing.T) {
	if _, err := os.Stat("/proc/net/udp"); err != nil {
		t.Skip("the kernel tells its drops on Linux")
	}
	stall := make(chan struct{})
	server := serve(t)
	l, err := Open(Config{Name: "a -> b", Protocol: "udp", Upstream: server.addr(), Sink: func(evidence.Fate) { <-stall }})
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	heal, err := l.Relay().Add(message.Rule{ID: "f", Do: message.LoseRequest})
	require.NoError(t, err)
	require.NoError(t, l.conn.SetReadBuffer(4<<10))
	client := connect(t, l.Addr())
	const sent = 300
	for range sent {
		client.send(string(make([]byte, 1000)))
	}
	until(t, "the kernel drops", func() bool { return l.Loss().Link > 0 })
	lost := l.Loss().Link
	close(stall)
	until(t, "the rest is carried", func() bool { to, _, err := l.Relay().Quiesce(t.Context()); return err == nil && to.In == sent-lost })
	require.NoError(t, heal(t.Context()))
	end, err := l.Refuse(nil)
	require.NoError(t, err)
	assert.Equal(t, lost, l.Loss().Link)
	require.NoError(t, end(t.Context()))
}

func TestLinksThatCannotBeOpened(t *testing.T) {
	taken := serve(t)
	for want, cfg := range map[string]Config{
		`protocol "http" is none of datagrams`: {Protocol: "http", Upstream: "127.0.0.1:9"},
		`upstream address ""`:                  {Protocol: "udp"},
		`upstream address "nobody"`:            {Protocol: "udp", Upstream: "nobody"},
		`listen address "x"`:                   {Protocol: "udp", Upstream: "127.0.0.1:9", Listen: "x"},
		"address already in use":               {Protocol: "dns", Upstream: "127.0.0.1:9", Listen: taken.addr()},
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
	f := open(t, server.addr(), Config{Listen: "[::1]:0"})
	client := connect(t, f.Addr())
	client.send("a")
	got, from := server.next()
	require.Equal(t, "a", got)
	_, err = server.WriteToUDP([]byte("b"), from)
	require.NoError(t, err)
	client.expect("b")
	assert.Zero(t, f.Loss().Unattributed())
}

// Clients who come and go, answers and questions, every fault at once: nothing hangs, nothing leaks, the books balance.
func TestEveryFaultAtOnce(t *testing.T) {
	addr := echo(t)
	f := open(t, addr, Config{sessions: 8, idle: 20 * time.Millisecond, held: 50})
	var heals []func()
	for i, r := range []message.Rule{
		{Do: message.Delay, By: 2 * time.Millisecond, Jitter: 2 * time.Millisecond, Share: .3}, {Do: message.LoseRequest, Share: .1},
		{Do: message.Twice, Share: .1}, {Do: message.Twice, Late: 3 * time.Millisecond, Share: .1}, {Do: message.Reorder, Wait: 5 * time.Millisecond, Share: .1},
		{Do: message.Corrupt, Share: .1}, {Do: message.Truncate, Share: .1},
	} {
		for _, d := range []message.Dir{message.ToServer, message.ToClient} {
			r.ID, r.Dir = fmt.Sprint("fault-", i, d), d
			_, heal := f.live(t, r)
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
	until(t, "some of all was done", func() bool {
		for _, stage := range []evidence.Stage{evidence.Held, evidence.Applied, evidence.Skipped} {
			if len(f.seen(stage)) == 0 {
				return false
			}
		}
		return true
	})
	for _, heal := range heals {
		heal()
	}
	f.balanced(t)
}

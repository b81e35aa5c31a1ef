package datagram

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// With -soak 30m -timeout 0 the soak test runs for that time; the same flag of package protocols covers the
// protocols over TCP. -soakseed repeats a run.
var (
	soak     = flag.Duration("soak", time.Second, "how long all protocols meet faults at random")
	soakSeed = flag.Uint64("soakseed", 0, "of the soak's faults and clients; 0 means one of its own, which is printed")
)

// soakRun is a protocol of the soak test: its link, and one operation of a client.
type soakRun struct {
	*Link
	protocol string
	codes    []string
	once     func(c net.Conn, random *rand.Rand)
	switches int

	mu     sync.Mutex
	stages map[evidence.Stage]int
}

// All protocols under random faults that come and go, while clients come and go. In the end the accounts of
// every link add up, and no goroutines or descriptors are leaked.
func TestSoak(t *testing.T) {
	seed := *soakSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-soakseed %d", seed)
	first, err := net.ListenPacket("udp", "127.0.0.1:0") // Go opens two descriptors of its own, which it keeps
	require.NoError(t, err)
	require.NoError(t, first.Close())
	before, files := goleak.IgnoreCurrent(), descriptors()
	t.Run("all", func(t *testing.T) {
		links := []*soakRun{
			{protocol: "udp", once: func(c net.Conn, random *rand.Rand) { exchangeOnce(c, make([]byte, random.IntN(1400))) }},
			{protocol: "statsd", once: func(c net.Conn, random *rand.Rand) {
				exchangeOnce(c, fmt.Appendf(nil, "orders.total:%d|c\nlatency:3|ms", random.IntN(10)))
			}},
			{protocol: "dns", codes: dnsCodes(), once: func(c net.Conn, random *rand.Rand) {
				q, _ := new(dns.Msg).SetQuestion(fmt.Sprintf("a%d.example.test.", random.IntN(5)), dns.TypeA).Pack()
				exchangeOnce(c, q)
			}},
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var all sync.WaitGroup
		for i, s := range links {
			s.open(t)
			all.Go(func() { s.run(ctx, t, seed+uint64(i)<<32) }) //nolint:gosec // small
		}
		time.Sleep(*soak)
		for _, s := range links {
			relaytest.WaitUntil(t, "faults acted on "+s.protocol, func() bool { return s.rulesApplied() >= 10 })
		}
		cancel()
		all.Wait()
		for _, s := range links {
			f := &testLink{Link: s.Link, Recording: relaytest.Recording{Relay: s.Link.Relay()}}
			toServer, toClient := f.CheckAccounts(t)
			t.Logf("%s: %d faults, %+v, events %v, to server %+v, to client %+v, loss %+v", s.protocol, s.switches, s.Counters(), s.stages, toServer, toClient, s.Loss())
		}
	})
	relaytest.WaitUntil(t, "goroutines end", func() bool { return goleak.Find(before) == nil })
	if !assert.Eventually(t, func() bool { return len(descriptors()) <= len(files) }, relaytest.Patience, 10*time.Millisecond) {
		t.Logf("before %v, after %v", files, descriptors())
	}
}

// descriptors returns the open file descriptors, described where the system permits it.
func descriptors() (all []string) {
	dir, _ := os.ReadDir("/dev/fd")
	for _, e := range dir {
		what, _ := os.Readlink("/dev/fd/" + e.Name())
		all = append(all, e.Name()+" "+what)
	}
	return all
}

// exchangeOnce sends a datagram and waits a moment for an answer.
func exchangeOnce(c net.Conn, text []byte) {
	_, _ = c.Write(text)
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
	_, _ = c.Read(make([]byte, maxDatagram))
}

// open starts the server and the link.
func (s *soakRun) open(t testing.TB) {
	s.stages = map[evidence.Stage]int{}
	serve := echo
	if s.protocol == "dns" {
		serve = func(t testing.TB) string { return startDNS(t).addr }
	}
	l, err := Open(Config{Name: "orders -> billing", Protocol: s.protocol, Upstream: serve(t), idle: 50 * time.Millisecond, sessions: 20, Sink: func(e evidence.Event) {
		s.mu.Lock()
		s.stages[e.Stage]++
		s.mu.Unlock()
	}})
	require.NoError(t, err)
	s.Link = l
	t.Cleanup(func() { require.NoError(t, l.Close()) })
}

// rulesApplied returns how often a rule took effect.
func (s *soakRun) rulesApplied() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stages[evidence.Applied]
}

// run runs clients and faults until ctx ends, and then heals all faults.
func (s *soakRun) run(ctx context.Context, t testing.TB, seed uint64) {
	var clients sync.WaitGroup
	for c := range 4 {
		random := rand.New(rand.NewPCG(seed, uint64(c))) //nolint:gosec // a test's choices
		clients.Go(func() {
			for ctx.Err() == nil {
				c, err := net.Dial("udp", s.Addr())
				if !assert.NoError(t, err) {
					return
				}
				for range 1 + random.IntN(50) {
					s.once(c, random)
				}
				_ = c.Close()
			}
		})
	}
	random := rand.New(rand.NewPCG(seed, 99)) //nolint:gosec // a test's choices
	var live []func(context.Context) error
	for ctx.Err() == nil {
		if heal, err := s.addRule(random); err == nil { // not every protocol supports every fault
			live = append(live, heal)
			s.switches++
		}
		for limit := random.IntN(4); len(live) > limit; {
			i := random.IntN(len(live))
			assert.NoError(t, live[i](context.Background()))
			live = append(live[:i], live[i+1:]...)
		}
		time.Sleep(time.Duration(random.IntN(20)) * time.Millisecond)
	}
	for _, heal := range live {
		assert.NoError(t, heal(context.Background()))
	}
	clients.Wait()
}

// addRule adds a random fault.
func (s *soakRun) addRule(random *rand.Rand) (heal func(context.Context) error, err error) {
	if random.IntN(10) == 0 {
		return s.Refuse(nil)
	}
	all := codecs()
	p := all[slices.IndexFunc(all, func(c codec) bool { return c.Name == s.protocol })]
	ms := func(n int) time.Duration { return time.Duration(1+random.IntN(n)) * time.Millisecond }
	return s.Relay().Add(message.Rule{
		ID: fmt.Sprint("fault-", random.Uint32()), Seed: random.Uint64(), Action: p.Actions[random.IntN(len(p.Actions))], Dir: message.Dir(random.IntN(2)), Share: []float64{.02, .2, 1}[random.IntN(3)], //nolint:gosec // small
		By: ms(10), Wait: ms(20), Code: append(s.codes, "")[random.IntN(len(s.codes)+1)],
		Late: []time.Duration{0, 0, 0, ms(20)}[random.IntN(4)], Sticky: random.IntN(5) == 0, Every: uint64(random.IntN(3)), First: uint64(random.IntN(2) * 50), //nolint:gosec // small
	})
}

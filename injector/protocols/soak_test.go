package protocols_test

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"go.uber.org/goleak"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/link"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// With -soak 30m -timeout 0 the soak test runs for that time; the same flag of package datagram covers the
// protocols over UDP. -soakseed repeats a run.
var (
	soak     = flag.Duration("soak", time.Second, "how long all protocols meet faults at random")
	soakSeed = flag.Uint64("soakseed", 0, "of the soak's faults and clients; 0 means one of its own, which is printed")
)

// All protocols under random faults of messages and of streams that come and go, while clients come, go and are
// killed. In the end every link still carries messages and acts on them, the accounts of every link add up, and
// no goroutines or descriptors are leaked.
func TestSoak(t *testing.T) {
	seed := *soakSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-soakseed %d", seed)
	before, files := goleak.IgnoreCurrent(), descriptors()
	t.Run("all", func(t *testing.T) {
		var links []*soakRun
		for _, b := range soakClients {
			links = append(links, b.open(t))
		}
		faults, cancel := context.WithTimeout(t.Context(), *soak)
		defer cancel()
		var all sync.WaitGroup
		for i, s := range links {
			all.Go(func() { s.run(faults, t, seed+uint64(i)<<32) }) //nolint:gosec // small
		}
		all.Wait()
		for _, s := range links {
			s.check(t)
		}
	})
	relaytest.WaitUntil(t, "goroutines end", func() bool { return goleak.Find(before, goleak.IgnoreAnyFunction(relaytest.Starter)) == nil })
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

// open starts the server and the link.
func (b soakClient) open(t testing.TB) *soakRun {
	s := &soakRun{soakClient: b, stages: map[evidence.Stage]int{}}
	b.Cfg.Sink, b.Cfg.Calls = s.record, func(message.Call) { s.calls.Add(1) }
	upstream := b.serve(t)
	if b.tls {
		s.TestLink, s.trust = openTLSFor(t, b.protocol, upstream, b.Cfg)
	} else {
		s.TestLink = relaytest.OpenLinkFor(t, b.protocol, upstream, b.Cfg)
	}
	return s
}

// run runs clients, with faults at random until ctx ends.
func (s *soakRun) run(ctx context.Context, t testing.TB, seed uint64) {
	clientsCtx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var clients sync.WaitGroup
	for c := range 3 {
		random := rand.New(rand.NewPCG(seed, uint64(c))) //nolint:gosec // a test's choices
		clients.Go(func() { s.Client(clientsCtx, t, s.Addr, s.trust, random) })
	}
	s.changeRules(ctx, t, rand.New(rand.NewPCG(seed, 99))) //nolint:gosec // a test's choices
	s.delayAll(t)
	cancel()
	clients.Wait()
}

// delayAll delays messages until one was delayed. The random faults cannot be relied on for this: on a busy machine
// clients send so little between them that none may act on a link for half a minute.
func (s *soakRun) delayAll(t testing.TB) {
	before := s.rulesApplied()
	heal, err := s.Add(message.Rule{ID: "last", Action: message.Delay, By: time.Millisecond, Share: 1})
	if !assert.NoError(t, err) {
		return
	}
	assert.Eventually(t, func() bool { return s.rulesApplied() > before }, relaytest.Patience, time.Millisecond, "nothing was delayed on %s %s after the random faults", s.protocol, s.Name)
	assert.NoError(t, heal(context.Background()))
}

// check checks the accounts of the link.
func (s *soakRun) check(t testing.TB) {
	toServer, toClient := s.CheckAccounts(t)
	s.mu.Lock()
	defer s.mu.Unlock()
	t.Logf("%s %s: %d faults, %d connections, %d calls, events %v, to server %+v, to client %+v", s.protocol, s.Name, s.switches, s.Link.Counters().Opened, s.calls.Load(), s.stages, toServer, toClient)
}

// soakRun is a link in the soak test, with the evidence it produced.
type soakRun struct {
	soakClient
	*relaytest.TestLink
	trust    *tls.Config
	calls    atomic.Int64
	switches int

	mu     sync.Mutex
	stages map[evidence.Stage]int
}

func (s *soakRun) record(e evidence.Event) {
	s.mu.Lock()
	s.stages[e.Stage]++
	s.mu.Unlock()
}

// rulesApplied returns how often a rule took effect.
func (s *soakRun) rulesApplied() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stages[evidence.Applied]
}

// changeRules adds and heals faults until ctx ends, up to three at a time, and sometimes none.
func (s *soakRun) changeRules(ctx context.Context, t testing.TB, random *rand.Rand) {
	var live []func(context.Context) error
	for ctx.Err() == nil {
		heal, err := s.AddRule(random)
		if err == nil { // not every protocol supports every fault
			live = append(live, heal)
			s.switches++
		}
		for limit := random.IntN(4); len(live) > limit; {
			i := random.IntN(len(live))
			assert.NoError(t, live[i](context.Background()))
			live = append(live[:i], live[i+1:]...)
		}
		time.Sleep(time.Duration(random.IntN(40)) * time.Millisecond)
	}
	for _, heal := range live {
		assert.NoError(t, heal(context.Background()))
	}
}

// AddRule adds a random fault: of the stream with a probability of 1/5, otherwise of messages.
func (s *soakRun) AddRule(random *rand.Rand) (heal func(context.Context) error, err error) {
	ms := func(n int) time.Duration { return time.Duration(1+random.IntN(n)) * time.Millisecond }
	if on := (link.On{ID: "f", Seed: random.Uint64(), Share: .5}); random.IntN(5) == 0 {
		var undo link.Heal
		switch random.IntN(6) {
		case 0:
			undo, err = s.Link.Delay(link.Delay{On: on, By: 2 * time.Millisecond, Jitter: time.Millisecond})
		case 1:
			undo, err = s.Link.Slice(link.Slices{On: on, Size: 20, Vary: 19})
		case 2:
			undo, err = s.Link.Reset(link.Reset{On: on, AfterBytes: 1000})
		case 3:
			undo, err = s.Link.CutOff(link.Cut{On: on, Dir: link.Dir(random.IntN(3))}) //nolint:gosec // small
		case 4:
			undo, err = s.Link.CloseAfter(link.EarlyClose{On: on, AfterBytes: 500})
		case 5:
			undo, err = s.Link.Refuse(nil)
		}
		return undo, err
	}
	row, _ := relaytest.ProtocolOf(s.protocol)
	do := row.Actions
	return s.Add(message.Rule{
		ID: fmt.Sprint("fault-", random.Uint32()), Seed: random.Uint64(), Action: do[random.IntN(len(do))], Dir: message.Dir(random.IntN(5) / 4), Share: []float64{.02, .2, 1}[random.IntN(3)], //nolint:gosec // small
		EndWith: []message.Ending{"", message.EndReset, message.EndClosed, message.EndSilence, message.EndHeld}[random.IntN(5)], By: ms(10), Wait: ms(20),
		Second: random.IntN(3) == 0, Status: 503, Code: append(s.codes, "")[random.IntN(len(s.codes)+1)],
		Late: []time.Duration{0, 0, 0, ms(20)}[random.IntN(4)], Sticky: random.IntN(5) == 0, Every: uint64(random.IntN(3)), First: uint64(random.IntN(2) * 50), //nolint:gosec // small
		Headers: []string{"X-Soak: 1"}, Body: "replaced", Events: 1 + uint64(random.IntN(3)), Quota: []uint64{0, 0, 5}[random.IntN(3)], //nolint:gosec // small
	})
}

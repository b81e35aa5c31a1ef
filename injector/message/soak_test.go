package message

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
	"github.com/firedrill-dev/firedrill/injector/link"
)

// With -soak 30m -timeout 0 the soak goes on for so long; the same flag of package datagram does so for the protocols over UDP. -soakseed repeats one.
var (
	soak     = flag.Duration("soak", time.Second, "how long all protocols meet faults at random")
	soakSeed = flag.Uint64("soakseed", 0, "of the soak's faults and clients; 0 means one of its own, which is printed")
)

// All protocols and all faults at random, of messages and of streams, on and off while clients come, go and are killed: at the end the books of every link
// balance, and neither goroutines nor descriptors are left.
func TestSoak(t *testing.T) {
	seed := *soakSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-soakseed %d", seed)
	before, files := goleak.IgnoreCurrent(), descriptors()
	t.Run("all", func(t *testing.T) {
		var links []*soaked
		for _, b := range bathers {
			links = append(links, b.open(t))
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var all sync.WaitGroup
		for i, s := range links {
			all.Go(func() { s.run(ctx, t, seed+uint64(i)<<32) }) //nolint:gosec // small
		}
		time.Sleep(*soak)
		for _, s := range links {
			until(t, "faults act on "+s.protocol+" "+s.name, func() bool { return s.acted() > 0 })
		}
		cancel()
		all.Wait()
		for _, s := range links {
			s.judge(t)
		}
	})
	until(t, "goroutines end", func() bool { return goleak.Find(before, goleak.IgnoreAnyFunction(starter)) == nil })
	if !assert.Eventually(t, func() bool { return len(descriptors()) <= len(files) }, patience, 10*time.Millisecond) {
		t.Logf("before %v, after %v", files, descriptors())
	}
}

// descriptors lists those that are open, and what they are where the system tells.
func descriptors() (all []string) {
	dir, _ := os.ReadDir("/dev/fd")
	for _, e := range dir {
		what, _ := os.Readlink("/dev/fd/" + e.Name())
		all = append(all, e.Name()+" "+what)
	}
	return all
}

// open starts the server and the link.
func (b bather) open(t testing.TB) *soaked {
	s := &soaked{bather: b, stages: map[evidence.Stage]int{}}
	b.cfg.Sink, b.cfg.Calls = s.take, func(Call) { s.calls.Add(1) }
	upstream := b.serve(t)
	if b.sealed {
		s.front, s.trust = sealAs(t, b.protocol, upstream, b.cfg)
	} else {
		s.front = openAs(t, b.protocol, upstream, b.cfg)
	}
	return s
}

// run lets clients and faults loose until ctx ends. The faults are healed first, so that clients need not wait for what is held.
func (s *soaked) run(ctx context.Context, t testing.TB, seed uint64) {
	var clients sync.WaitGroup
	for c := range 3 {
		random := rand.New(rand.NewPCG(seed, uint64(c))) //nolint:gosec // a test's choices
		clients.Go(func() { s.client(ctx, t, s.addr, s.trust, random) })
	}
	s.disturb(ctx, t, rand.New(rand.NewPCG(seed, 99))) //nolint:gosec // a test's choices
	clients.Wait()
}

// judge holds the link to its books.
func (s *soaked) judge(t testing.TB) {
	toServer, toClient := s.balanced(t)
	s.mu.Lock()
	defer s.mu.Unlock()
	t.Logf("%s %s: %d faults, %d connections, %d calls, fates %v, to server %+v, to client %+v", s.protocol, s.name, s.switches, s.link.Counters().Opened, s.calls.Load(), s.stages, toServer, toClient)
}

// soaked is a link in the soak, with what happened on it.
type soaked struct {
	bather
	*front
	trust    *tls.Config
	calls    atomic.Int64
	switches int

	mu     sync.Mutex
	stages map[evidence.Stage]int
}

func (s *soaked) take(e evidence.Fate) {
	s.mu.Lock()
	s.stages[e.Stage]++
	s.mu.Unlock()
}

// acted is how often a fault did.
func (s *soaked) acted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stages[evidence.Applied]
}

// disturb puts faults on and takes them off until ctx ends, up to three at a time, and none for a moment now and then.
func (s *soaked) disturb(ctx context.Context, t testing.TB, random *rand.Rand) {
	var live []func(context.Context) error
	for ctx.Err() == nil {
		heal, err := s.one(random)
		if err == nil { // some are of messages which this protocol has not
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

// one is a fault at random, of messages or, one in five, of the stream.
func (s *soaked) one(random *rand.Rand) (heal func(context.Context) error, err error) {
	ms := func(n int) time.Duration { return time.Duration(1+random.IntN(n)) * time.Millisecond }
	if on := (link.On{ID: "f", Seed: random.Uint64(), Share: .5}); random.IntN(5) == 0 {
		var undo link.Heal
		switch random.IntN(6) {
		case 0:
			undo, err = s.link.Delay(link.Delay{On: on, By: 2 * time.Millisecond, Jitter: time.Millisecond})
		case 1:
			undo, err = s.link.Slice(link.Slices{On: on, Size: 20, Vary: 19})
		case 2:
			undo, err = s.link.Reset(link.Reset{On: on, AfterBytes: 1000})
		case 3:
			undo, err = s.link.CutOff(link.Cut{On: on, Dir: link.Dir(random.IntN(3))}) //nolint:gosec // small
		case 4:
			undo, err = s.link.CloseAfter(link.Close{On: on, AfterBytes: 500})
		case 5:
			undo, err = s.link.Refuse(nil)
		}
		return undo, err
	}
	do := s.Relay.protocol.Do
	return s.Add(Rule{
		ID: fmt.Sprint("fault-", random.Uint32()), Seed: random.Uint64(), Do: do[random.IntN(len(do))], Dir: Dir(random.IntN(5) / 4), Share: []float64{.02, .2, 1}[random.IntN(3)], //nolint:gosec // small
		Then: []Ending{"", ThenReset, ThenClosed, ThenSilence, ThenHeld}[random.IntN(5)], By: ms(10), Wait: ms(20), Others: random.IntN(3),
		Second: random.IntN(3) == 0, Status: 503, Code: append(s.codes, "")[random.IntN(len(s.codes)+1)],
		Late: []time.Duration{0, 0, 0, ms(20)}[random.IntN(4)], Sticky: random.IntN(5) == 0, Every: uint64(random.IntN(3)), First: uint64(random.IntN(2) * 50), //nolint:gosec // small
	})
}

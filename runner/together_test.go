package runner_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// mesh returns four services in this process that all depend on each other, which makes twelve links.
func mesh() (scenarios.System, []scenarios.Link) {
	sys := scenarios.System{Groups: []scenarios.Group{{Name: "mesh"}}}
	for _, from := range []string{"a", "b", "c", "d"} {
		sys.Services = append(sys.Services, scenarios.Service{Name: from, Handler: http.NotFoundHandler()})
		sys.Groups[0].Members = append(sys.Groups[0].Members, from)
		for _, to := range []string{"a", "b", "c", "d"} {
			if from != to {
				sys.Links = append(sys.Links, scenarios.Link{From: from, To: to})
			}
		}
	}
	return sys, sys.Links
}

// rendezvous is a fault whose injection and healing wait for those of the other faults of its step.
// One after the other, they would wait forever.
type rendezvous struct {
	*arrivals
	fails  error
	panics bool
}

type arrivals struct {
	injected, healed   chan struct{}
	mu                 sync.Mutex
	missing, leaving   int
	entered, leftAgain []string
}

func newArrivals(n int) *arrivals {
	return &arrivals{injected: make(chan struct{}), healed: make(chan struct{}), missing: n, leaving: n}
}

func (g *arrivals) wait(name string, missing *int, names *[]string, all chan struct{}) error {
	g.mu.Lock()
	*names = append(*names, name)
	if *missing--; *missing == 0 {
		close(all)
	}
	g.mu.Unlock()
	select {
	case <-all:
		return nil
	case <-time.After(20 * time.Second):
		return errors.New("the others never came")
	}
}

func (rendezvous) Kind() injector.Kind { return injector.Kind{Name: "rendezvous"} }

func (m rendezvous) Inject(_ context.Context, t injector.Target) (injector.Heal, error) {
	if err := m.wait(t.ID, &m.missing, &m.entered, m.injected); err != nil {
		return nil, err
	}
	switch {
	case m.fails != nil:
		return nil, m.fails
	case m.panics:
		panic("the guest fell")
	}
	t.Count.See(1)
	t.Count.Touch(1)
	return func(context.Context) error { return m.wait(t.ID, &m.leaving, &m.leftAgain, m.healed) }, nil
}

func (rendezvous) Say(from, to string) string { return fmt.Sprintf("%q meets %q", from, to) }

func TestFaultsOfAStepActTogether(t *testing.T) {
	t.Parallel()
	sys, links := mesh()
	g := newArrivals(len(links))
	var placed []scenarios.Placed
	for _, l := range links {
		placed = append(placed, scenarios.Placed{From: l.From, To: l.To, Fault: rendezvous{arrivals: g}})
	}
	_, h := run(t, runner.Options{}, build(t, scenarios.New("a meeting").System(sys).Together(placed...).For(time.Millisecond)))
	require.Len(t, h.Faults, len(links))
	assert.Empty(t, h.End.Reason)
	for i, f := range h.Faults {
		assert.Equal(t, links[i].Name(), f.On, "the journal has them in their order")
		assert.Equal(t, h.Faults[0].Injected, f.Injected)
		assert.Positive(t, f.Healed)
		assert.Empty(t, f.Error)
	}
}

// lateEffect has an effect when it is injected, and another after it has been healed, when the fault
// injected after it is live.
type lateEffect struct{ touch *func() }

func (lateEffect) Kind() injector.Kind { return injector.Kind{Name: "late effect"} }

func (f lateEffect) Inject(_ context.Context, t injector.Target) (injector.Heal, error) {
	t.Count.See(1)
	t.Count.Touch(1)
	if *f.touch != nil {
		(*f.touch)()
	}
	*f.touch = func() { t.Count.Touch(1) }
	return func(context.Context) error { return nil }, nil
}

func (lateEffect) Say(from, to string) string { return fmt.Sprintf("%q is late for %q", from, to) }

// Effects after healing are counted, such as that of a reply that was selected before.
func TestEffectsAfterHealingAreCounted(t *testing.T) {
	t.Parallel()
	sys, links := mesh()
	f := lateEffect{touch: new(func())}
	_, h := run(t, runner.Options{}, build(t, scenarios.New("late").System(sys).
		Inject(links[0].From, links[0].To, f).For(time.Millisecond).
		Inject(links[1].From, links[1].To, f).For(time.Millisecond)))
	require.Len(t, h.Faults, 2)
	assert.EqualValues(t, 2, h.Faults[0].Affected)
	assert.Less(t, h.Faults[0].Healed, h.Faults[1].Injected, "it was healed when it was, not when the rest was counted")
	assert.EqualValues(t, 1, h.Faults[1].Affected)
}

// TestPartitionIsLiveWithin10ms compares the times in the journal, each taken when a link was cut.
// A busy machine may delay some rounds, but not each of many.
func TestPartitionIsLiveWithin10ms(t *testing.T) {
	t.Parallel()
	sys, links := mesh()
	b := scenarios.New("cut all").System(sys)
	const rounds = 8
	for range rounds {
		b = b.Together(
			scenarios.Placed{From: "a", To: "b", Fault: injector.Partition{HalfOf: "mesh"}},
			scenarios.Placed{From: "a", To: "b", Fault: injector.CutOff{}},
			scenarios.Placed{From: "c", To: "d", Fault: injector.CutOff{}},
		).For(10 * time.Millisecond)
	}
	best, healed := time.Hour, time.Hour
	for attempt := 0; attempt < 3 && max(best, healed) >= 10*time.Millisecond; attempt++ {
		_, h := run(t, runner.Options{}, build(t, b))
		require.Len(t, h.Faults, rounds*len(links))
		live, undone := spreads(t, h, len(links))
		best, healed = min(best, live), min(healed, undone)
	}
	t.Logf("twelve links: live within %v of each other, healed within %v, at best", best, healed)
	assert.Less(t, best, 10*time.Millisecond)
	assert.Less(t, healed, 10*time.Millisecond)
}

// spreads returns the shortest time in which all faults of a round became live, and in which they were
// healed.
func spreads(t *testing.T, h *journal.History, perRound int) (live, healed time.Duration) {
	t.Helper()
	live, healed = time.Hour, time.Hour
	for round := range slices.Chunk(h.Faults, perRound) {
		var on []string
		for _, f := range round {
			on = append(on, f.On)
		}
		slices.Sort(on)
		assert.Len(t, slices.Compact(on), perRound, "each link once")
		by := func(at func(*journal.Injection) time.Duration) time.Duration {
			first := slices.MinFunc(round, func(a, b *journal.Injection) int { return int(at(a) - at(b)) })
			last := slices.MaxFunc(round, func(a, b *journal.Injection) int { return int(at(a) - at(b)) })
			require.Positive(t, at(first))
			return at(last) - at(first)
		}
		live = min(live, by(func(in *journal.Injection) time.Duration { return in.Live }))
		healed = min(healed, by(func(in *journal.Injection) time.Duration { return in.Healed }))
	}
	return live, healed
}

func TestFailedFaultHealsItsStep(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]rendezvous{"fails": {fails: errors.New("no such table")}, "panics": {panics: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sys, links := mesh()
			bad.arrivals = newArrivals(3)
			bad.leaving = 2 // the third is never injected
			_, h := run(t, runner.Options{}, build(t, scenarios.New("a bad guest").System(sys).Together(
				scenarios.Placed{From: links[0].From, To: links[0].To, Fault: rendezvous{arrivals: bad.arrivals}},
				scenarios.Placed{From: links[1].From, To: links[1].To, Fault: bad},
				scenarios.Placed{From: links[2].From, To: links[2].To, Fault: rendezvous{arrivals: bad.arrivals}},
			).Wait(time.Hour)))
			assert.Equal(t, "inconclusive", h.End.Outcome)
			assert.Regexp(t, `inject "a" meets "c": (no such table|panic: the guest fell)`, h.End.Reason)
			assert.Len(t, bad.leftAgain, 2, "the others are healed")
			require.Len(t, h.Faults, 3)
			for i, f := range h.Faults {
				assert.Positive(t, f.Healed)
				assert.Equal(t, i == 1, f.Error != "", f.Error)
				assert.Equal(t, i != 1, f.Live > 0)
			}
			assert.Less(t, h.Ended, time.Minute, "nothing happens after it")
		})
	}
}

// orderRecorder is a fault that records the order of injections and heals.
type orderRecorder struct {
	mu    *sync.Mutex
	lines *[]string
	name  string
}

func (d orderRecorder) note(line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	*d.lines = append(*d.lines, line+" "+d.name)
}

func (orderRecorder) Kind() injector.Kind { return injector.Kind{Name: "order"} }

func (d orderRecorder) Inject(_ context.Context, t injector.Target) (injector.Heal, error) {
	d.note("in")
	t.Count.Touch(1)
	return func(context.Context) error { d.note("out"); return nil }, nil
}

func (d orderRecorder) Say(_, _ string) string { return d.name + " is noted" }

func TestFaultsOnOneLinkKeepTheirOrder(t *testing.T) {
	t.Parallel()
	sys, _ := mesh()
	var mu sync.Mutex
	var lines []string
	note := func(name string) scenarios.Placed {
		return scenarios.Placed{From: "a", To: "b", Fault: orderRecorder{&mu, &lines, name}}
	}
	_, h := run(t, runner.Options{}, build(t, scenarios.New("in order").System(sys).
		Together(note("1"), note("2")).Together(note("3"), note("4")).Wait(time.Millisecond).HealAll()))
	assert.Equal(t, []string{"in 1", "in 2", "in 3", "in 4", "out 4", "out 3", "out 2", "out 1"}, lines)
	assert.Len(t, h.Faults, 4)
}

// "the fault is healed" heals all links of the partition and no earlier fault.
func TestPartitionIsHealedAsAWhole(t *testing.T) {
	t.Parallel()
	sys, _ := mesh()
	_, h := run(t, runner.Options{}, build(t, scenarios.New("as one").System(sys).
		Inject("a", "b", injector.CutOff{}).
		Partition(injector.Partition{These: []string{"c"}, RestOf: "mesh"}).
		Wait(time.Millisecond).Heal().Wait(500*time.Millisecond).HealAll()))
	require.Len(t, h.Faults, 2+6)
	for i, f := range h.Faults {
		assert.Equal(t, i < 2, f.Healed > h.Faults[2].Healed+400*time.Millisecond, f.On)
	}
}

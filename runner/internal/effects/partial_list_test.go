package effects

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// effectsWaitAfterLoad returns the state after a load of 400 requests in 10 s that each took 30 ms.
// Requests for which listed returns true have an effect.
func effectsWaitAfterLoad(listed func(at time.Duration) bool, faults ...*journal.Injection) *Wait {
	w := &Wait{ledger: &Ledger{}, acknowledged: map[string]workSpan{}, loadEnded: 10 * time.Second, Expected: Expected{Limit: 2 * time.Second, Stated: true, Faults: faults}}
	r := &Reading{Kept: map[journal.Effect]int{}}
	for i := range 400 {
		key, at := fmt.Sprint("k", i), time.Duration(i)*25*time.Millisecond
		if listed(at) {
			r.Kept[journal.Effect{Key: key, ID: "o"}]++
		}
		w.acknowledged[key] = workSpan{at, at + 30*time.Millisecond}
	}
	r.listed = len(r.Kept)
	w.add(r)
	return w
}

func fault(on string, from, to time.Duration) *journal.Injection {
	return &journal.Injection{Fault: journal.Fault{On: on, Ended: to}, Injected: from}
}

// A page omits the oldest or the newest effects, starting anywhere. Effects that a system loses are
// scattered, in the middle, or next to a fault.
func TestLossIsNotTakenForPaging(t *testing.T) {
	t.Parallel()
	const s = time.Second
	slow, crash := fault("orders -> pay", 4*s, 6*s), fault("pay", 4*s, 5*s)
	before := func(end time.Duration) func(time.Duration) bool {
		return func(at time.Duration) bool { return at < end }
	}
	since := func(from time.Duration) func(time.Duration) bool {
		return func(at time.Duration) bool { return at >= from }
	}
	except := func(from, to time.Duration) func(time.Duration) bool {
		return func(at time.Duration) bool { return at < from || at >= to }
	}
	for name, c := range map[string]struct {
		w    *Wait
		page bool
	}{
		"the newest 53": {effectsWaitAfterLoad(since(8675*time.Millisecond), slow), true},
		"the newest 53, of a system that crashed": {effectsWaitAfterLoad(since(8675*time.Millisecond), crash), true},
		"the newest 180": {effectsWaitAfterLoad(since(5500*time.Millisecond), slow), true},
		"the oldest 53":  {effectsWaitAfterLoad(before(1325*time.Millisecond), slow), true},
		"the oldest 53, of a system that crashed": {effectsWaitAfterLoad(before(1325*time.Millisecond), crash), true},
		"the oldest 351": {effectsWaitAfterLoad(before(8775*time.Millisecond), slow), true},
		"the oldest alone, since all bodies are one": {effectsWaitAfterLoad(before(25*time.Millisecond), slow), false},
		"the oldest 53, without a fault":             {effectsWaitAfterLoad(before(1325 * time.Millisecond)), true},
		"60":                                         {effectsWaitAfterLoad(before(1500*time.Millisecond), slow), true},
		"of 60, scattered":                           {effectsWaitAfterLoad(func(at time.Duration) bool { return at%(150*time.Millisecond) == 0 && at < 9*s }, slow), true},
		"kept in memory until a crash":               {effectsWaitAfterLoad(since(4500*time.Millisecond), crash), false},
		"kept in memory, with a fault on a link":     {effectsWaitAfterLoad(since(4500*time.Millisecond), slow), true},
		"2s before a crash":                          {effectsWaitAfterLoad(except(2*s, 4*s), crash), false},
		"2s before a crash without an end":           {effectsWaitAfterLoad(before(1975*time.Millisecond), fault("pay", 4*s, 11*s)), false},
		"all since the fault":                        {effectsWaitAfterLoad(before(4125*time.Millisecond), slow), false},
		"all since the fault, and what waited":       {effectsWaitAfterLoad(before(3325*time.Millisecond), slow), false},
		"all since the healing":                      {effectsWaitAfterLoad(before(6125*time.Millisecond), slow), false},
		"every 7th":                                  {effectsWaitAfterLoad(func(at time.Duration) bool { return at/(25*time.Millisecond)%7 != 0 }, slow), false},
		"those of the fault":                         {effectsWaitAfterLoad(except(4*s, 6*s), slow), false},
		"the last few":                               {effectsWaitAfterLoad(before(9825 * time.Millisecond)), false},
		"the first few":                              {effectsWaitAfterLoad(since(175 * time.Millisecond)), false},
		"the oldest 401":                             {effectsWaitAfterLoad(before(20 * s)), false},
		"none":                                       {effectsWaitAfterLoad(before(0), slow), false},
	} {
		assert.Equal(t, c.page, c.w.missingReason() != "", "%s: %s", name, c.w.missingReason())
	}
	w := effectsWaitAfterLoad(before(1325*time.Millisecond), slow)
	w.changedAt = w.loadEnded + s
	assert.Empty(t, w.missingReason(), "effects appeared after the load: the list is not full")
	w = effectsWaitAfterLoad(before(0), slow)
	w.ledger.earlier, w.latest.listed = 73, 73
	assert.Contains(t, w.missingReason(), "exactly as many as before the load")
}

// The order of effects differs from that of answers if requests are processed concurrently.
func TestPageOfOverlappingRequests(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		w := &Wait{ledger: &Ledger{}, acknowledged: map[string]workSpan{}, loadEnded: 12 * time.Second, Expected: Expected{Stated: true}}
		r := &Reading{Kept: map[journal.Effect]int{}, listed: 53}
		most := time.Duration(1+random.IntN(8)) * time.Second
		for i := range 400 {
			from := time.Duration(i) * 25 * time.Millisecond
			took := time.Duration(random.Int64N(int64(time.Second)))
			w.acknowledged[fmt.Sprint(i)] = workSpan{from, from + took}
			if from+time.Duration(random.Int64N(int64(took)+1)) < most { // applied in between
				r.Kept[journal.Effect{Key: fmt.Sprint(i)}]++
			}
		}
		w.add(r)
		assert.Contains(t, w.missingReason(), "a page of the oldest")
	}
}

func TestPageSize(t *testing.T) {
	t.Parallel()
	for _, n := range []int{10, 12, 20, 24, 25, 50, 60, 64, 99, 100, 120, 128, 200, 250, 500, 512, 1000, 1024, 2500, 10000} {
		assert.True(t, pageSize(n), n)
	}
	usual := 0
	for n := range 1000 {
		if pageSize(n) {
			usual++
		}
	}
	assert.Less(t, usual, 50, "a real loss leaves such a number behind in one run of twenty at most")
}

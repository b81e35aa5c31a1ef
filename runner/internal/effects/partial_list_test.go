package effects

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// acknowledgedFor returns an acknowledged request that was processed for some time.
func acknowledgedFor(key string, from, took time.Duration) journal.Request {
	return journal.Request{Key: key, Outcome: "acknowledged", Due: from, Attempts: []journal.Attempt{{At: from, Took: took}}}
}

// waitAfter returns the state after a load whose requests ended before loadEnded, and one reading.
func waitAfter(t *testing.T, loadEnded time.Duration, e Expected, effects []journal.Effect) *Wait {
	t.Helper()
	l := NewLedger(Source{Scenario: "k", Reader: listOf(effects...)})
	reading, err := l.Read(t.Context())
	require.NoError(t, err)
	w := l.NewWait(e, 0)
	w.loadEnded = loadEnded
	w.add(reading)
	return w
}

// listOf returns a source of effects.
func listOf(all ...journal.Effect) Reader {
	return Reader{Read: func(_ context.Context, each func(journal.Effect) error) error {
		for _, e := range all {
			if err := each(e); err != nil {
				return err
			}
		}
		return nil
	}}
}

// effectsWaitAfterLoad returns the state after a load of 400 requests in 10 s that each took 30 ms.
// Requests for which listed returns true have an effect.
func effectsWaitAfterLoad(t *testing.T, listed func(at time.Duration) bool, faults ...*journal.Injection) *Wait {
	t.Helper()
	e := Expected{Limit: 2 * time.Second, Stated: true, Faults: faults}
	var effects []journal.Effect
	for i := range 400 {
		key, at := fmt.Sprint("k", i), time.Duration(i)*25*time.Millisecond
		if listed(at) {
			effects = append(effects, journal.Effect{Key: key, ID: "o"})
		}
		e.Requests.Add(acknowledgedFor(key, at, 30*time.Millisecond))
	}
	return waitAfter(t, 10*time.Second, e, effects)
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
		"the newest 53": {effectsWaitAfterLoad(t, since(8675*time.Millisecond), slow), true},
		"the newest 53, of a system that crashed": {effectsWaitAfterLoad(t, since(8675*time.Millisecond), crash), true},
		"the newest 180": {effectsWaitAfterLoad(t, since(5500*time.Millisecond), slow), true},
		"the oldest 53":  {effectsWaitAfterLoad(t, before(1325*time.Millisecond), slow), true},
		"the oldest 53, of a system that crashed": {effectsWaitAfterLoad(t, before(1325*time.Millisecond), crash), true},
		"the oldest 351": {effectsWaitAfterLoad(t, before(8775*time.Millisecond), slow), true},
		"the oldest alone, since all bodies are one": {effectsWaitAfterLoad(t, before(25*time.Millisecond), slow), false},
		"the oldest 53, without a fault":             {effectsWaitAfterLoad(t, before(1325*time.Millisecond)), true},
		"60":                                         {effectsWaitAfterLoad(t, before(1500*time.Millisecond), slow), true},
		"of 60, scattered":                           {effectsWaitAfterLoad(t, func(at time.Duration) bool { return at%(150*time.Millisecond) == 0 && at < 9*s }, slow), true},
		"kept in memory until a crash":               {effectsWaitAfterLoad(t, since(4500*time.Millisecond), crash), false},
		"kept in memory, with a fault on a link":     {effectsWaitAfterLoad(t, since(4500*time.Millisecond), slow), true},
		"2s before a crash":                          {effectsWaitAfterLoad(t, except(2*s, 4*s), crash), false},
		"2s before a crash without an end":           {effectsWaitAfterLoad(t, before(1975*time.Millisecond), fault("pay", 4*s, 11*s)), false},
		"all since the fault":                        {effectsWaitAfterLoad(t, before(4125*time.Millisecond), slow), false},
		"all since the fault, and what waited":       {effectsWaitAfterLoad(t, before(3325*time.Millisecond), slow), false},
		"all since the healing":                      {effectsWaitAfterLoad(t, before(6125*time.Millisecond), slow), false},
		"every 7th":                                  {effectsWaitAfterLoad(t, func(at time.Duration) bool { return at/(25*time.Millisecond)%7 != 0 }, slow), false},
		"those of the fault":                         {effectsWaitAfterLoad(t, except(4*s, 6*s), slow), false},
		"the last few":                               {effectsWaitAfterLoad(t, before(9825*time.Millisecond)), false},
		"the first few":                              {effectsWaitAfterLoad(t, since(175*time.Millisecond)), false},
		"the oldest 401":                             {effectsWaitAfterLoad(t, before(20*s)), false},
		"none":                                       {effectsWaitAfterLoad(t, before(0), slow), false},
	} {
		assert.Equal(t, c.page, c.w.missingReason() != "", "%s: %s", name, c.w.missingReason())
	}
	w := effectsWaitAfterLoad(t, before(1325*time.Millisecond), slow)
	w.changedAt = w.loadEnded + s
	assert.Empty(t, w.missingReason(), "effects appeared after the load: the list is not full")
	w = effectsWaitAfterLoad(t, before(0), slow)
	w.ledger.earlier, w.latest.listed = 73, 73
	assert.Contains(t, w.missingReason(), "exactly as many as before the load")
}

// The order of effects differs from that of answers if requests are processed concurrently.
func TestPageOfOverlappingRequests(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		e := Expected{Stated: true}
		var effects []journal.Effect
		most := time.Duration(1+random.IntN(8)) * time.Second
		for i := range 400 {
			key, from := fmt.Sprint("k", i), time.Duration(i)*25*time.Millisecond
			took := time.Duration(random.Int64N(int64(time.Second)))
			e.Requests.Add(acknowledgedFor(key, from, took))
			if from+time.Duration(random.Int64N(int64(took)+1)) < most { // applied in between
				effects = append(effects, journal.Effect{Key: key})
			}
		}
		w := waitAfter(t, 12*time.Second, e, effects)
		w.latest.listed = 53 // not the size of a page
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

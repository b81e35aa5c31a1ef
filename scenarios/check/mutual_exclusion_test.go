package check

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// addLock adds a lock that two workers acquire in turn during the fault, n times, every 100 ms for 90 ms.
func (s scenario) addLock(n int) {
	l := journal.Lock{Name: "leader", Source: "lock log"}
	for i := range n {
		at, holder := 6*time.Second+time.Duration(i)*100*ms, fmt.Sprint("worker-", i%2)
		l.Events = append(l.Events, journal.LockEvent{Holder: holder, At: at}, journal.LockEvent{Holder: holder, Ends: true, At: at + 90*ms})
	}
	s.Locks = []journal.Lock{l}
	s.Seqs["lock"] = []uint64{820}
}

func TestMutualExclusion(t *testing.T) {
	events := func(change func(i int, e *journal.LockEvent)) func(scenario) {
		return func(s scenario) {
			for i := range s.Locks[0].Events {
				change(i, &s.Locks[0].Events[i])
			}
		}
	}
	for name, c := range map[string]struct {
		change func(scenario)
		want   Outcome
		why    string
	}{
		"in turn": {func(scenario) {}, Passed, ""},
		"handed over at once": {func(s scenario) {
			events(func(i int, e *journal.LockEvent) { e.At += time.Duration(i%2) * 10 * ms })(s)
		}, Passed, ""},
		"a paused holder":  {func(s scenario) { s.Locks[0].Events[5].At += 500 * ms }, Failed, `"worker-1" from +6.300s to +6.390s, while "worker-0" from +6.200s`},
		"never released":   {func(s scenario) { s.Locks[0].Events = slices.Delete(s.Locks[0].Events, 5, 6) }, Failed, `while "worker-0" from +6.200s to +6.490s held it`},
		"held to the end":  {func(s scenario) { s.Locks[0].Events = s.Locks[0].Events[:23] }, Passed, ""},
		"held before":      {func(s scenario) { s.Locks[0].Events = s.Locks[0].Events[1:] }, Passed, ""},
		"renewed":          {func(s scenario) { s.Locks[0].Events = slices.Insert(s.Locks[0].Events, 1, s.Locks[0].Events[0]) }, Passed, ""},
		"a single holder":  {events(func(_ int, e *journal.LockEvent) { e.Holder = "worker-0" }), Inconclusive, `"lock log" lists 1 holders of the lock "leader": without two of them there is no contention`},
		"before the fault": {events(func(_ int, e *journal.LockEvent) { e.At -= 4 * time.Second }), Inconclusive, "no holder acquired the lock"},
		"few":              {func(s scenario) { s.Locks[0].Events = s.Locks[0].Events[:8] }, Inconclusive, "acquired only 4 times"},
		"not read":         {func(s scenario) { s.Locks[0].Events, s.Locks[0].Error = nil, "the holders cannot be read" }, Inconclusive, "cannot be read"},
		"partly read":      {func(s scenario) { s.Locks[0].Error = "a part" }, Inconclusive, "a part"},
		"a release not read": {func(s scenario) {
			s.Locks[0].Events, s.Locks[0].Error = slices.Delete(s.Locks[0].Events, 5, 6), "item 6 has no seq"
		}, Inconclusive, "item 6 has no seq"},
		"another lock": {func(s scenario) { s.Locks[0].Name = "other" }, Inconclusive, "were not read"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScenario()
			c.change(s)
			v := Ask(MutualExclusion{Lock: "leader", Source: "lock log"}, s.History)
			require.Equal(t, c.want, v.Outcome, v.Reason)
			require.Contains(t, v.Reason, c.why)
		})
	}
}

package check

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// explainsQueue reports whether some order of operations explains what was taken, by trying all of them, as explains
// does for a register.
func explainsQueue(ops []journal.Operation, held []string) bool {
	done := true
	for i, o := range ops {
		done = done && o.To == 0
		mayBeNext := true
		for j, other := range ops {
			mayBeNext = mayBeNext && (j == i || other.To == 0 || other.To >= o.From)
		}
		if !mayBeNext {
			continue
		}
		next := held
		switch {
		case o.Write:
			next = append(append([]string{}, held...), o.Value)
		case o.To == 0:
			if len(held) == 0 {
				continue
			}
			next = held[1:]
		case o.None:
			if len(held) > 0 {
				continue
			}
		default:
			if len(held) == 0 || held[0] != o.Value {
				continue
			}
			next = held[1:]
		}
		rest := append(append([]journal.Operation{}, ops[:i]...), ops[i+1:]...)
		if explainsQueue(rest, next) {
			return true
		}
	}
	return done
}

// randomQueue returns up to 7 operations that overlap at random. open is the share of takes without an acknowledgement.
func randomQueue(random *rand.Rand, open float64) []journal.Operation {
	var ops []journal.Operation
	items := 1 + random.IntN(4)
	add := func(o journal.Operation) {
		o.Register, o.From = "q", time.Duration(1+random.IntN(20))
		o.To = o.From + time.Duration(random.IntN(6))
		ops = append(ops, o)
	}
	for i := range items {
		add(journal.Operation{Write: true, Value: fmt.Sprint(i)})
		if random.IntN(5) == 0 {
			ops[len(ops)-1].To = 0
		}
	}
	for range 1 + random.IntN(4) {
		switch {
		case random.Float64() < open:
			add(journal.Operation{})
			ops[len(ops)-1].To = 0
		case random.IntN(4) == 0:
			add(journal.Operation{None: true})
		default:
			add(journal.Operation{Value: fmt.Sprint(random.IntN(items))})
		}
	}
	return ops
}

// TestLinearizableQueueMatchesBruteForce compares the search for violations with all orders of random small histories.
// It is exact unless takes have no acknowledgement; then it may miss a violation, but not state a false one.
func TestLinearizableQueueMatchesBruteForce(t *testing.T) {
	random := rand.New(rand.NewPCG(11, 12))
	for _, open := range []float64{0, 0.3} {
		counts, missed := map[bool]int{}, 0
		n := trials(8000)
		for range n {
			ops := randomQueue(random, open)
			want := explainsQueue(ops, nil)
			wrong := newQueue(operationsOn(&journal.History{Operations: ops, Seqs: map[string][]uint64{}}, "q")).violations()
			counts[want]++
			if want {
				require.Empty(t, wrong, "%v", ops)
				continue
			}
			if len(wrong) == 0 {
				missed++
				require.Positive(t, open, "%v", ops)
			}
		}
		require.Greater(t, counts[true], n/16)
		require.Greater(t, counts[false], n/16)
		require.Less(t, missed*20, counts[false])
	}
}

// addQueue adds n items to the queue "jobs", each of which is put and taken during the fault.
func (s scenario) addQueue(n int) {
	add := func(o journal.Operation, at time.Duration) { s.addItem(o, 7*time.Second+at) }
	for i := range n {
		add(journal.Operation{Write: true, Value: fmt.Sprint(i)}, time.Duration(i)*ms)
		add(journal.Operation{Value: fmt.Sprint(i)}, time.Duration(i+2)*ms+500*time.Microsecond)
	}
	add(journal.Operation{None: true}, time.Duration(n+5)*ms)
}

// addItem adds an operation on the queue "jobs", which takes less than a millisecond.
func (s scenario) addItem(o journal.Operation, at time.Duration) {
	o.Register, o.Window, o.From, o.To = "jobs", journal.During, at, at+100*time.Microsecond
	s.Operations = append(s.Operations, o)
	s.Seqs["operation"] = append(s.Seqs["operation"], uint64(2000+len(s.Operations)))
}

// onJobs returns the i-th put of the queue "jobs" if write is set, or else its i-th take.
func (s scenario) onJobs(write bool, i int) *journal.Operation {
	for j := range s.Operations {
		if o := &s.Operations[j]; o.Register == "jobs" && o.Write == write {
			if i--; i < 0 {
				return o
			}
		}
	}
	return nil
}

func TestLinearizableQueue(t *testing.T) {
	for name, c := range map[string]struct {
		change func(scenario)
		want   Outcome
		why    string
	}{
		"in order":        {func(scenario) {}, Passed, ""},
		"taken twice":     {func(s scenario) { s.onJobs(false, 5).Value = "4" }, Failed, `"4" was taken 2 times and put 1 times`},
		"swapped":         {func(s scenario) { s.onJobs(false, 4).Value, s.onJobs(false, 5).Value = "5", "4" }, Failed, `before "4", which had been put`},
		"lost":            {func(s scenario) { s.onJobs(false, 5).Value = "99" }, Failed, `"5" was put between +7.005s and +7.005s and never taken`},
		"passed over":     {func(s scenario) { s.onJobs(false, 5).Register = "another" }, Failed, `"5" was put between +7.005s and +7.005s and never taken, although "6" was put later`},
		"taken in secret": {func(s scenario) { o := s.onJobs(false, 5); o.Value, o.To = "", 0 }, Passed, ""},
		"found nothing":   {func(s scenario) { o := s.onJobs(false, 5); o.Value, o.None = "", true }, Failed, "a take found nothing"},
		"before its put":  {func(s scenario) { s.onJobs(true, 5).From, s.onJobs(true, 5).To = 8*time.Second, 8*time.Second+1 }, Inconclusive, `1 items, such as "5", were taken before the load put them`},
		"left from before, and taken again": {func(s scenario) {
			s.onJobs(true, 5).From, s.onJobs(true, 5).To = 8*time.Second, 8*time.Second+1
			s.addItem(journal.Operation{Value: "5"}, 9*time.Second)
		}, Inconclusive, `1 items, such as "5", were taken before`},
		"left from before, and put twice": {func(s scenario) {
			s.onJobs(true, 5).From, s.onJobs(true, 5).To = 8*time.Second, 8*time.Second+1
			s.addItem(journal.Operation{Write: true, Value: "5"}, 9*time.Second)
		}, Inconclusive, `1 items, such as "5", were taken before`},
		"taken while it was put": {func(s scenario) { s.onJobs(true, 5).To = s.onJobs(false, 5).To + 1 }, Passed, ""},
		"unknown bodies":         {func(s scenario) { s.onJobs(false, 5).Value = "" }, Inconclusive, "1 takes were answered with a body that is empty"},
		"put twice":              {func(s scenario) { s.onJobs(true, 5).Value = "4" }, Inconclusive, "1 items were taken that no request"},
		"not declared":           {func(s scenario) { s.Operations = nil }, Inconclusive, "no operation on the queue was recorded"},
		"elsewhere": {func(s scenario) {
			for i := range s.Operations {
				s.Operations[i].Window = journal.Before
			}
		}, Inconclusive, "no operation was under way during the fault"},
		"changed": {func(s scenario) { s.onJobs(false, 5).Value, s.Faults[0].Alters = "4", true }, Inconclusive, "which may be because"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScenario()
			c.change(s)
			v := Ask(LinearizableQueue{Queue: "jobs"}, s.History)
			require.Equal(t, c.want, v.Outcome, v.Reason)
			require.Contains(t, fmt.Sprint(v.Reason, v.Details), c.why)
			require.Equal(t, v.Outcome == Failed, len(v.Details) > 0)
		})
	}
	s := newScenario()
	s.Operations, s.Seqs["operation"] = nil, nil
	s.addQueue(8)
	v := Ask(LinearizableQueue{Queue: "jobs"}, s.History)
	require.Equal(t, Inconclusive, v.Outcome)
	require.Contains(t, v.Reason, "only 8 items were taken")
}

package check

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// explains reports whether some order of operations explains what was read, by trying all of them. It follows the
// definition: an operation may come next if no other that is left has ended before it began. A write that was not
// acknowledged may be left out.
func explains(ops []journal.Operation, known bool, value string) bool {
	done := true
	for i, o := range ops {
		done = done && o.To == 0
		mayBeNext := true
		for j, other := range ops {
			mayBeNext = mayBeNext && (j == i || other.To == 0 || other.To >= o.From)
		}
		if !mayBeNext || !o.Write && known && value != o.Value {
			continue
		}
		rest := append(append([]journal.Operation{}, ops[:i]...), ops[i+1:]...)
		if explains(rest, true, o.Value) {
			return true
		}
	}
	return done
}

// randomOperations returns up to 7 operations that overlap at random, with few values, so that some are written
// twice, and with some writes that are not acknowledged.
func randomOperations(random *rand.Rand) []journal.Operation {
	var ops []journal.Operation
	for range 1 + random.IntN(7) {
		from := time.Duration(1 + random.IntN(20))
		o := journal.Operation{Register: "r", Write: random.IntN(2) == 0, Value: fmt.Sprint(random.IntN(4)), From: from, To: from + time.Duration(random.IntN(6))}
		if o.Write && random.IntN(4) == 0 {
			o.To = 0
		}
		ops = append(ops, o)
	}
	return ops
}

// TestLinearizableMatchesBruteForce compares the search, the shortcuts in it, and the search for stale reads with all
// orders of random small histories.
func TestLinearizableMatchesBruteForce(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	counts := map[bool]int{}
	stale, inOrder := 0, 0
	n := trials(10_000)
	for range n {
		ops := randomOperations(random)
		want := explains(ops, false, "")
		r := newRegister(operationsOn(&journal.History{Operations: ops, Seqs: map[string][]uint64{}}, "r"))
		require.Equal(t, want, r.check() == linearizable, "%v", ops)
		counts[want]++
		require.Equal(t, want, search(r.ops) == linearizable, "%v", ops)
		if ordered(r.ops) {
			require.True(t, want, "not in order: %v", ops)
			inOrder++
		}
		if len(r.staleReads()) > 0 {
			require.False(t, want, "not stale: %v", ops)
			stale++
		}
		if want {
			continue
		}
		wrong := r.firstWrong()
		require.False(t, explains(known(ops, wrong.To), false, ""), "%v", ops)
		require.True(t, explains(known(ops, wrong.To-1), false, ""), "%v", ops)
	}
	require.Greater(t, counts[true], n/10)
	require.Greater(t, counts[false], n/10)
	require.Greater(t, stale, n/33)
	require.Greater(t, inOrder, n/10)
}

// known returns what was known of operations at a time.
func known(ops []journal.Operation, at time.Duration) []journal.Operation {
	var all []journal.Operation
	for _, o := range ops {
		if o.To > at {
			o.To = 0
		}
		if o.From <= at && (o.Write || o.To != 0) {
			all = append(all, o)
		}
	}
	return all
}

// linearizableOperations returns n operations of several clients on a register that works. Every tenth write is not
// acknowledged, and half of these were applied.
func linearizableOperations(n int) []journal.Operation {
	random := rand.New(rand.NewPCG(7, 8))
	value := "0"
	var ops []journal.Operation
	for i := range n {
		at := time.Second + time.Duration(i)*10*ms // when it happens
		o := journal.Operation{Register: "greeting", Write: random.IntN(3) == 0, Value: fmt.Sprint(i), Window: journal.During,
			From: at - time.Duration(random.IntN(15))*ms, To: at + time.Duration(random.IntN(15))*ms}
		open := o.Write && random.IntN(10) == 0
		switch {
		case !o.Write:
			o.Value = value
		case !open || random.IntN(2) == 0:
			value = o.Value
		}
		if open {
			o.To = 0
		}
		ops = append(ops, o)
	}
	return ops
}

// A long history is judged at once, and so is one with a stale read in it.
func TestLinearizableOfManyOperations(t *testing.T) {
	ops := linearizableOperations(10_000)
	h := &journal.History{Operations: ops, Seqs: map[string][]uint64{}}
	v := Ask(Linearizable{Register: "greeting"}, h)
	require.Equal(t, Passed, v.Outcome, v.Reason)
	at := 9000
	for ops[at].Write {
		at++
	}
	ops[at].Value = ops[at-500].Value
	v = Ask(Linearizable{Register: "greeting"}, h)
	require.Equal(t, Failed, v.Outcome, v.Reason)
	require.Contains(t, v.Reason, "1 of ")
	require.Contains(t, v.Reason, "reads returned a stale value: a read returned")
	require.Contains(t, v.Reason, "had been written between")
}

// However many operations overlap, an order is found if each value is written once.
func TestLinearizableOfOverlappingOperations(t *testing.T) {
	s := newScenario()
	s.Operations, s.Seqs["operation"] = nil, nil
	for i := range 60 {
		s.addOperation(true, fmt.Sprint(i), 0)
		s.Operations[i].To += time.Second
	}
	for i := range 30 {
		s.addOperation(false, fmt.Sprint(59-i), time.Duration(i+1)*ms)
	}
	v := Ask(Linearizable{Register: "greeting"}, s.History)
	require.Equal(t, Passed, v.Outcome, v.Reason)
	s.addOperation(false, "59", 100*ms)
	v = Ask(Linearizable{Register: "greeting"}, s.History)
	require.NotEqual(t, Passed, v.Outcome, "59 was read again after other values")
}

// Many operations that overlap have too many orders to try. The outcome is then not known.
func TestLinearizableWithinItsLimit(t *testing.T) {
	s := newScenario()
	s.Operations, s.Seqs["operation"] = nil, nil
	for i := range 24 {
		s.addOperation(true, fmt.Sprint(i), 0)
		s.Operations[i].To += time.Second
	}
	for i := range 12 { // the value 1 is read, then others, then 1 again
		s.addOperation(false, fmt.Sprint(i%11+1), time.Duration(i+1)*ms)
	}
	v := Ask(Linearizable{Register: "greeting"}, s.History)
	require.Equal(t, Inconclusive, v.Outcome)
	require.Contains(t, v.Reason, "within the limit of steps")
}

func TestLinearizableWithoutProof(t *testing.T) {
	reads := func(value string) func(scenario) {
		return func(s scenario) {
			for i, o := range s.Operations {
				if !o.Write {
					s.Operations[i].Value = value
				}
			}
		}
	}
	for name, c := range map[string]struct {
		change func(scenario)
		want   Outcome
		why    string
	}{
		"another register":      {func(s scenario) { s.Operations = nil }, Inconclusive, "no operation on the register was recorded"},
		"bodies are not known":  {reads(""), Inconclusive, "the value of no read is known (12 were answered"},
		"some are not known":    {func(s scenario) { s.Operations[1].Value, s.Operations[3].Value = "", "" }, Inconclusive, "the values of 2 of 12 reads are not known"},
		"another form":          {reads("value 5"), Inconclusive, `none of 12 reads returned a value that was written, such as "value 5"`},
		"secrets":               {reads("password=***"), Inconclusive, "look like secrets"},
		"few":                   {func(s scenario) { s.Operations = s.Operations[:10] }, Inconclusive, "only 5 reads returned a value"},
		"before the fault only": {func(s scenario) { s.beforeTheFault() }, Inconclusive, "no operation was under way during the fault"},
		"without acknowledgement": {func(s scenario) {
			for i, o := range s.Operations {
				if o.Write {
					s.Operations[i].To = 0
				}
			}
		}, Inconclusive, "none of 12 writes was acknowledged"},
		"a lost answer": {func(s scenario) { s.Operations[4].To = 0 }, Passed, ""},
		"applied late": {func(s scenario) {
			s.Operations[4].To, s.Operations[5].Value, s.Operations[23].Value = 0, "1", "2"
		}, Passed, ""},
		"applied twice":          {func(s scenario) { s.Operations[4].To, s.Operations[23].Value = 0, "2" }, Failed, "no order of the operations explains"},
		"never written":          {func(s scenario) { s.Operations[7].Value = "nothing" }, Failed, "which nothing had written"},
		"changed by the fault":   {func(s scenario) { s.Operations[7].Value, s.Faults[0].Alters = "1", true }, Inconclusive, `because "calls are slow" changed what`},
		"there before the first": {func(s scenario) { s.addOperation(false, "old", -time.Second) }, Passed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScenario()
			c.change(s)
			v := Ask(Linearizable{Register: "greeting"}, s.History)
			require.Equal(t, c.want, v.Outcome, v.Reason)
			require.Contains(t, v.Reason, c.why)
			require.Equal(t, v.Outcome == Failed, len(v.Details) > 0)
		})
	}
}

// beforeTheFault moves all operations to the baseline.
func (s scenario) beforeTheFault() {
	for i := range s.Operations {
		s.Operations[i].Window = journal.Before
	}
}

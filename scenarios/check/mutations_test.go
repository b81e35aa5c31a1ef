package check

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// mutations change a sound history so that it violates what these checks are about. They report whether they could.
var mutations = map[string]struct {
	mutate func(*rand.Rand, scenario) bool
	checks []Check // each of them fails
}{
	"drop an acknowledged request": {func(r *rand.Rand, s scenario) bool {
		key, ok := s.pick(r, "acknowledged")
		s.drop(key)
		return ok
	}, []Check{NoneLost{}, ExactlyOnce{}}},
	"duplicate an effect": {func(r *rand.Rand, s scenario) bool {
		key, ok := s.pick(r, "acknowledged")
		s.twice(key)
		return ok
	}, []Check{NoneTwice{}, ExactlyOnce{}}},
	"apply a refused request": {func(r *rand.Rand, s scenario) bool {
		key, ok := s.pick(r, "refused")
		s.twice(key)
		return ok
	}, []Check{ExactlyOnce{}}},
	"apply an ambiguous request twice": {func(r *rand.Rand, s scenario) bool {
		key, ok := s.pick(r, "ambiguous")
		s.phantomID(key, "o-late")
		s.phantomID(key, "o-later")
		return ok
	}, []Check{NoneTwice{}, ExactlyOnce{}}},
	"add a phantom": {func(r *rand.Rand, s scenario) bool {
		s.phantom(fmt.Sprint("ghost-", r.IntN(1000)))
		return true
	}, []Check{NoPhantom{}}},
	"swap two effects": {func(r *rand.Rand, s scenario) bool {
		var order []int // of effects of acknowledged requests, as they were sent
		outcomes := map[string]string{}
		for _, q := range s.Requests.All() {
			outcomes[q.Key] = q.Outcome
		}
		for i, e := range s.Effects.Slice() {
			if outcomes[e.Key] == "acknowledged" {
				order = append(order, i)
			}
		}
		if len(order) < 5 { // where most are swapped, the list itself is in doubt
			return false
		}
		i := r.IntN(len(order) - 1)
		all := s.Effects.Slice()
		s.place(map[int]int{order[i]: all[order[i+1]].Place, order[i+1]: all[order[i]].Place})
		return true
	}, []Check{InOrder{Group: "customer_id"}}},
}

// pick returns the key of a request with this outcome.
func (s scenario) pick(r *rand.Rand, outcome string) (string, bool) {
	var keys []string
	for _, q := range s.Requests.All() {
		if q.Outcome == outcome {
			keys = append(keys, q.Key)
		}
	}
	if len(keys) == 0 {
		return "", false
	}
	return keys[r.IntN(len(keys))], true
}

// soundLedger returns a random history without violations: requests one after the other, of which each has the effects
// that its outcome allows.
func soundLedger(r *rand.Rand) scenario {
	s := newScenario()
	s.only()
	for i := range 6 + r.IntN(10) {
		outcome, effects := "acknowledged", 1
		switch r.IntN(8) {
		case 0:
			outcome, effects = "refused", 0
		case 1:
			outcome, effects = "ambiguous", r.IntN(2)
		}
		s.addRequest(fmt.Sprint("k", i), outcome, effects)
	}
	s.eachRequest(func(i int, q *journal.Request) {
		q.Window, q.Attempts[0].At = journal.During, 7*time.Second+time.Duration(i)*ms
	})
	s.eachEffect(func(i int, e *journal.Effect) { e.Group, e.Place = "c1", i+1 })
	s.EffectsRead.Count = s.Effects.Len()
	return s
}

// TestMutationsOfLedgers verifies that each mutation of each sound history is found, and that none is reported without
// one.
func TestMutationsOfLedgers(t *testing.T) {
	for name, m := range mutations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(21, 22))
			found, n := 0, trials(1500)
			for range n {
				s := soundLedger(r)
				for _, c := range m.checks {
					require.NotEqual(t, Failed, Ask(c, s.History).Outcome, "a sound history: %v %v", s.Requests.Slice(), s.Effects.Slice())
				}
				if !m.mutate(r, s) {
					continue
				}
				for _, c := range m.checks {
					v := Ask(c, s.History)
					require.Equal(t, Failed, v.Outcome, "%s: %s: %v %v", c, v.Reason, s.Requests.Slice(), s.Effects.Slice())
				}
				found++
			}
			t.Logf("%d of %d found", found, found)
			require.Greater(t, found, n/3)
		})
	}
}

// soundRegister returns up to 8 operations on a register that works. They overlap, and each write has a value of its own.
func soundRegister(r *rand.Rand) []journal.Operation {
	var ops []journal.Operation
	value := ""
	for i := range 3 + r.IntN(6) {
		at := time.Duration(10 * (i + 1)) // when it happens
		o := journal.Operation{Register: "r", Write: i == 0 || r.IntN(2) == 0, Value: fmt.Sprint(i), From: at - time.Duration(r.IntN(15)), To: at + time.Duration(r.IntN(15))}
		if o.Write {
			value = o.Value
		} else {
			o.Value = value
		}
		ops = append(ops, o)
	}
	return ops
}

// TestMutationsOfRegisters mutates histories of a register that works. An exhaustive search decides whether a mutated
// history is a violation: between operations that overlap, it need not be.
func TestMutationsOfRegisters(t *testing.T) {
	r := rand.New(rand.NewPCG(23, 24))
	writes := func(ops []journal.Operation) (all []int) {
		for i, o := range ops {
			if o.Write {
				all = append(all, i)
			}
		}
		return all
	}
	for name, mutate := range map[string]func([]journal.Operation) []journal.Operation{
		"stale read": func(ops []journal.Operation) []journal.Operation { // a read returns what an earlier write wrote
			i := slices.IndexFunc(ops[1:], func(o journal.Operation) bool { return !o.Write })
			if i < 0 {
				return nil
			}
			ops[i+1].Value = ops[writes(ops)[0]].Value
			return ops
		},
		"late write": func(ops []journal.Operation) []journal.Operation { // an acknowledged write overwrites a newer one
			w := writes(ops)
			at := ops[len(ops)-1].To + 20
			return append(ops, journal.Operation{Register: "r", Value: ops[w[r.IntN(len(w))]].Value, From: at, To: at + 1})
		},
		"lost write": func(ops []journal.Operation) []journal.Operation { // reads return the value before it
			w := writes(ops)
			if len(w) < 2 {
				return nil
			}
			for i := w[1]; i < len(ops); i++ {
				if ops[i].Value == ops[w[1]].Value && !ops[i].Write {
					ops[i].Value = ops[w[0]].Value
				}
			}
			return ops
		},
		"phantom value": func(ops []journal.Operation) []journal.Operation {
			i := slices.IndexFunc(ops, func(o journal.Operation) bool { return !o.Write })
			if i < 0 {
				return nil
			}
			ops[i].Value = "ghost"
			return ops
		},
		"swapped reads": func(ops []journal.Operation) []journal.Operation {
			var reads []int
			for i, o := range ops {
				if !o.Write {
					reads = append(reads, i)
				}
			}
			if len(reads) < 2 {
				return nil
			}
			a, b := &ops[reads[0]], &ops[reads[len(reads)-1]]
			a.Value, b.Value = b.Value, a.Value
			return ops
		},
	} {
		t.Run(name, func(t *testing.T) {
			violations, n := 0, trials(2000)
			for range n {
				ops := soundRegister(r)
				require.True(t, explains(ops, false, ""), "%v", ops)
				linear := func(ops []journal.Operation) bool {
					return newRegister(operationsOn(&journal.History{Operations: ops, Seqs: map[string][]uint64{}}, "r")).check() == linearizable
				}
				require.True(t, linear(ops), "a sound history: %v", ops)
				mutated := mutate(slices.Clone(ops))
				if mutated == nil {
					continue
				}
				want := explains(mutated, false, "")
				require.Equal(t, want, linear(mutated), "%v", mutated)
				if !want {
					violations++
				}
			}
			t.Logf("%d of %d violations found", violations, violations)
			require.Greater(t, violations, n/100)
		})
	}
}

// TestAmbiguousWriteMayComeLate verifies that a write that was not acknowledged may overwrite a newer one at any later
// time, and that neither it nor a request without an answer is taken for one that failed.
func TestAmbiguousWriteMayComeLate(t *testing.T) {
	r := rand.New(rand.NewPCG(25, 26))
	for range trials(1000) {
		ops := soundRegister(r)
		at := ops[len(ops)-1].To + 20
		ops = append(ops,
			journal.Operation{Register: "r", Write: true, Value: "late", From: time.Duration(r.IntN(int(at)))}, // sent at any time, never answered
			journal.Operation{Register: "r", Value: "late", From: at, To: at + 1})
		require.Equal(t, linearizable, newRegister(operationsOn(&journal.History{Operations: ops, Seqs: map[string][]uint64{}}, "r")).check(), "%v", ops)
		s := soundLedger(r)
		key, ok := s.pick(r, "ambiguous")
		if !ok {
			continue
		}
		s.drop(key)
		require.NotEqual(t, Failed, Ask(ExactlyOnce{}, s.History).Outcome, "not applied")
		s.phantomID(key, "o-late")
		require.NotEqual(t, Failed, Ask(ExactlyOnce{}, s.History).Outcome, "applied once, later")
	}
}

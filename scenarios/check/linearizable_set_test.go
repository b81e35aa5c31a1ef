package check

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// explainsSet reports whether some order of operations on a set explains what was found, by trying all of them, as explains
// does for a register. present has what is known of elements; an element that is not in it may be in the set or not.
func explainsSet(ops []journal.Operation, present map[string]bool) bool {
	done := true
	for i, o := range ops {
		done = done && o.To == 0
		mayBeNext := true
		for j, other := range ops {
			mayBeNext = mayBeNext && (j == i || other.To == 0 || other.To >= o.From)
		}
		in := o.Value == journal.InSet
		if was, known := present[o.Element]; !mayBeNext || !o.Write && known && was != in {
			continue
		}
		next := map[string]bool{o.Element: in}
		for element, was := range present {
			if element != o.Element {
				next[element] = was
			}
		}
		rest := append(append([]journal.Operation{}, ops[:i]...), ops[i+1:]...)
		if explainsSet(rest, next) {
			return true
		}
	}
	return done
}

// randomSet returns up to 7 operations on up to two elements, which overlap at random.
func randomSet(random *rand.Rand) []journal.Operation {
	var ops []journal.Operation
	for range 1 + random.IntN(7) {
		from := time.Duration(1 + random.IntN(20))
		o := journal.Operation{Register: "s", Element: fmt.Sprint(random.IntN(2)), Write: random.IntN(2) == 0, Value: []string{journal.InSet, journal.NotInSet}[random.IntN(2)],
			From: from, To: from + time.Duration(random.IntN(6))}
		if o.Write && random.IntN(4) == 0 {
			o.To = 0
		}
		ops = append(ops, o)
	}
	return ops
}

// TestLinearizableSetMatchesBruteForce compares the judgement of each element for itself with all orders of random small
// histories of the whole set.
func TestLinearizableSetMatchesBruteForce(t *testing.T) {
	random := rand.New(rand.NewPCG(13, 14)) //nolint:gosec // the same numbers each time
	counts := map[bool]int{}
	for range 10_000 {
		ops := randomSet(random)
		want := explainsSet(ops, nil)
		s := newSet(operationsOn(&journal.History{Operations: ops, Seqs: map[string][]uint64{}}, "s"))
		wrong, _ := s.contradictions()
		require.Equal(t, want, len(wrong) == 0, "%v", ops)
		require.Zero(t, s.undecided)
		counts[want]++
	}
	require.Greater(t, counts[true], 1000)
	require.Greater(t, counts[false], 1000)
}

// addSet adds operations on n elements of the set "members" during the fault. Each is looked for, added, looked for,
// removed, and looked for again.
func (s scenario) addSet(n int) {
	at := 7 * time.Second
	for i := range n {
		for _, o := range []journal.Operation{{Value: journal.NotInSet}, {Write: true, Value: journal.InSet}, {Value: journal.InSet}, {}, {Write: true, Value: journal.NotInSet}, {Value: journal.NotInSet}} {
			if o.Value == "" {
				at += ms
				continue
			}
			o.Register, o.Element, o.Window, o.From, o.To = "members", fmt.Sprint(i), journal.During, at, at+100*time.Microsecond
			s.Operations = append(s.Operations, o)
			s.Seqs["operation"] = append(s.Seqs["operation"], uint64(3000+len(s.Operations)))
			at += ms
		}
	}
}

// onMembers returns the i-th look into the set "members".
func (s scenario) onMembers(i int) *journal.Operation {
	for j := range s.Operations {
		if o := &s.Operations[j]; o.Register == "members" && !o.Write {
			if i--; i == 0 {
				return o
			}
		}
	}
	return nil
}

func TestLinearizableSet(t *testing.T) {
	each := func(change func(*journal.Operation)) func(scenario) {
		return func(s scenario) {
			for i := range s.Operations {
				if o := &s.Operations[i]; o.Register == "members" {
					change(o)
				}
			}
		}
	}
	for name, c := range map[string]struct {
		change func(scenario)
		want   Outcome
		why    string
	}{
		"right":                     {func(scenario) {}, Passed, ""},
		"found after its removal":   {func(s scenario) { s.onMembers(3).Value = journal.InSet }, Failed, `a look found "0"`},
		"missed after its addition": {func(s scenario) { s.onMembers(5).Value = journal.NotInSet }, Failed, `a look did not find "1" between +7.008s and +7.008s, which nothing had removed, although an addition of "1" was acknowledged`},
		"removed without an acknowledgement": {func(s scenario) {
			each(func(o *journal.Operation) {
				if o.Write && o.Value == journal.NotInSet {
					o.To = 0
				}
			})(s)
		}, Passed, ""},
		"in the set before the load": {func(s scenario) { s.onMembers(1).Value = journal.InSet }, Passed, ""},
		"another element":            {func(s scenario) { s.onMembers(3).Element = "9"; s.onMembers(3).Value = journal.InSet }, Passed, ""},
		"answers that are too long":  {func(s scenario) { s.onMembers(1).Value, s.onMembers(2).Value = "", "" }, Inconclusive, "2 more have one above 1 KiB"},
		"nothing acknowledged": {each(func(o *journal.Operation) {
			if o.Write {
				o.To = 0
			}
		}), Inconclusive, "none of 12 additions and removals was acknowledged"},
		"secrets":      {each(func(o *journal.Operation) { o.Element = "token=***" }), Inconclusive, "look like secrets"},
		"not declared": {each(func(o *journal.Operation) { o.Register = "others" }), Inconclusive, "no operation on the set was recorded"},
		"never looked for again": {each(func(o *journal.Operation) {
			if !o.Write {
				o.Element = "other"
				o.Value = journal.NotInSet
			}
		}), Inconclusive, "only 0 looks found what was added"},
		"elsewhere": {func(s scenario) { s.beforeTheFault() }, Inconclusive, "no operation was under way during the fault"},
		"changed by the fault": {func(s scenario) {
			s.onMembers(3).Value, s.Faults[0].Alters = journal.InSet, true
		}, Inconclusive, `because "calls are slow" changed what`},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScenario()
			c.change(s)
			v := Ask(LinearizableSet{Set: "members"}, s.History)
			require.Equal(t, c.want, v.Outcome, v.Reason)
			require.Contains(t, v.Reason, c.why)
			require.Equal(t, v.Outcome == Failed, len(v.Details) > 0 && len(v.Evidence) > 0)
		})
	}
}

package check

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// TestInOrderMatchesBruteForce compares the sweep over a group with all pairs of its requests, on random histories in
// which requests overlap and effects have equal places.
func TestInOrderMatchesBruteForce(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 10))
	violated := 0
	n := trials(10_000)
	for range n {
		h := &journal.History{Seqs: map[string][]uint64{}, EffectsRead: &journal.Effects{}}
		for i := range 2 + random.IntN(6) {
			key, outcome := fmt.Sprint("k", i), "acknowledged"
			if random.IntN(5) == 0 {
				outcome = "ambiguous"
			}
			h.Requests.Add(journal.Request{Key: key, Outcome: outcome, Attempts: []journal.Attempt{{At: time.Duration(random.IntN(10)), Took: time.Duration(random.IntN(4))}}})
			h.Effects.Add(journal.Effect{Key: key, Group: fmt.Sprint(random.IntN(2)), Order: fmt.Sprint(random.IntN(6))})
		}
		later, second := map[string]bool{}, map[string]bool{}
		effects := h.Effects.Slice()
		for i, a := range h.Requests.All() {
			for j, b := range h.Requests.All() {
				if effects[i].Group != effects[j].Group || a.Outcome != "acknowledged" || a.Attempts[0].At+a.Attempts[0].Took >= b.Attempts[0].At {
					continue
				}
				second[b.Key] = true
				if effects[i].Order > effects[j].Order {
					later[a.Key] = true
				}
			}
		}
		o := newOrdering(h)
		require.Len(t, o.swapped, len(later), "%v %v", h.Requests.Slice(), effects)
		require.Equal(t, len(second), o.ordered)
		for _, s := range o.swapped {
			require.True(t, later[s[1].key])
			require.Less(t, s[1].end, s[0].start)
			require.Less(t, s[0].at, s[1].at)
		}
		violated += min(1, len(later))
	}
	require.Greater(t, violated, n/10)
}

func TestInOrder(t *testing.T) {
	bySeq := func(seqs ...string) func(scenario) {
		return func(s scenario) {
			s.eachEffect(func(i int, e *journal.Effect) { e.Order = seqs[i%len(seqs)] })
		}
	}
	for name, c := range map[string]struct {
		change func(scenario)
		want   Outcome
		why    string
	}{
		"by sequence":          {bySeq("7", "8", "9", "10", "11"), Passed, ""},
		"against the sequence": {bySeq("11", "10", "9", "8", "7"), Failed, "4 of 4 effects"},
		"by time":              {bySeq("2026-01-01T00:00:09Z", "2026-01-01T00:00:09.5Z", "2026-01-01T01:00:10+01:00", "2026-01-01T00:00:11Z", "2026-01-01T00:00:12Z"), Passed, ""},
		"numbers and times":    {bySeq("1", "2026-01-01T00:00:09Z"), Inconclusive, "their order is not known"},
		"no sequence":          {bySeq("first"), Inconclusive, `is "first", and not a whole number or a time`},
		"some have a sequence": {func(s scenario) {
			s.eachEffect(func(i int, e *journal.Effect) { e.Order = strings.Repeat("1", max(0, 1-i)) })
		}, Inconclusive, "only 1 of 5 effects have"},
		"equal":        {bySeq("1"), Passed, ""},
		"newest first": {func(s scenario) { s.reverse() }, Inconclusive, "the list seems not to be in the order of application"},
		"sorted by id": {func(s scenario) {
			s.place(map[int]int{1: 3, 2: 2})
			s.eachEffect(func(i int, e *journal.Effect) {
				switch i {
				case 1:
					e.ID = "o-k2"
				case 2:
					e.ID = "o-k1"
				}
			})
		}, Inconclusive, "the list is sorted by id"},
		"under way together": {func(s scenario) { s.slow(time.Second); s.reverse() }, Inconclusive, `no two requests of one "customer_id" were sent one after the other`},
		"not acknowledged first": {func(s scenario) {
			s.makeAmbiguous()
			s.request(4, func(r *journal.Request) { r.Outcome = "acknowledged" })
		}, Inconclusive, "one after the other"},
		"no group":         {func(s scenario) { s.ungroup() }, Inconclusive, `5 effects have no field "customer_id"`},
		"others under way": {func(s scenario) { s.request(4, func(r *journal.Request) { r.Window = journal.Before }) }, Inconclusive, "no ordered request met the fault"},
		"not all known":    {func(s scenario) { s.EffectsRead.Doubt = "a page" }, Inconclusive, "not all effects are known: a page"},
		"not read":         {func(s scenario) { s.EffectsRead = nil }, Inconclusive, "no effects were read"},
		"applied twice":    {func(s scenario) { s.twice("k1") }, Passed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScenario()
			c.change(s)
			v := Ask(InOrder{Group: "customer_id"}, s.History)
			require.Equal(t, c.want, v.Outcome, v.Reason)
			require.Contains(t, v.Reason, c.why)
		})
	}
	s := newScenario()
	s.place(map[int]int{1: 3, 2: 2})
	v := Ask(InOrder{Group: "customer_id"}, s.History)
	require.Equal(t, []string{`group "c1": key k2, sent at +1.002s, was applied before key k1, which was sent at +1.001s and acknowledged at +1.001s`}, v.Details)
}

func (s scenario) reverse() {
	s.eachEffect(func(i int, e *journal.Effect) { e.Place = s.Effects.Len() - i })
}

func (s scenario) ungroup() {
	s.eachEffect(func(_ int, e *journal.Effect) { e.Group = "" })
}

// slow makes all attempts take longer.
func (s scenario) slow(took time.Duration) {
	s.eachRequest(func(_ int, r *journal.Request) { r.Attempts[0].Took = took })
}

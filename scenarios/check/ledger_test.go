package check

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// TestLedgerMatchesBruteForce compares the ledger checks with the truth table applied key by key, on random small
// histories.
func TestLedgerMatchesBruteForce(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	outcomes := []string{"acknowledged", "refused", "ambiguous"}
	for range trials(20_000) {
		s := scenario{&journal.History{Seqs: map[string][]uint64{}}}
		var lost, twice, refused, phantom, acked int
		for i := range 1 + random.IntN(6) {
			outcome, effects := outcomes[random.IntN(3)], random.IntN(3)
			s.addRequest(fmt.Sprint("k", i), outcome, effects)
			if outcome == "acknowledged" {
				acked++
				if effects == 0 {
					lost++
				}
			}
			if effects > 1 {
				twice++
			}
			if outcome == "refused" && effects > 0 {
				refused++
			}
		}
		if random.IntN(4) == 0 {
			s.Effects.Add(journal.Effect{Key: "ghost"})
			phantom++
		}
		s.EffectsRead = &journal.Effects{Count: s.Effects.Len()}
		want := func(bad int) Outcome {
			switch {
			case bad > 0:
				return Failed
			case acked == 0, acked-lost < lost: // too few effects are listed
				return Inconclusive
			}
			return Passed
		}
		require.Equal(t, want(lost+twice+refused), Ask(ExactlyOnce{}, s.History).Outcome)
		require.Equal(t, want(lost), Ask(NoneLost{}, s.History).Outcome)
		require.Equal(t, want(twice), Ask(NoneTwice{}, s.History).Outcome)
		require.Equal(t, want(phantom), Ask(NoPhantom{}, s.History).Outcome)
	}
}

func TestDuplicateDetails(t *testing.T) {
	s := newScenario()
	s.twice("k2")
	v := Ask(ExactlyOnce{}, s.History)
	require.Equal(t, []string{"key k2: 2 effects (o-k2-0, o-again); attempts: +1.00s status 201"}, v.Details)
}

// TestLedgerThroughTheJournal mutates the journal of a valid run, reads it back, and applies the ledger checks.
// Each mutation must be detected, with its key and the events behind it.
func TestLedgerThroughTheJournal(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range trials(300) {
		n := 2 + random.IntN(30)
		hit := random.IntN(n)
		key := fmt.Sprint("k", hit)
		for name, c := range map[string]struct {
			checks []Check
			mutate func([]journal.Effect) []journal.Effect
			key    string
		}{
			"drop": {[]Check{ExactlyOnce{}, NoneLost{}}, func(e []journal.Effect) []journal.Effect { return append(e[:hit:hit], e[hit+1:]...) }, key},
			"twice": {[]Check{ExactlyOnce{}, NoneTwice{}}, func(e []journal.Effect) []journal.Effect {
				return append(e, journal.Effect{Key: key, ID: "again"})
			}, key},
			"phantom": {[]Check{NoPhantom{}}, func(e []journal.Effect) []journal.Effect { return append(e, journal.Effect{Key: "ghost"}) }, "ghost"},
		} {
			var effects []journal.Effect
			for i := range n {
				effects = append(effects, journal.Effect{Key: fmt.Sprint("k", i), ID: fmt.Sprint("o", i)})
			}
			sound, _ := recorded(t, n, effects)
			for _, k := range c.checks {
				require.Equal(t, Passed, Ask(k, sound).Outcome)
			}
			h, keys := recorded(t, n, c.mutate(effects))
			for _, k := range c.checks {
				v := Ask(k, h)
				require.Equal(t, Failed, v.Outcome, name)
				require.Len(t, v.Details, 1)
				require.Contains(t, v.Details[0], "key "+c.key+":")
				var behind []string
				for _, seq := range v.Evidence {
					behind = append(behind, keys[seq])
				}
				require.Contains(t, behind, c.key, name)
			}
		}
	}
}

// recorded writes a run of n acknowledged keys with these effects to a journal and reads it back. keys maps events
// to keys.
func recorded(t *testing.T, n int, effects []journal.Effect) (h *journal.History, keys map[uint64]string) {
	t.Helper()
	var out bytes.Buffer
	w := journal.NewWriter(&out, time.Now())
	keys = map[uint64]string{}
	w.Write(journal.Event{Run: &journal.Run{Schema: journal.Schema}})
	w.Write(journal.Event{Scenario: "s", Begin: &journal.Begin{ID: "s"}})
	for i := range n {
		key := fmt.Sprint("k", i)
		e := w.Write(journal.Event{Scenario: "s", Request: &journal.Request{Key: key, Outcome: "acknowledged"}})
		keys[e.Seq] = key
	}
	for _, effect := range effects {
		keys[w.Write(journal.Event{Scenario: "s", Effect: &effect}).Seq] = effect.Key
	}
	w.Write(journal.Event{Scenario: "s", Effects: &journal.Effects{Source: "GET /ledger", Count: len(effects)}})
	require.NoError(t, w.Err())
	b, err := journal.Fold(&out)
	require.NoError(t, err)
	return b.Scenarios[0], keys
}

// Attempts beside each other are listed in the order in which they began.
func TestHedgedAttemptsAreDescribed(t *testing.T) {
	r := journal.Request{Attempts: []journal.Attempt{
		{At: 1200 * ms, Took: 30 * ms, Error: "cancelled", Hedge: true},
		{At: 1150 * ms, Took: 80 * ms, Status: 201},
	}}
	require.Equal(t, "+1.15s status 201 after 80ms, +1.20s cancelled after 30ms (hedged)", attempts(r))
}

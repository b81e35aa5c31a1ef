package check

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

func TestRecoveries(t *testing.T) {
	s := newScenario()
	got := Recoveries(s.History)
	require.Len(t, got, 1)
	assert.Equal(t, Recovery{Fault: "calls are slow", Outcome: Recovered, Since: 10 * time.Second, Watched: 10, Steady: "success at least 99.5%, p95 latency below 60ms, fallbacks at most 0.5%"}, got[0])

	for i := range s.Samples {
		if x := &s.Samples[i]; x.Window == journal.After && x.From < 13*time.Second {
			failing(50)(x)
		}
	}
	got = Recoveries(s.History)
	assert.Equal(t, Recovered, got[0].Outcome)
	assert.Equal(t, 3*time.Second, got[0].Took)
	took, ok := RecoveryTime(s.History)
	assert.True(t, ok)
	assert.Equal(t, got[0].Took, took, "the figure of package history")
}

func TestNoRecoveryIsSaid(t *testing.T) {
	s := newScenario()
	s.every(journal.After, slow(200*ms))
	got := Recoveries(s.History)[0]
	assert.Equal(t, NotRecovered, got.Outcome)
	assert.Contains(t, got.Reason, "p95 latency 200ms")
	assert.Zero(t, got.Took)

	// It fails again at the end.
	s = newScenario()
	for i := range s.Samples {
		if x := &s.Samples[i]; x.From >= 17*time.Second {
			failing(50)(x)
		}
	}
	assert.Equal(t, NotRecovered, Recoveries(s.History)[0].Outcome)
}

func TestRecoveryThatIsNotKnown(t *testing.T) {
	for name, c := range map[string]struct {
		change func(scenario)
		reason string
	}{
		"no baseline": {func(s scenario) { s.every(journal.Before, func(x *journal.Sample) { x.Window = journal.Warmup }) }, "there is no baseline to return to"},
		"a short recovery": {func(s scenario) {
			for i := range s.Samples {
				if s.Samples[i].From >= 12*time.Second {
					s.Samples[i].Window = journal.Warmup
				}
			}
		}, "2 complete seconds with requests were watched before the end of the load, and at least 5 are needed"},
		"never healed": {func(s scenario) { s.Faults[0].Healed = 0 }, "the fault was never healed"},
		"few requests": {func(s scenario) {
			s.every(journal.After, func(x *journal.Sample) {
				x.Sent, x.OK, x.Latency, x.Good = 1, 1, []journal.Bucket{{Up: 10 * ms, N: 1}}, []journal.Bucket{{Up: 10 * ms, N: 1}}
			})
		}, "at least 20 are needed"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScenario()
			c.change(s)
			got := Recoveries(s.History)
			require.Len(t, got, 1)
			assert.Equal(t, NotKnown, got[0].Outcome)
			assert.Contains(t, got[0].Reason, c.reason)
			assert.Zero(t, got[0].Took)
		})
	}
}

// TestRecoveriesOfSeveralFaults: each outage is followed until the next, and faults that are live together share one recovery.
func TestRecoveriesOfSeveralFaults(t *testing.T) {
	s := newScenario()
	first := s.Faults[0]
	fault := func(sentence string, from, to time.Duration) *journal.Injection {
		in := *first
		in.ID, in.Sentence, in.Injected, in.Healed = sentence, sentence, from, to
		return &in
	}
	s.Faults = []*journal.Injection{fault("a", 4*time.Second, 5*time.Second), fault("b", 11*time.Second, 13*time.Second), fault("c", 12*time.Second, 14*time.Second)}
	for i := range s.Samples {
		x := &s.Samples[i]
		switch sec := x.From / time.Second; {
		case sec < 4:
			x.Window = journal.Before
		case sec == 4, sec >= 11 && sec < 14:
			x.Window = journal.During
			failing(50)(x)
		case sec < 11:
			x.Window = journal.Between
			if sec < 6 {
				failing(50)(x)
			}
		default:
			x.Window = journal.After
			slow(300 * ms)(x)
		}
	}
	got := Recoveries(s.History)
	require.Len(t, got, 3)
	assert.Equal(t, Recovered, got[0].Outcome, got[0].Reason)
	assert.Equal(t, time.Second, got[0].Took)
	assert.Equal(t, 6, got[0].Watched)
	assert.False(t, got[0].Shared)
	for _, r := range got[1:] {
		assert.Equal(t, NotRecovered, r.Outcome)
		assert.Equal(t, 14*time.Second, r.Since, "when the last of both was healed")
		assert.True(t, r.Shared)
	}
}

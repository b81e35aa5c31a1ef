package reports

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

func TestValidityFactsShowProblems(t *testing.T) {
	h := &journal.History{
		Load: &journal.Load{Requested: 10, Intended: 10, Sent: 7, Unsent: 3, Attempts: 9, Wire: 10}, EffectsRead: &journal.Effects{Error: "404"},
		Faults: []*journal.Injection{{}, {Fault: journal.Fault{Affected: 1}}},
	}
	facts := validityFacts(h)
	require.Len(t, facts, 4)
	for _, f := range facts {
		assert.Equal(t, "inconclusive", f.Outcome, f.Label)
	}
}

func TestValidityFactsShowRunnerProblems(t *testing.T) {
	h := &journal.History{
		Load:   &journal.Load{GeneratorErrors: map[string]int{"too many open files": 3}},
		Pauses: []journal.Pause{{From: 2e9, Took: 300e6}, {From: 5e9, Took: 1200e6}},
	}
	facts := validityFacts(h)
	assert.Contains(t, facts, fact{"inconclusive", "the runner was paused", "2 times, the longest for 1200 ms from +5.0s"})
	assert.Contains(t, facts, fact{"inconclusive", "not sent by the load generator", "3 requests: too many open files"})
}

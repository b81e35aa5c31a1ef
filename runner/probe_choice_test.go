package runner

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

func TestChooseProbesPrefersKeysOfTheFault(t *testing.T) {
	t.Parallel()
	var all []keyed
	add := func(n int, w journal.Window, attempts int) {
		for range n {
			all = append(all, keyed{journal.Request{Due: time.Duration(len(all)), Window: w, Attempts: make([]journal.Attempt, attempts)}, nil, uint64(len(all)), w == journal.During})
		}
	}
	any := func(uint64) bool { return true }
	even := func(n uint64) bool { return n%2 == 0 }
	add(100, journal.Before, 1)
	add(8, journal.During, 1)
	add(4, journal.During, 2)
	add(100, journal.After, 1)
	got := chooseProbes(all, any)
	require.Len(t, got, 20)
	for i, r := range got {
		assert.Equal(t, i < 12, r.Window == journal.During, i)
		assert.Equal(t, i < 4, len(r.Attempts) == 2, i)
	}
	assert.Equal(t, time.Duration(0), got[12].Due, "spread over time")
	assert.Equal(t, time.Duration(211), got[19].Due)
	for _, r := range chooseProbes(all, even) {
		assert.Zero(t, r.n%2)
	}
	got = chooseProbes(all[99:102], func(uint64) bool { return false })
	require.Len(t, got, 2, "rather keys of the fault than its own")

	add(1000, journal.During, 2)
	got = chooseProbes(all, any)
	require.Len(t, got, 20)
	numbers := map[uint64]bool{}
	for _, r := range got {
		assert.Equal(t, journal.During, r.Window)
		numbers[r.n] = true
	}
	assert.Len(t, numbers, 20, "each once")
}

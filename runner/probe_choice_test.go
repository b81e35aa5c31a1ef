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
			all = append(all, keyed{due: time.Duration(len(all)), n: uint64(len(all)), metFault: w == journal.During, retried: attempts > 1})
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
		assert.Equal(t, i < 12, r.metFault, i)
		assert.Equal(t, i < 4, r.retried, i)
	}
	assert.Equal(t, time.Duration(0), got[12].due, "spread over time")
	assert.Equal(t, time.Duration(211), got[19].due)
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
		assert.True(t, r.metFault)
		numbers[r.n] = true
	}
	assert.Len(t, numbers, 20, "each once")
}

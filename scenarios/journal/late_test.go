package journal

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestPauseAtTheEdgeOfAFault: a pause that overlaps a call in flight at the injection makes the latencies of the
// fault late.
func TestPauseAtTheEdgeOfAFault(t *testing.T) {
	for window, late := range map[Window]bool{Before: false, AtInjection: true, During: true, AtHealing: true, After: false} {
		h := &History{Samples: []Sample{{From: time.Second, To: 2 * time.Second, Window: window, Route: "GET /", Paused: true, Sent: 1}}}
		require.Equal(t, late, h.Late(During) != "", window)
		require.NotEmpty(t, h.Late(window), window)
	}
}

// TestUntil requires that Until leaves out what a pause at the given time may have affected, and keeps the
// evidence consistent.
func TestUntil(t *testing.T) {
	const sec = time.Second
	h := &History{
		Samples: []Sample{{From: 0, To: sec, Sent: 1}, {From: 0, To: sec, Sent: 2, Paused: true}, {From: sec, To: 2 * sec, Sent: 3}, {From: 2 * sec, To: 3 * sec, Sent: 4}},
		Calls:   []Calls{{From: 0, To: sec, Calls: 2, Duration: []Bucket{{Up: sec, N: 1}, {Up: 2 * sec, N: 1}}}, {From: 2 * sec, To: 3 * sec, Calls: 5}},
		Pauses:  []Pause{{From: 0, To: sec}, {From: 2 * sec, To: 3 * sec}},
		Seqs:    map[string][]uint64{"sample": {1, 2, 3, 4}, "calls": {5, 6}, "fault": {7}, "observation": {8, 9}},

		Observations: []Observation{{Asked: sec, Took: sec}, {Asked: sec, Took: sec + 1}},
	}
	u := h.Until(2 * sec)
	require.Equal(t, []Sample{h.Samples[0], h.Samples[2]}, u.Samples)
	require.Equal(t, []Calls{{From: 0, To: sec, Calls: 2, Duration: []Bucket{{Up: sec, N: 1}}}}, u.Calls)
	require.Equal(t, h.Pauses[:1], u.Pauses)
	require.Equal(t, h.Observations[:1], u.Observations)
	require.Equal(t, map[string][]uint64{"sample": {1, 3}, "calls": {5}, "fault": {7}, "observation": {8}}, u.Seqs)
	require.Len(t, h.Samples, 4)
	require.Len(t, h.Calls[0].Duration, 2)
	require.Equal(t, []uint64{1, 2, 3, 4}, h.Seqs["sample"])
}

// Users who do not think are never late, so that only the CPU time shows whether the runner kept up.
func TestUsersAndABusyRunnerMakeLatenciesDoubtful(t *testing.T) {
	h := &History{Load: &Load{Shape: "closed", CPU: 0.81}}
	require.Contains(t, h.Late(During), "Firedrill used 81% of this machine's CPU time, and at most 80% is allowed")
	h.Load.CPU = 0.79
	require.Empty(t, h.Late(During))
	h.Load = &Load{CPU: 0.95}
	require.Empty(t, h.Late(During), "an open load shows by its slip whether it kept up")
}

// TestLeastValues: whatever delay belongs to which value, no order statistic of the values without their delays is below
// the bound. With delays that are all alike, the bound is exact.
func TestLeastValues(t *testing.T) {
	const ms = time.Millisecond
	r := rand.New(rand.NewPCG(31, 32)) //nolint:gosec // the same numbers each time
	histogram := func(values []time.Duration) (all []Bucket) {
		for _, v := range values {
			all = append(all, Bucket{v, 1})
		}
		return Merge(all)
	}
	tight := 0
	for range 2000 {
		n := 1 + r.IntN(12)
		measured, delays, less := make([]time.Duration, n), make([]time.Duration, n), make([]time.Duration, n)
		for i := range n {
			less[i], delays[i] = time.Duration(1+r.IntN(30))*ms, time.Duration(r.IntN(8)*r.IntN(8))*ms
			measured[i] = less[i] + delays[i]
		}
		slices.Sort(less)
		bound := leastValues(histogram(measured), histogram(delays), 1)
		require.EqualValues(t, n, Count(bound))
		k := 0
		for _, b := range bound {
			for range b.N {
				require.LessOrEqual(t, b.Up, max(leastLatency, less[k]))
				if b.Up == less[k] {
					tight++
				}
				k++
			}
		}
	}
	require.Greater(t, tight, 1000)
	require.Equal(t, []Bucket{{5 * ms, 3}, {15 * ms, 1}}, leastValues([]Bucket{{10 * ms, 3}, {20 * ms, 1}}, []Bucket{{5 * ms, 4}}, 1))
	require.Equal(t, []Bucket{{leastLatency, 3}, {10 * ms, 1}}, leastValues([]Bucket{{10 * ms, 3}, {20 * ms, 1}}, []Bucket{{5 * ms, 4}}, 2))
}

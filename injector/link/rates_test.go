package link

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestRatesOfConnections: shares of connections are as exact and as random as those of messages. For
// 1,000 seeds, about 1% of the counts must lie outside the 99% interval.
func TestRatesOfConnections(t *testing.T) {
	const n, share = 10_000, 0.1
	hits := func(share float64, seed uint64) (hit int) {
		w := chooser{On: On{ID: "fault-1", Seed: seed, Share: share}}
		for id := range uint64(n) {
			if w.picks("orders -> payments", id+1) {
				hit++
			}
		}
		return hit
	}
	inside := func(seed uint64) bool {
		return math.Abs(float64(hits(share, seed))-n*share) <= 2.576*math.Sqrt(n*share*(1-share))
	}
	assert.True(t, inside(1))
	assert.Equal(t, n, hits(1, 1), "all")
	assert.Zero(t, hits(math.SmallestNonzeroFloat64, 1), "none; 0 is not a share and means all")
	if raceEnabled || testing.Short() {
		return // ten million draws in one goroutine: too slow under the race detector
	}
	all := 0
	for seed := range uint64(1000) {
		if inside(seed) {
			all++
		}
	}
	t.Logf("%d of 1000 seeds inside", all)
	assert.GreaterOrEqual(t, all, 980)
	assert.LessOrEqual(t, all, 997)
}

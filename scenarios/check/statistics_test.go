package check

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// TestStatistics compares each statistic with published values.
func TestStatistics(t *testing.T) {
	bucketed := func(values ...int) (all []journal.Bucket) {
		for _, v := range values {
			all = append(all, journal.Bucket{Up: time.Duration(v), N: 1})
		}
		return journal.Merge(all)
	}
	p := func(z float64) float64 { return math.Erfc(z/math.Sqrt2) / 2 }

	lower, upper := wilson(81, 263, normalQuantile(0.975)) // Newcombe, Statistics in Medicine 17, 1998, p. 857
	assert.InDelta(t, 0.2553, lower, 0.0001)
	assert.InDelta(t, 0.3662, upper, 0.0001)
	assert.InDelta(t, 0.0524, successDrop(side{Sent: 80, OK: 48}, side{Sent: 70, OK: 56}, normalQuantile(0.975)), 0.0001) // 56/70 less 48/80, method 10

	assert.InDelta(t, 1.0/70, hypergeometricTail(4, 4, 4, 8), 1e-9) // Fisher's lady tasting tea guesses all
	assert.InDelta(t, 17.0/70, hypergeometricTail(3, 4, 4, 8), 1e-9)
	halves := pair(bucketed(1, 2, 3, 4), bucketed(5, 6, 7, 8))
	assert.InDelta(t, 1.0/70, p(halves.tail(halves.above(0.5))), 1e-9)

	x, y := bucketed(1, 2, 3, 4, 5, 6), bucketed(4, 5, 6, 7, 8, 9) // ties; U = 31.5 of 36
	assert.InDelta(t, (31.5-18-0.5)/math.Sqrt(6*6/12.0*(13-18/(12.0*11))), pair(x, y).rankSum(), 1e-9)
	assert.InDelta(t, 2, pair(bucketed(10, 20, 40), bucketed(20, 40, 80)).ratio(), 1e-6)
	assert.Zero(t, pair(bucketed(5), bucketed(5)).rankSum(), "nothing but ties")

	assert.InDelta(t, 3.365, studentQuantile(0.99, 5), 0.1) // its table
	assert.InDelta(t, 2.552, studentQuantile(0.99, 18), 0.01)

	hundred := make([]int, 100)
	for i := range hundred {
		hundred[i] = i + 1
	}
	assert.EqualValues(t, 99, upperBound(bucketed(hundred...), 0.95, 0.95)) // David and Nagaraja's bound: the 99th of 100
	assert.EqualValues(t, math.MaxInt64, upperBound(bucketed(1, 2, 3), 0.95, 0.95), "three values bound no p95")
}

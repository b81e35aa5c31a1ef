package check

import (
	"flag"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// draw is a distribution of latencies.
type draw func(*rand.Rand) time.Duration

func lognormal(median time.Duration, sigma float64) draw {
	return func(r *rand.Rand) time.Duration {
		return time.Duration(float64(median) * math.Exp(sigma*r.NormFloat64()))
	}
}

// cached is a service that answers nine of ten requests from a cache.
func cached(r *rand.Rand) time.Duration {
	if r.Float64() < 0.9 {
		return lognormal(40*time.Millisecond, 0.2)(r)
	}
	return lognormal(400*time.Millisecond, 0.3)(r)
}

// heavy has a Pareto tail with infinite variance.
func heavy(r *rand.Rand) time.Duration {
	return time.Duration(float64(30*time.Millisecond) * math.Pow(1-r.Float64(), -1/1.8))
}

// stalls is a lognormal latency with stalls of many requests in a row, so that requests are not independent.
func stalls(length int) func(*rand.Rand) draw {
	return func(*rand.Rand) draw {
		left := 0
		return func(r *rand.Rand) time.Duration {
			if left == 0 && r.Float64() < 0.03/float64(length) {
				left = length
			}
			by := lognormal(50*time.Millisecond, 0.5)(r)
			if left > 0 {
				left--
				by += 100 * time.Millisecond
			}
			return by
		}
	}
}

// times returns the distribution scaled by a factor.
func (d draw) times(f float64) draw {
	return func(r *rand.Rand) time.Duration { return time.Duration(f * float64(d(r))) }
}

// sample draws n requests as a journal has them: microseconds in the buckets of an HdrHistogram with two
// significant digits.
func sample(r *rand.Rand, d draw, n int) (all []journal.Bucket) {
	ups := make([]int64, n)
	for i := range ups {
		us := max(1, min(d(r).Microseconds(), 600_000_000))
		ups[i] = us | (1<<max(0, bits.Len64(uint64(us))-8) - 1) //nolint:gosec // positive
	}
	slices.Sort(ups)
	for _, up := range ups {
		if last := len(all) - 1; last >= 0 && all[last].Up == time.Duration(up)*time.Microsecond {
			all[last].N++
			continue
		}
		all = append(all, journal.Bucket{Up: time.Duration(up) * time.Microsecond, N: 1})
	}
	return all
}

// TestSampleMatchesHistogram compares sample with the histograms of a run.
func TestSampleMatchesHistogram(t *testing.T) {
	for us := int64(1); us < 600_000_000; us += 1 + us/7 {
		h := hdrhistogram.New(1, 600_000_000, 2)
		require.NoError(t, h.RecordValue(us))
		got := sample(nil, func(*rand.Rand) time.Duration { return time.Duration(us) * time.Microsecond }, 1)
		require.Equal(t, h.Max(), got[0].Up.Microseconds())
	}
}

func succeeded(r *rand.Rand, n int, p float64) (ok int) {
	for range n {
		if r.Float64() < p {
			ok++
		}
	}
	return ok
}

var more = flag.Int("more", 1, "how many times as many random cases tests try")

// few reports whether tests try few random cases, since the race detector is ten times as slow and finds nothing here.
func few() bool { return raceEnabled || testing.Short() }

// trials returns how many random cases a test tries: a thirtieth if they are few.
func trials(n int) int {
	if few() {
		return max(20, n/30)
	}
	return n * *more
}

// rates returns how often a comparison failed and passed, as a share of the trials.
func rates(n int, compare func(*rand.Rand) Outcome) (failed, passed float64) {
	n = trials(n)
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same numbers each time
	var count [3]float64
	for range n {
		count[compare(r)]++
	}
	return count[Failed] / float64(n), count[Passed] / float64(n)
}

// sliced draws n requests in ten slices of time.
func sliced(r *rand.Rand, d draw, n int) (all [][]journal.Bucket) {
	for range 10 {
		all = append(all, sample(r, d, n/10))
	}
	return all
}

// atMost returns the limit for a measured rate. It is less strict if the trials are few.
func atMost(rate float64) float64 {
	if few() {
		return rate + 0.03 + 2*math.Sqrt(rate*max(0, 1-rate)/20) // at least twenty trials
	}
	return rate
}

func compared(before, during draw, m, n int, wasOK, isOK float64) func(*rand.Rand) Outcome {
	return func(r *rand.Rand) Outcome {
		return compare(side{m, succeeded(r, m, wasOK), sliced(r, before, m)}, side{n, succeeded(r, n, isOK), sliced(r, during, n)}).Outcome
	}
}

var shapes = map[string]draw{
	"narrow":         lognormal(50*time.Millisecond, 0.1),
	"lognormal":      lognormal(50*time.Millisecond, 0.5),
	"wide lognormal": lognormal(50*time.Millisecond, 0.9),
	"bimodal":        cached,
	"heavy tail":     heavy,
	"fast":           lognormal(1600*time.Microsecond, 0.5),
}

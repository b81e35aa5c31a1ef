package check

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/stretchr/testify/assert"
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

// rates returns how often a comparison failed and passed, as a share of the trials. The race detector is ten times
// as slow and finds nothing here, so it runs only a tenth of the trials.
func rates(trials int, compare func(*rand.Rand) Outcome) (failed, passed float64) {
	if raceEnabled {
		trials /= 10
	}
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same numbers each time
	var count [3]float64
	for range trials {
		count[compare(r)]++
	}
	return count[Failed] / float64(trials), count[Passed] / float64(trials)
}

// sliced draws n requests in ten slices of time.
func sliced(r *rand.Rand, d draw, n int) (all [][]journal.Bucket) {
	for range 10 {
		all = append(all, sample(r, d, n/10))
	}
	return all
}

// atMost returns the limit for a measured rate. With the race detector there are too few trials for a strict
// limit.
func atMost(rate float64) float64 {
	if raceEnabled {
		return rate + 0.03 + 2*math.Sqrt(rate*max(0, 1-rate)/20) // at least twenty trials
	}
	return rate
}

func compared(before, during draw, m, n int, wasOK, isOK float64) func(*rand.Rand) Outcome {
	return func(r *rand.Rand) Outcome {
		return compare(side{m, succeeded(r, m, wasOK), sliced(r, before, m)}, side{n, succeeded(r, n, isOK), sliced(r, during, n)}, 0).Outcome
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

// TestFalseAlarmRate allows 1 of 100 false alarms, for all distributions and numbers of requests. It prints the
// rates.
func TestFalseAlarmRate(t *testing.T) {
	for name, d := range shapes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, size := range [][2]int{{100, 100}, {100, 1000}, {300, 300}, {1000, 1000}, {1000, 100}, {5000, 5000}} {
				trials := min(600, 3_000_000/(size[0]+size[1]))
				failed, passed := rates(trials, compared(d, d, size[0], size[1], 0.99, 0.99))
				t.Logf("%d and %d requests, %d trials: %.2f%% failed, %.1f%% passed", size[0], size[1], trials, 100*failed, 100*passed)
				assert.LessOrEqual(t, failed, atMost(0.01))
			}
		})
	}
}

// TestDetectsShiftOfAFifth requires detection in at least 95 of 100 cases with 1,000 requests in each window.
func TestDetectsShiftOfAFifth(t *testing.T) {
	for name, d := range shapes {
		if name == "fast" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failed, passed := rates(500, compared(d, d.times(1.2), 1000, 1000, 1, 1))
			t.Logf("%.1f%% failed, %.1f%% passed", 100*failed, 100*passed)
			assert.GreaterOrEqual(t, failed, 1-atMost(0.05))
		})
	}
}

// TestSmallAndPartialRises requires that a significant but irrelevant rise passes, and that a rise of only the
// slowest requests is detected.
func TestSmallAndPartialRises(t *testing.T) {
	partly := func(share float64, by time.Duration) draw {
		return func(r *rand.Rand) time.Duration {
			d := shapes["lognormal"](r)
			if r.Float64() < share {
				d += by
			}
			return d
		}
	}
	timesOut := func(share float64) draw {
		return func(r *rand.Rand) time.Duration {
			if r.Float64() < share {
				return time.Second
			}
			return shapes["lognormal"](r)
		}
	}
	fast, usual := shapes["fast"], shapes["lognormal"]
	for name, c := range map[string]struct {
		before, during draw
		n              int
		fails          bool
	}{
		"1.6 ms become 1.9 ms":                 {fast, fast.times(1.2), 5000, false},
		"1.6 ms become 3.2 ms":                 {fast, fast.times(2), 5000, false},
		"1.6 ms become 16 ms":                  {fast, fast.times(10), 300, true},
		"4% more":                              {usual, usual.times(1.04), 5000, false},
		"half as slow":                         {usual, usual.times(0.5), 1000, false},
		"twice as slow, few requests":          {usual, usual.times(2), 100, true},
		"one in ten waits 300 ms":              {usual, partly(0.1, 300*time.Millisecond), 1000, true},
		"one in ten times out":                 {usual, timesOut(0.1), 1000, true},
		"a third times out":                    {usual, timesOut(0.33), 300, true},
		"one in ten waits 300 ms, few of them": {usual, partly(0.1, 300*time.Millisecond), 300, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failed, passed := rates(200, compared(c.before, c.during, c.n, c.n, 1, 1))
			t.Logf("%.1f%% failed, %.1f%% passed", 100*failed, 100*passed)
			if c.fails {
				assert.GreaterOrEqual(t, failed, 1-atMost(0.05))
				assert.LessOrEqual(t, passed, atMost(0))
			} else {
				assert.LessOrEqual(t, failed, atMost(0.01))
				assert.GreaterOrEqual(t, passed, 1-atMost(0.05))
			}
		})
	}
}

// TestCompareSuccess requires that a relevant drop is detected and that equal shares raise no alarm. A drop that
// may be chance must not pass either.
func TestCompareSuccess(t *testing.T) {
	d := shapes["narrow"]
	for _, c := range []struct {
		was, is       float64
		n             int
		least, most   float64 // limits of the failure rate
		mostPassed    float64
		passedAtLeast float64
	}{
		{1, 1, 100, 0, 0, 1, 1},
		{0.999, 0.999, 1000, 0, 0.01, 1, 0.9},
		{0.99, 0.99, 5000, 0, 0.01, 1, 0.9},
		{0.5, 0.5, 100, 0, 0.01, 1, 0.4},
		{0.5, 0.5, 5000, 0, 0.01, 1, 0.5},
		{1, 0.97, 1000, 0.95, 1, 0, 0},
		{0.999, 0.88, 200, 0.95, 1, 0, 0},
		{1, 0.8, 100, 0.95, 1, 0, 0},
		{1, 0.98, 100, 0, 0.1, 0.2, 0}, // too few requests to fail or to pass
	} {
		failed, passed := rates(500, compared(d, d, c.n, c.n, c.was, c.is))
		t.Logf("%v, then %v of %d: %.1f%% failed, %.1f%% passed", c.was, c.is, c.n, 100*failed, 100*passed)
		assert.GreaterOrEqual(t, failed, 1-atMost(1-c.least))
		assert.LessOrEqual(t, failed, atMost(c.most))
		assert.LessOrEqual(t, passed, atMost(c.mostPassed))
		assert.GreaterOrEqual(t, passed, 1-atMost(1-c.passedAtLeast))
	}
}

// TestDependentStalls uses a system whose stalls delay many requests in a row. Tests that assume independent
// requests detect a rise in up to a quarter of all cases. Most of these cases must be inconclusive.
func TestDependentStalls(t *testing.T) {
	for _, length := range []int{1, 10, 50} {
		d := stalls(length)
		failed, passed := rates(500, func(r *rand.Rand) Outcome { return compared(d(r), d(r), 1000, 1000, 1, 1)(r) })
		t.Logf("stalls of %d requests in a row: %.1f%% failed, %.1f%% passed", length, 100*failed, 100*passed)
		assert.LessOrEqual(t, failed, atMost(0.02))
		alone, _ := rates(500, func(r *rand.Rand) Outcome {
			before, during := side{1000, 1000, [][]journal.Bucket{sample(r, d(r), 1000)}}, side{1000, 1000, [][]journal.Bucket{sample(r, d(r), 1000)}}
			return compare(before, during, 0).Outcome
		})
		t.Logf("as if they were independent: %.1f%% failed", 100*alone)
	}
}

// TestCompareTimes allows 1 of 100 false alarms exactly at the limit, and requires that a fifth above it is
// detected.
func TestCompareTimes(t *testing.T) {
	ask := func(before, during draw, n int, percentile, times float64) func(*rand.Rand) Outcome {
		return func(r *rand.Rand) Outcome {
			return compareTimes(sliced(r, before, n), sliced(r, during, n), percentile, times, 0).Outcome
		}
	}
	for name, d := range shapes {
		if name == "fast" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, n := range []int{100, 1000, 5000} {
				at, _ := rates(500, ask(d, d.times(2), n, 95, 2))
				within, passed := rates(500, ask(d, d.times(1.2), n, 95, 2))
				t.Logf("%d requests: at the limit %.1f%% failed; well below it %.1f%% failed, %.1f%% passed", n, 100*at, 100*within, 100*passed)
				assert.LessOrEqual(t, at, atMost(0.02)) // 500 trials of 1%
				assert.LessOrEqual(t, within, atMost(0.01))
			}
			far, _ := rates(200, ask(d, d.times(4), 1000, 95, 2))
			assert.GreaterOrEqual(t, far, 1-atMost(0.05))
		})
	}
	failed, passed := rates(200, ask(shapes["fast"], shapes["fast"].times(2), 1000, 95, 1))
	assert.Zero(t, failed, "less than 5 ms is no rise")
	assert.EqualValues(t, 1, passed)
	slow := lognormal(500*time.Millisecond, 0.5)
	failed, _ = rates(1000, ask(slow, slow.times(1.2), 1000, 50, 1))
	t.Logf("the median of 1,000, a fifth above: %.1f%% found", 100*failed)
	assert.GreaterOrEqual(t, failed, 1-atMost(0.05))
}

// TestCompareTimesInBursts uses a system that stops for 250 ms about every 1.5 seconds, with a baseline and a
// fault of a few seconds, so that one of them may have no such pause. A test that assumes independent requests
// detects a rise in a tenth of all cases.
func TestCompareTimesInBursts(t *testing.T) {
	seconds := func(r *rand.Rand, n int, slower float64) (all [][]journal.Bucket) {
		s := stopping(r, 250*time.Millisecond, 1500*time.Millisecond)
		for i := range n {
			k := 0
			all = append(all, sample(r, func(r *rand.Rand) time.Duration {
				_, took := s(r, time.Duration(i)*time.Second+time.Duration(k)*time.Second/64)
				k++
				return time.Duration(slower * float64(took))
			}, 64))
		}
		return all
	}
	for _, percentile := range []float64{90, 95} {
		for _, n := range [][2]int{{3, 4}, {3, 20}} {
			failed, passed := rates(1000, func(r *rand.Rand) Outcome {
				return compareTimes(seconds(r, n[0], 1), seconds(r, n[1], 1), percentile, 1.5, 0).Outcome
			})
			t.Logf("p%v, %d and %d seconds: %.1f%% failed, %.1f%% passed", percentile, n[0], n[1], 100*failed, 100*passed)
			assert.LessOrEqual(t, failed, atMost(0.015)) // 1,000 trials of 1%
			alone, _ := rates(100, func(r *rand.Rand) Outcome {
				return compareTimes([][]journal.Bucket{journal.Merge(seconds(r, n[0], 1)...)}, [][]journal.Bucket{journal.Merge(seconds(r, n[1], 1)...)}, percentile, 1.5, 0).Outcome
			})
			t.Logf("as if they were independent: %.1f%% failed", 100*alone)
		}
	}
	is := shapes["lognormal"]
	failed, _ := rates(200, func(r *rand.Rand) Outcome {
		return compareTimes(sliced(r, is, 640)[:3], sliced(r, is.times(3), 640)[:4], 95, 1.5, 0).Outcome
	})
	t.Logf("three times as slow, 3 and 4 seconds: %.1f%% found", 100*failed)
	assert.GreaterOrEqual(t, failed, 1-atMost(0.2))
}

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
	assert.InDelta(t, 1.0/70, p(pair(bucketed(1, 2, 3, 4), bucketed(5, 6, 7, 8)).tail(0.5)), 1e-9)

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

// TestCompareTooFew requires that nothing passes by accident, and that every result other than a pass has a
// reason.
func TestCompareTooFew(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same numbers each time
	some := side{1000, 1000, sliced(r, shapes["lognormal"], 1000)}
	few := side{50, 50, sliced(r, shapes["lognormal"], 50)}
	for name, c := range map[string]comparison{
		"nothing":              compare(side{}, side{}, 0),
		"no baseline":          compare(side{}, some, 0),
		"nothing during":       compare(some, side{}, 0),
		"few before":           compare(few, some, 0),
		"few during":           compare(some, few, 0),
		"no latency":           compare(side{1000, 1000, nil}, side{1000, 1000, nil}, 0),
		"late":                 compare(some, side{1000, 1000, sliced(r, shapes["lognormal"].times(3), 1000)}, time.Second),
		"later than slower":    compare(some, side{1000, 1000, sliced(r, shapes["lognormal"].times(1.3), 1000)}, 45*time.Millisecond),
		"times nothing":        compareTimes(nil, nil, 95, 2, 0),
		"times of few":         compareTimes(few.Latency, some.Latency, 95, 2, 0),
		"times of few, p99.9":  compareTimes(some.Latency, some.Latency, 99.9, 2, 0),
		"times, and it's late": compareTimes(some.Latency, sliced(r, shapes["lognormal"].times(3), 1000), 95, 2, time.Second),
	} {
		assert.Equal(t, Inconclusive, c.Outcome, name)
		assert.NotEmpty(t, c.Reason, name)
	}
	c := compare(some, side{1000, 1000, sliced(r, shapes["lognormal"].times(1.3), 1000)}, 0)
	assert.Equal(t, Failed, c.Outcome)
	assert.Contains(t, c.Reason, "throughout: the median from ")
	assert.Contains(t, c.Observed, "success 100%, baseline 100%; p95 ")
}

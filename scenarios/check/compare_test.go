package check

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// TestFalseAlarmRate allows 1 of 100 false alarms, for all distributions and numbers of requests. It prints the
// rates.
func TestFalseAlarmRate(t *testing.T) {
	for name, d := range shapes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, size := range [][2]int{{100, 100}, {100, 1000}, {300, 300}, {1000, 1000}, {1000, 100}, {5000, 5000}} {
				n := min(600, 3_000_000/(size[0]+size[1]))
				failed, passed := rates(n, compared(d, d, size[0], size[1], 0.99, 0.99))
				t.Logf("%d and %d requests, %d trials: %.2f%% failed, %.1f%% passed", size[0], size[1], trials(n), 100*failed, 100*passed)
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
			return compare(before, during).Outcome
		})
		t.Logf("as if they were independent: %.1f%% failed", 100*alone)
	}
}

// TestCompareTimes allows 1 of 100 false alarms exactly at the limit, and requires that a fifth above it is
// detected.
func TestCompareTimes(t *testing.T) {
	ask := func(before, during draw, n int, percentile, times float64) func(*rand.Rand) Outcome {
		return func(r *rand.Rand) Outcome {
			return compareTimes(sliced(r, before, n), sliced(r, during, n), percentile, times).Outcome
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
				return compareTimes(seconds(r, n[0], 1), seconds(r, n[1], 1), percentile, 1.5).Outcome
			})
			t.Logf("p%v, %d and %d seconds: %.1f%% failed, %.1f%% passed", percentile, n[0], n[1], 100*failed, 100*passed)
			assert.LessOrEqual(t, failed, atMost(0.015)) // 1,000 trials of 1%
			alone, _ := rates(100, func(r *rand.Rand) Outcome {
				return compareTimes([][]journal.Bucket{journal.Merge(seconds(r, n[0], 1)...)}, [][]journal.Bucket{journal.Merge(seconds(r, n[1], 1)...)}, percentile, 1.5).Outcome
			})
			t.Logf("as if they were independent: %.1f%% failed", 100*alone)
		}
	}
	is := shapes["lognormal"]
	failed, _ := rates(200, func(r *rand.Rand) Outcome {
		return compareTimes(sliced(r, is, 640)[:3], sliced(r, is.times(3), 640)[:4], 95, 1.5).Outcome
	})
	t.Logf("three times as slow, 3 and 4 seconds: %.1f%% found", 100*failed)
	assert.GreaterOrEqual(t, failed, 1-atMost(0.01))
}

// TestCompareTooFew requires that nothing passes by accident, and that every result other than a pass has a
// reason.
func TestCompareTooFew(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same numbers each time
	some := side{1000, 1000, sliced(r, shapes["lognormal"], 1000)}
	few := side{50, 50, sliced(r, shapes["lognormal"], 50)}
	for name, c := range map[string]comparison{
		"nothing":             compare(side{}, side{}),
		"no baseline":         compare(side{}, some),
		"nothing during":      compare(some, side{}),
		"few before":          compare(few, some),
		"few during":          compare(some, few),
		"no latency":          compare(side{1000, 1000, nil}, side{1000, 1000, nil}),
		"times nothing":       compareTimes(nil, nil, 95, 2),
		"times of few":        compareTimes(few.Latency, some.Latency, 95, 2),
		"times of few, p99.9": compareTimes(some.Latency, some.Latency, 99.9, 2),
	} {
		assert.Equal(t, Inconclusive, c.Outcome, name)
		assert.NotEmpty(t, c.Doubt.String(), name)
	}
	c := compare(some, side{1000, 1000, sliced(r, shapes["lognormal"].times(1.3), 1000)})
	assert.Equal(t, Failed, c.Outcome)
	assert.Contains(t, c.Reason, "throughout: the median from ")
	assert.Contains(t, c.Observed, "success 100.0% (1,000 of 1,000; 95% CI 99.6% to 100.0%), baseline ")
}

// TestLateSamplesJoinTheirSlice: requests that ended after their slice was written have their own sample in the
// journal. They are all slow. As a slice of their own they would look like one stall, which would excuse a system
// that became slower throughout.
func TestLateSamplesJoinTheirSlice(t *testing.T) {
	const route, ms = "GET /", time.Millisecond
	quick := []journal.Bucket{{Up: 900 * ms, N: 60}, {Up: 950 * ms, N: 40}}
	h := &journal.History{Faults: []*journal.Injection{{}}}
	for i := range 10 {
		at := time.Duration(i) * time.Second
		h.Samples = append(h.Samples,
			journal.Sample{From: at, To: at + time.Second, Window: journal.Before, Route: route, Sent: 100, OK: 100, Latency: quick},
			journal.Sample{From: at + time.Minute, To: at + time.Minute + time.Second, Window: journal.During, Route: route, Sent: 50, OK: 50, Latency: []journal.Bucket{{Up: 900 * ms, N: 50}}},
			journal.Sample{From: at + time.Minute, To: at + time.Minute + time.Second, Window: journal.During, Route: route, Sent: 50, OK: 50, Latency: []journal.Bucket{{Up: 2 * time.Second, N: 50}}},
		)
	}
	during := NotAffected{route}.side(h, journal.During, false)
	require.Len(t, during.Latency, 10)
	require.EqualValues(t, 100, journal.Count(during.Latency[0]))
	v := Ask(NotAffected{route}, h)
	require.Equal(t, Failed, v.Outcome, v.Reason)
	require.Contains(t, v.Reason, "p95 rose from ")
}

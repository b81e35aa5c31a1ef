package link

import (
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// latencies sends chunks of one byte, one every interval every, through a stage in virtual time and
// returns how late each was. One goroutine is both source and consumer and sleeps until the next
// arrival or departure.
func latencies(t *testing.T, s *stage, chunks int, every time.Duration) (late []time.Duration) {
	t.Helper()
	began := time.Now()
	var q queue
	q.init(nil)
	q.set([]*stage{s}, &conn{id: 1}, ToServer)
	var sent []time.Time
	buf := make([]byte, 1)
	q.hasWorker = true
	for len(late) < chunks {
		pause := time.Hour
		if len(sent) < chunks {
			pause = time.Duration(len(sent)+1)*every - time.Since(began)
		}
		_, err, wait, state := q.try(buf, false)
		require.NoError(t, err)
		if state == taken {
			late = append(late, time.Since(sent[len(late)]))
			continue
		}
		time.Sleep(min(pause, wait))
		if pause <= wait {
			sent = append(sent, time.Now())
			q.enqueueData([]byte{1})
		}
	}
	return late
}

// delayed returns a stage as created by Link.Delay.
func delayed(t *testing.T, d Delay) *stage {
	t.Helper()
	l := unboundLink()
	_, err := l.Delay(d)
	require.NoError(t, err)
	return l.stages[0]
}

func moments(late []time.Duration) (mean, spread float64) {
	var sum, squares float64
	for _, d := range late {
		ms := float64(d) / float64(time.Millisecond)
		sum += ms
		squares += ms * ms
	}
	n := float64(len(late))
	return sum / n, math.Sqrt(squares/n - sum/n*sum/n)
}

// TestJitterKeepsMeanAndSpreadOnAStream sends one chunk per millisecond, in order. Independent delays
// fail this test: for 50 ms ± 20 ms, Toxiproxy's have a mean of 63 ms and a third of the spread.
func TestJitterKeepsMeanAndSpreadOnAStream(t *testing.T) {
	for name, c := range map[string]struct {
		Delay
		spread float64 // expected, in ms; 0 is not checked
	}{
		"uniform": {Delay{By: 50 * time.Millisecond, Jitter: 20 * time.Millisecond}, 20 / math.Sqrt(3)},
		"normal":  {Delay{By: 50 * time.Millisecond, Jitter: 10 * time.Millisecond, Spread: Normal}, 10},
		"pareto":  {Delay{By: 50 * time.Millisecond, Jitter: 10 * time.Millisecond, Spread: Pareto}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.Seed, c.Count = 3, evidence.NewCounter("traffic")
				const chunks = 60_000
				mean, spread := moments(latencies(t, delayed(t, c.Delay), chunks, time.Millisecond))
				assert.InEpsilon(t, 50, mean, 0.02)
				if c.spread > 0 {
					assert.InEpsilon(t, c.spread, spread, 0.05)
				}
				assert.EqualValues(t, chunks, c.Count.Tally().Affected)
			})
		})
	}
}

// TestSpreadsOfDelay samples the delay at moments far enough apart to be independent.
func TestSpreadsOfDelay(t *testing.T) {
	const by, jitter, n = 100.0, 20.0, 200_000
	for name, c := range map[string]struct {
		spread     Spread
		deviation  float64
		quantiles  map[float64]float64 // share of delays below the key, in ms
		least, top float64
	}{
		"uniform": {Uniform, jitter / math.Sqrt(3), map[float64]float64{80: 0, 90: 0.25, 100: 0.5, 115: 0.875, 120: 1}, 80, 120},
		"normal":  {Normal, jitter, map[float64]float64{60: 0.02275, 80: 0.15866, 100: 0.5, 120: 0.84134, 140: 0.97725}, 0, 300},
		// x = (1-u)^(-1/3) is below k with probability 1-k^-3. Its mean is 1.495 and its standard
		// deviation 0.7515.
		"pareto": {Pareto, jitter, map[float64]float64{
			100 + jitter*(1.2-paretoMean)/paretoSpread: 1 - math.Pow(1.2, -3), 100 + jitter*(2-paretoMean)/paretoSpread: 1 - math.Pow(2, -3), 100 + jitter*(5-paretoMean)/paretoSpread: 1 - math.Pow(5, -3),
		}, by + jitter*(1-paretoMean)/paretoSpread, by + jitter*(10-paretoMean)/paretoSpread},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			d := &delay{Delay: Delay{By: by * time.Millisecond, Jitter: jitter * time.Millisecond, Spread: c.spread}, seed: 5, start: start}
			all := make([]time.Duration, n)
			for i := range all {
				all[i] = d.delayAt(start.Add(time.Duration(i) * 2 * d.gridStep()))
			}
			mean, spread := moments(all)
			assert.InEpsilon(t, by, mean, 0.005)
			assert.InEpsilon(t, c.deviation, spread, 0.02)
			slices.Sort(all)
			ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
			assert.GreaterOrEqual(t, ms(all[0]), c.least-1e-6)
			assert.LessOrEqual(t, ms(all[n-1]), c.top+1e-6)
			for below, share := range c.quantiles {
				got, _ := slices.BinarySearch(all, time.Duration(below*float64(time.Millisecond)))
				assert.InDelta(t, share, float64(got)/n, 0.005, "below %v ms", below)
			}
		})
	}
}

func TestDelaysFollowSeedConnectionAndDirection(t *testing.T) {
	start := time.Now()
	delays := func(seed, id uint64, dir Dir) (all []time.Duration) {
		s := delayed(t, Delay{On: On{ID: "f1", Seed: seed}, By: 50 * time.Millisecond, Jitter: 20 * time.Millisecond})
		d := s.newShape(&conn{id: id}, dir).(*delay)
		d.start = start
		for i := range 10 {
			all = append(all, d.delayAt(start.Add(time.Duration(i)*time.Second)))
		}
		return all
	}
	first := delays(1, 1, ToServer)
	require.Equal(t, first, delays(1, 1, ToServer))
	require.NotEqual(t, first, delays(2, 1, ToServer))
	require.NotEqual(t, first, delays(1, 2, ToServer))
	require.NotEqual(t, first, delays(1, 1, ToClient))
}

func TestRampsAndWaves(t *testing.T) {
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		Delay
		want func(arrived time.Duration) time.Duration
	}{
		"grows": {Delay{By: 200 * ms, Ramp: Ramp{Over: 2 * time.Second}}, func(t time.Duration) time.Duration { return min(200*ms, t/10) }},
		"shrinks": {Delay{Ramp: Ramp{From: 90 * ms, Over: 2 * time.Second}}, func(t time.Duration) time.Duration {
			return max(0, 90*ms-t*9/200)
		}},
		"between two delays": {Delay{By: 300 * ms, Ramp: Ramp{From: 100 * ms, Over: 2 * time.Second}}, func(t time.Duration) time.Duration {
			return min(300*ms, 100*ms+t/10)
		}},
		// Chunks after the falling edge wait for those before it.
		"on and off": {Delay{By: 250 * ms, Wave: Wave{Up: time.Second, Down: 500 * ms}}, func(t time.Duration) time.Duration {
			if phase := t % (1500 * ms); phase >= time.Second {
				return max(0, 1150*ms-phase) // the last delayed chunk arrived at 900 ms
			}
			return 250 * ms
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for i, late := range latencies(t, delayed(t, c.Delay), 45, 100*ms) {
					arrived := time.Duration(i+1) * 100 * ms
					require.InDelta(t, c.want(arrived), late, float64(time.Microsecond), "arrived at %v", arrived)
				}
			})
		})
	}
}

// TestRampForChunksHeldBeforeIt checks that a chunk held when the delay is added is delayed like one
// that arrives then.
func TestRampForChunksHeldBeforeIt(t *testing.T) {
	start := time.Now()
	for _, d := range []Delay{{By: time.Second, Ramp: Ramp{Over: time.Second}}, {By: time.Second, Wave: Wave{Up: time.Second, Down: time.Second}}} {
		shape := &delay{Delay: d, start: start}
		require.Equal(t, shape.delayAt(start), shape.delayAt(start.Add(-700*time.Millisecond)))
	}
}

// A jitter above the latency of a toxic gives delays up to their sum, and none where they would be negative.
func TestJitterAboveLatency(t *testing.T) {
	start := time.Now()
	d := &delay{Delay: Delay{By: 10 * time.Millisecond, Jitter: 100 * time.Millisecond, anyJitter: true}, seed: 5, start: start}
	require.NoError(t, d.Delay.check("a"))
	const draws = 10_000
	var longest time.Duration
	none := 0
	for i := range draws {
		at := d.delayAt(start.Add(time.Duration(i) * 2 * d.gridStep()))
		require.GreaterOrEqual(t, at, time.Duration(0))
		longest = max(longest, at)
		if at == 0 {
			none++
		}
	}
	require.InDelta(t, 110, longest.Milliseconds(), 2)
	require.InDelta(t, 0.45, float64(none)/draws, 0.02)
	d.anyJitter = false
	require.ErrorContains(t, d.Delay.check("a"), "the jitter must be between 0 and 10ms", "faults of features say no such thing")
}

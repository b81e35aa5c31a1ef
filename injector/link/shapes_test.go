package link

import (
	"errors"
	"io"
	"math"
	"slices"
	"sync"
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

// limited returns a stage as created by Link.Limit.
func limited(t *testing.T, b Bandwidth) *stage {
	t.Helper()
	l := unboundLink()
	_, err := l.Limit(b)
	require.NoError(t, err)
	return l.stages[0]
}

func TestBandwidthIsExact(t *testing.T) {
	for name, c := range map[string]struct {
		shared bool
		conns  int
		want   time.Duration // for 1 MB on each connection at 1 MB/s
	}{
		"one connection":         {false, 1, time.Second},
		"separate":               {false, 4, time.Second},
		"shared, one connection": {true, 1, time.Second},
		"shared":                 {true, 4, 4 * time.Second},
	} {
		for _, dir := range []Dir{ToServer, ToClient} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := limited(t, Bandwidth{Rate: 1e6, Shared: c.shared})
					began := time.Now()
					got := make([]int, c.conns)
					var wg sync.WaitGroup
					for i := range c.conns {
						var q queue
						q.init(nil)
						q.set([]*stage{s}, &conn{id: uint64(i)}, dir)
						q.enqueueData(make([]byte, 1e6))
						wg.Go(func() {
							for buf := make([]byte, 1<<20); got[i] < 1e6; {
								n, err, ok := q.take(buf, false)
								assert.NoError(t, err)
								assert.True(t, ok)
								assert.LessOrEqual(t, n, 10_000, "a burst of more than 10 ms' worth")
								got[i] += n
							}
							assert.InDelta(t, c.want, time.Since(began), float64(c.want)/50)
						})
					}
					time.Sleep(c.want / 2)
					synctest.Wait()
					for _, n := range got {
						assert.InDelta(t, 5e5, n, 1e4, "the line is not shared evenly")
					}
					wg.Wait()
					assert.InDelta(t, c.want, time.Since(began), float64(10*time.Microsecond))
				})
			})
		}
	}
}

// TestSharedBandwidthKeepsRate checks that a reader with a changing buffer size gets bytes at the
// rate, and no credit after it has stalled.
func TestSharedBandwidthKeepsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var q queue
		q.init(nil)
		q.set([]*stage{limited(t, Bandwidth{Rate: 1e6, Shared: true})}, &conn{id: 1}, ToServer)
		q.enqueueData(make([]byte, 1_100_000))
		began, got := time.Now(), 0
		read := func(until int) {
			for i := 0; got < until; i++ {
				n, err, wait, _ := q.try(make([]byte, 1+997*(i%10)), false) // asks twice, with different buffer sizes
				require.NoError(t, err)
				time.Sleep(wait / 2)
				got += n
				n, err, ok := q.take(make([]byte, 1+991*(i%7)), false)
				require.NoError(t, err)
				require.True(t, ok)
				got += n
			}
		}
		read(5e5)
		require.InDelta(t, 500*time.Millisecond, time.Since(began), float64(15*time.Millisecond))
		time.Sleep(time.Minute)
		began = time.Now()
		read(1e6)
		require.InDelta(t, 500*time.Millisecond, time.Since(began), float64(25*time.Millisecond))
	})
}

func TestSlices(t *testing.T) {
	for name, c := range map[string]struct {
		Slices
		least, most int
	}{
		"equal":         {Slices{Size: 100}, 100, 100},
		"varied":        {Slices{Size: 100, Vary: 40}, 60, 140},
		"with a pause":  {Slices{Size: 100, Vary: 99, Apart: 3 * time.Millisecond}, 1, 199},
		"byte by byte":  {Slices{Size: 1, Apart: 10 * time.Microsecond}, 1, 1},
		"the largest":   {Slices{Size: maxSliceSize, Vary: maxSliceSize - 1}, 1, 2*maxSliceSize - 1},
		"larger chunks": {Slices{Size: 1 << 20}, 1 << 20, 1 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.Count = evidence.NewCounter("traffic")
				l := unboundLink()
				_, err := l.Slice(c.Slices)
				require.NoError(t, err)
				var q queue
				q.init(nil)
				q.set(l.stages, &conn{id: 1}, ToClient)
				const chunk, chunks = 20_000, 3
				for range chunks {
					q.enqueueData(make([]byte, chunk))
				}
				began, pieces, sum := time.Now(), 0, 0
				buf := make([]byte, 1<<21)
				for sum < chunks*chunk {
					n, err, ok := q.take(buf, false)
					require.NoError(t, err)
					require.True(t, ok)
					require.Equal(t, time.Duration(pieces)*c.Apart, time.Since(began))
					require.LessOrEqual(t, n, c.most)
					if sum += n; sum%chunk > 0 {
						require.GreaterOrEqual(t, n, c.least)
					}
					pieces++
				}
				tally := c.Count.Tally()
				require.EqualValues(t, chunks, tally.Seen)
				if c.most < chunk {
					require.InEpsilon(t, chunks*chunk/c.Size, pieces, 0.1)
					require.EqualValues(t, chunks, tally.Affected)
					require.EqualValues(t, 1, tally.Connections)
				} else if c.Size > chunk && c.Vary == 0 {
					require.Equal(t, chunks, pieces)
					require.Zero(t, tally.Affected, "nothing was taken apart")
				}
			})
		})
	}
}

// passes takes everything from a queue until its end.
func passes(t *testing.T, q *queue, room int) (n int, end error) {
	t.Helper()
	buf := make([]byte, room)
	for end == nil {
		got, err, ok := q.take(buf, false)
		require.True(t, ok)
		n, end = n+got, err
	}
	return n, end
}

func TestBudgetsAreExactToTheByte(t *testing.T) {
	for _, after := range []int64{0, 1, 999, 1000, 1001, 4096, 12_345} {
		for _, room := range []int{1, 1000, 64 << 10} {
			l := unboundLink()
			count := evidence.NewCounter("connections")
			_, err := l.CloseAfter(Close{On: On{Count: count}, AfterBytes: after})
			require.NoError(t, err)
			c := &conn{id: 1}
			for _, d := range []Dir{ToServer, ToClient} { // each direction has its own budget
				var q queue
				q.init(nil)
				q.set(l.stages, c, d)
				for range 20 {
					q.enqueueData(make([]byte, 1000))
				}
				n, end := passes(t, &q, room)
				require.ErrorIs(t, end, errClose)
				require.EqualValues(t, after, n)
			}
			require.EqualValues(t, 1, count.Tally().Affected, "a connection counts once")
			require.EqualValues(t, 1, count.Tally().Seen)
			require.EqualValues(t, 1, count.Tally().Connections)
		}
	}
}

func TestResetBudgetSpansBothDirections(t *testing.T) {
	l := unboundLink()
	_, err := l.Reset(Reset{AfterBytes: 5000})
	require.NoError(t, err)
	c := &conn{id: 1}
	var in, out queue
	in.init(nil)
	out.init(nil)
	in.set(l.stages, c, ToServer)
	out.set(l.stages, c, ToClient)
	in.enqueueData(make([]byte, 3000))
	n, err, ok := in.take(make([]byte, 64<<10), false)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, 3000, n)
	out.enqueueData(make([]byte, 64<<10))
	n, end := passes(t, &out, 64<<10)
	require.ErrorIs(t, end, errReset)
	require.Equal(t, 2000, n)
}

func TestLateEnds(t *testing.T) {
	for _, end := range []error{io.EOF, errors.New("connection reset")} {
		synctest.Test(t, func(t *testing.T) {
			l := unboundLink()
			count := evidence.NewCounter("connections")
			_, err := l.CloseSlowly(SlowClose{On: On{Count: count}, By: 3 * time.Second})
			require.NoError(t, err)
			var q queue
			q.init(nil)
			q.set(l.stages, &conn{id: 1}, ToClient)
			began := time.Now()
			q.enqueueData([]byte("last words"))
			q.put(nil, end)
			n, err, ok := q.take(make([]byte, 100), false)
			require.NoError(t, err)
			require.True(t, ok)
			require.Equal(t, 10, n)
			require.Zero(t, time.Since(began), "bytes are not late")
			require.Zero(t, count.Tally().Affected)
			_, err, _ = q.take(make([]byte, 100), false)
			require.Equal(t, end, err)
			require.Equal(t, 3*time.Second, time.Since(began))
			require.EqualValues(t, 1, count.Tally().Affected)
			require.Equal(t, 3*time.Second, count.Tally().Worst.Round(50*time.Millisecond))
		})
	}
}

func TestConnectionsAreNumberedForEachFault(t *testing.T) {
	l := unboundLink()
	l.ids = 10
	for _, id := range []uint64{9, 3, 7} { // the others have ended
		l.conns[&conn{id: id}] = struct{}{}
	}
	for _, c := range []struct {
		On
		want []uint64
	}{
		{On{}, []uint64{3, 7, 9, 11, 12, 13}},
		{On{First: 2}, []uint64{3, 7}},
		{On{First: 4}, []uint64{3, 7, 9, 11}},
		{On{From: 1}, []uint64{3, 7, 9, 11, 12, 13}},
		{On{From: 3}, []uint64{9, 11, 12, 13}},
		{On{From: 5}, []uint64{12, 13}},
		{On{From: 2, First: 4}, []uint64{7, 9, 11}},
		{On{From: 5, First: 5}, []uint64{12}},
	} {
		w := l.newChooser(c.On)
		var got []uint64
		for _, id := range []uint64{3, 7, 9, 11, 12, 13} {
			if w.picks("a -> b", id) {
				got = append(got, id)
			}
		}
		require.Equal(t, c.want, got, "%+v", c.On)
	}
}

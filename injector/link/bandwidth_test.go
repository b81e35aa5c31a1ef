package link

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

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

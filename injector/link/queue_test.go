package link

import (
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// departures passes chunks through stages in virtual time and returns when each has left.
func departures(t *testing.T, stages []*stage, chunks ...int) (leftAt []time.Duration) {
	t.Helper()
	var q queue
	q.init(nil)
	q.set(stages, &conn{id: 1}, ToServer)
	began := time.Now()
	buf := make([]byte, 1<<20)
	for _, size := range chunks {
		q.enqueueData(make([]byte, size))
	}
	for _, size := range chunks {
		for size > 0 {
			n, err, ok := q.take(buf, false)
			require.NoError(t, err)
			require.True(t, ok)
			size -= n
		}
		leftAt = append(leftAt, time.Since(began))
	}
	return leftAt
}

func TestStagesCompose(t *testing.T) {
	slow := func(by time.Duration) *stage {
		return &stage{minHeld: 1, newShape: func(*conn, Dir) shape { return &delay{Delay: Delay{By: by}, start: time.Now()} }}
	}
	narrow := func(rate int64) *stage {
		return &stage{newShape: func(*conn, Dir) shape { return &bandwidth{rate: rate} }}
	}
	for name, c := range map[string]struct {
		stages []*stage
		chunk  int
		want   time.Duration
	}{
		"delays add up":         {[]*stage{slow(50 * time.Millisecond), slow(70 * time.Millisecond)}, 1, 120 * time.Millisecond},
		"delay, then bandwidth": {[]*stage{slow(50 * time.Millisecond), narrow(1e6)}, 1e6, 1050 * time.Millisecond},
		"bandwidth, then delay": {[]*stage{narrow(1e6), slow(50 * time.Millisecond)}, 1e6, 1050 * time.Millisecond},
		"lower bandwidth":       {[]*stage{narrow(1e6), narrow(1e5)}, 1e5, time.Second},
		"small chunk":           {[]*stage{narrow(100)}, 50, 500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				require.InEpsilon(t, c.want, departures(t, c.stages, c.chunk)[0], 0.02)
			})
		})
	}
}

func TestEachChunkIsCountedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := &stage{hold: true, count: evidence.NewCounter("traffic"), newShape: func(*conn, Dir) shape { return hold{} }}
		other := &stage{count: evidence.NewCounter("traffic"), newShape: func(*conn, Dir) shape { return &delay{Delay: Delay{By: time.Second}} }, minHeld: 1}
		var q queue
		q.init(nil)
		q.enqueueData([]byte("x"))
		for range 3 { // add and remove another fault while the chunk is held
			q.set([]*stage{kept}, &conn{id: 1}, ToServer)
			_, _, _, state := q.try(make([]byte, 1), false)
			require.Equal(t, waiting, state)
			q.set([]*stage{kept, other}, &conn{id: 1}, ToServer)
			_, _, _, state = q.try(make([]byte, 1), false)
			require.Equal(t, waiting, state)
			time.Sleep(noticeable)
		}
		require.EqualValues(t, 1, kept.count.Tally().Affected)
		require.EqualValues(t, 1, kept.count.Tally().Seen)
		require.Zero(t, other.count.Tally().Affected, "it never came to it")
	})
}

func TestDataAfterEndIsDropped(t *testing.T) {
	var q queue
	q.init(nil)
	q.set([]*stage{{newShape: func(*conn, Dir) shape { return hold{} }}}, &conn{id: 1}, ToServer)
	q.fail(net.ErrClosed)
	q.put([]byte("read from the socket just before it was closed"), nil)
	_, err, _, state := q.try(make([]byte, 1), false)
	require.Equal(t, taken, state)
	require.ErrorIs(t, err, net.ErrClosed)
}

func TestWideBandwidthAffectsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stage{minHeld: time.Millisecond, count: evidence.NewCounter("traffic"), newShape: func(*conn, Dir) shape { return &bandwidth{rate: 1e9} }}
		departures(t, []*stage{s}, 100, 100, 100)
		require.EqualValues(t, 3, s.count.Tally().Seen)
		require.Zero(t, s.count.Tally().Affected)
	})
}

// TestDiscardedEndIsNotReadAgain checks that a client's FIN that a half-open connection discards is
// not read in a busy loop until the fault is healed.
func TestDiscardedEndIsNotReadAgain(t *testing.T) {
	l, client, server := pair(t)
	heal, err := l.HalfOpen(On{ID: "f1"})
	require.NoError(t, err)
	require.NoError(t, client.CloseWrite())
	expectSilence(t, server)
	busy := func() time.Duration {
		var used syscall.Rusage
		require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
		return time.Duration(used.Utime.Nano() + used.Stime.Nano())
	}
	began, before := time.Now(), busy()
	time.Sleep(300 * time.Millisecond)
	require.Less(t, busy()-before, time.Since(began)/4, "a goroutine is spinning")
	require.NoError(t, heal(t.Context()))
	_, err = server.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
}

// TestHeldChunkIsCountedAtHeal tests a fault that is healed before the queue's consumer runs again, as
// may happen on a busy machine.
func TestHeldChunkIsCountedAtHeal(t *testing.T) {
	for kept, affected := range map[time.Duration]int64{0: 0, noticeable / 2: 0, noticeable: 1, time.Second: 1} {
		synctest.Test(t, func(t *testing.T) {
			cut := &stage{hold: true, count: evidence.NewCounter("connections"), newShape: func(*conn, Dir) shape { return hold{} }}
			var q queue
			q.init(nil)
			q.set([]*stage{cut}, &conn{id: 1}, ToServer)
			q.enqueueData([]byte("x"))
			time.Sleep(kept)
			q.set(nil, &conn{id: 1}, ToServer)
			require.Equal(t, affected, cut.count.Tally().Affected, "kept for %v", kept)
		})
	}
}

package link

import (
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

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
			_, err := l.CloseAfter(EarlyClose{On: On{Count: count}, AfterBytes: after})
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

package load

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios"
)

func TestScheduleSteadyAndRamp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s := newSchedule(began, 10)
		for i := range 10 {
			require.True(t, s.wait(t.Context()))
			require.Equal(t, time.Duration(i)*100*time.Millisecond, time.Since(began))
			due, ok := s.take(uint64(i))
			require.True(t, ok)
			require.Equal(t, began.Add(time.Duration(i)*100*time.Millisecond), due)
		}
		s.change(time.Now(), linear(10, 100, 10*time.Second)) // 550 requests in ten seconds
		n := 0
		for end := time.Now().Add(10 * time.Second); s.wait(t.Context()) && time.Now().Before(end); n++ {
		}
		require.InDelta(t, 550, n, 15)
		s.change(time.Now(), linear(0, 0, 0))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for s.wait(ctx) {
			n++
		}
		require.Error(t, ctx.Err(), "a rate of zero sends nothing and can be ended")
	})
}

func TestScheduleReturnsUnsentRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSchedule(time.Now(), 10)
		require.True(t, s.wait(t.Context()))
		s.take(0)
		time.Sleep(time.Second + time.Millisecond)
		require.Len(t, s.remaining(time.Now()), 10)
	})
}

// Requests that are due are sent, if late, whether the machine pauses in the middle of the load or at
// its end.
func TestRequestsDueAtTheEndAreSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSchedule(time.Now(), 10)
		time.Sleep(time.Second + time.Millisecond)
		s.end(time.Now())
		n := 0
		for s.wait(t.Context()) {
			_, ok := s.take(uint64(n))
			require.True(t, ok)
			n++
		}
		require.Equal(t, 11, n)
		require.NoError(t, t.Context().Err(), "the end needs no other")
		require.Empty(t, s.remaining(time.Now()))
	})
	synctest.Test(t, func(t *testing.T) {
		s := newSchedule(time.Now(), 0.001)
		require.True(t, s.wait(t.Context()))
		time.AfterFunc(time.Second, func() { s.end(time.Now()) })
		require.False(t, s.wait(t.Context()), "a pacer that waits is told")
	})
}

// With one worker and a slow server most requests are never sent, and all of them are counted.
func TestSaturatedGeneratorCountsUnsentRequests(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(50 * time.Millisecond) }))
	defer server.Close()
	l := &scenarios.Load{Rate: 1, Mix: []scenarios.Route{{Method: "GET", Path: "/", Share: 1}}, GiveUp: time.Second}
	var done atomic.Int64
	c := NewClient(t.Context(), Config{Load: l, Address: at(strings.TrimPrefix(server.URL, "http://")), Ended: func(Result) { done.Add(1) }})
	g := Start(t.Context(), l, c, l.Rate) // the limit for one request per second: 11 workers
	g.Change(scenarios.ChangeLoad{From: 2000, To: 2000})
	time.Sleep(time.Second)
	unsent := 0
	got := g.End(func(uint64, time.Time) { unsent++ })
	require.Equal(t, 11, got.Bound)
	require.LessOrEqual(t, got.Workers, 11)
	require.EqualValues(t, got.Sent, done.Load())
	require.Equal(t, unsent, got.Unsent)
	require.Equal(t, got.Intended, got.Sent+got.Unsent)
	require.Greater(t, got.Unsent, got.Sent, "2,000 a second were asked for, 220 at most could be sent")
	require.Empty(t, got.Error)
}

func TestLoadEndsWithItsContext(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	l := &scenarios.Load{Rate: 0.2, Mix: []scenarios.Route{{Method: "GET", Path: "/", Share: 1}}, GiveUp: time.Minute}
	c := NewClient(ctx, Config{Load: l, Address: at(strings.TrimPrefix(server.URL, "http://")), Ended: func(Result) {}})
	g := Start(ctx, l, c, l.Rate)
	require.Eventually(t, func() bool { return g.inFlight.Load() == 1 }, 10*time.Second, time.Millisecond)
	cancel()
	select {
	case <-g.done:
	case <-time.After(10 * time.Second):
		t.Fatal("the load goes on")
	}
	g.End(func(uint64, time.Time) {})
}

package load

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios"
)

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

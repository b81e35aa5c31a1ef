//go:build unix

package load

import (
	"net/http"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios"
)

// TestStoppedSystemIsSeenByEveryRequestDue stops a system for one of ten seconds at 100 requests per second. Requests
// are sent at this rate all the same, so that the percentiles show the stop (no coordinated omission), and the system
// answers each of them once.
func TestStoppedSystemIsSeenByEveryRequestDue(t *testing.T) {
	if testing.Short() {
		t.Skip("takes ten seconds")
	}
	t.Parallel()
	target := startTarget(t)
	l := &scenarios.Load{Rate: 100, Mix: []scenarios.Route{{Method: http.MethodGet, Path: "/", Share: 1}}, GiveUp: 10 * time.Second}
	var mu sync.Mutex
	var took []time.Duration
	c := NewClient(t.Context(), Config{Load: l, Address: at(target.address), Ended: func(e Result) {
		mu.Lock()
		defer mu.Unlock()
		assert.Equal(t, Acknowledged, e.Outcome, e.Kind)
		took = append(took, e.End.Sub(e.Due))
	}})
	g := Start(t.Context(), l, c, l.Rate)
	time.Sleep(4 * time.Second)
	require.NoError(t, target.process.Signal(syscall.SIGSTOP))
	time.Sleep(time.Second)
	require.NoError(t, target.process.Signal(syscall.SIGCONT))
	time.Sleep(5 * time.Second)
	got := g.End(func(uint64, time.Time) {})
	slices.Sort(took)
	p99 := took[len(took)-len(took)/100] // one in a hundred took as long or longer
	t.Logf("%d requests, %d attempts, %d on the wire, p99 %v", got.Sent, got.Attempts, got.Wire, p99)
	assert.GreaterOrEqual(t, got.Sent, 990)
	assert.InDelta(t, got.Requested, got.Sent, float64(got.Requested)/100)
	assert.Zero(t, got.Unsent)
	assert.Equal(t, got.Sent, got.Attempts)
	assert.Equal(t, got.Sent, got.Wire)
	assert.Equal(t, strconv.Itoa(got.Sent), target.end(), "answered by the system")
	assert.GreaterOrEqual(t, p99, 900*time.Millisecond)
}

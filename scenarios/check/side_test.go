package check

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

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

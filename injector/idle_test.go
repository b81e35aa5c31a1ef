package injector

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// needsUse reports whether a kind counts only connections that are in use, because it acts on connections or bytes.
func needsUse(k Kind) bool { return k.On == "connections" || k.On == "traffic" }

// TestIdleConnectionsAreNotAffected checks each kind with one connection on which nothing is sent. TestKinds checks that
// each kind counts a connection in use.
func TestIdleConnectionsAreNotAffected(t *testing.T) {
	idle := map[string]int64{"refuse": 1, "reset": 1, "half-open": 1} // kinds that break an idle connection, at the latest when they are healed
	for _, k := range Kinds() {
		if !needsUse(k) {
			continue
		}
		t.Run(k.Name, func(t *testing.T) {
			t.Parallel()
			tg := newTarget(t, "tcp")
			require.Eventually(t, func() bool { return tg.Link.Counters().Live == 1 && tg.Link.Waiting(0) == 0 }, patience, time.Millisecond)
			tg.Count = evidence.NewCounter(k.On)
			heal, err := effects[k.Name].fault.Inject(t.Context(), tg.Target)
			require.NoError(t, err)
			time.Sleep(50 * time.Millisecond) // time for effects that need no traffic
			require.NoError(t, heal(t.Context()))
			got := tg.Count.Tally()
			require.Zero(t, got.Affected)
			require.Zero(t, got.Connections)
			require.Equal(t, idle[k.Name], got.Idle)
			require.Eventually(t, tg.healthy, patience, 10*time.Millisecond)
		})
	}
}

// TestFaultHealedAtOnceAffectsNothing checks that a fault that delays bytes for less than a millisecond is not counted.
func TestFaultHealedAtOnceAffectsNothing(t *testing.T) {
	for name, f := range map[string]Fault{
		"cut off": CutOff{}, "silence": Silence{}, "slow traffic": SlowTraffic{By: time.Second}, "ramp": Ramp{Start: time.Second, End: 2 * time.Second, Over: time.Second},
		"wave": Wave{By: time.Second, Up: time.Second, Down: time.Second}, "bandwidth": Bandwidth{Rate: 100}, "no accept": NoAccept{}, "slow accept": SlowAccept{By: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tg := newTarget(t, "tcp")
			quick := 0
			for range 200 {
				tg.Count = evidence.NewCounter("connections")
				done := make(chan bool)
				go func() { done <- tg.healthy() }()
				began := time.Now()
				heal, err := f.Inject(t.Context(), tg.Target)
				require.NoError(t, err)
				require.NoError(t, heal(t.Context()))
				took := time.Since(began)
				require.True(t, <-done)
				if took < 500*time.Microsecond {
					quick++
					require.Zero(t, tg.Count.Tally().Affected)
				}
			}
			require.Positive(t, quick)
		})
	}
}

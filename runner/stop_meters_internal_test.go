package runner

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// TestStopMeter: how long the condition of a rule has held is known in tenths of its time, up to its time, and what
// succeeded before does not count.
func TestStopMeter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s := &session{fold: newFold()}
		s.watchdog = newWatchdog(func(at time.Time) time.Duration { return at.Sub(began) }, func(journal.Pause) {})
		s.fold.baseline = 0
		rule := scenarios.StopRule{Ratio: 0.5, For: 10 * time.Second}
		c := watchSuccess(t.Context(), s, rule)
		for i := range 400 { // in 10 s everything succeeds, and then nothing
			at := time.Duration(i) * 50 * time.Millisecond
			s.fold.countEnd(at, time.Millisecond, at < 10*time.Second)
		}
		for at, want := range map[time.Duration]time.Duration{10 * time.Second: 0, 13 * time.Second: 3 * time.Second, 17500 * time.Millisecond: 7 * time.Second, 20 * time.Second: 10 * time.Second} {
			held, observed := c.far(at)
			assert.Equal(t, want, held, "at %s", at)
			assert.Equal(t, want == rule.For, c.met(at) != "", "at %s", at)
			if want > time.Second {
				assert.Equal(t, "0.0% succeeded", observed)
			}
		}
		_, observed := c.far(5 * time.Second)
		assert.Equal(t, "100.0% succeeded", observed)
	})
}

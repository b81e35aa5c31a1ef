package runner

import (
	"io/fs"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/firedrill-dev/firedrill/runner/internal/aggregate"
	"github.com/firedrill-dev/firedrill/runner/internal/load"
	"github.com/firedrill-dev/firedrill/runner/internal/watchdog"
	"github.com/firedrill-dev/firedrill/scenarios"
)

// TestStopMeter: how long the condition of a rule has held is known in tenths of its time, up to its time, and what
// succeeded before does not count.
func TestStopMeter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s := &session{aggregator: aggregate.New(aggregate.Settings{Horizon: time.Minute})}
		s.watchdog = watchdog.New(func(at time.Time) time.Duration { return at.Sub(began) }, nil)
		s.aggregator.BeginBaseline(0)
		rule := scenarios.StopRule{Ratio: 0.5, For: 10 * time.Second}
		c := watchSuccess(t.Context(), s, rule)
		for i := range 400 { // in 10 s everything succeeds, and then nothing
			at := time.Duration(i) * 50 * time.Millisecond
			o := load.Acknowledged
			if at >= 10*time.Second {
				o = load.Refused
			}
			s.aggregator.Request(load.Result{N: uint64(i), Outcome: o, Attempts: []load.Attempt{{}}}, at, at)
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

// Requests that waited while the runner did not run do not show that the system fails. A short pause
// does not disable a stop rule.
func TestStopRulesIgnorePausesOfTheRunner(t *testing.T) {
	t.Parallel()
	rule := scenarios.StopRule{Ratio: 0.5, For: 2 * sec}
	for pause, want := range map[time.Duration]bool{0: true, 150 * time.Millisecond: true, 1900 * time.Millisecond: false} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			a := aggregate.New(aggregate.Settings{Horizon: time.Minute})
			a.BeginBaseline(sec)
			for n := range uint64(10) { // they wait longer than the duration of the rule
				a.Started("", n, "GET /", 5*sec)
			}
			time.Sleep(6 * sec)
			w := watchdog.New(func(at time.Time) time.Duration { return at.Sub(began) }, nil)
			time.Sleep(pause)
			failing := watchSuccess(t.Context(), &session{aggregator: a, watchdog: w}, rule).met(8*sec) != ""
			assert.Equal(t, want, failing, "a pause of %v", pause)
		})
	}
}

// TestHangingStopFile: a file system that does not answer keeps no other rule from being examined, and stops the scenario:
// its operator could not stop it.
func TestHangingStopFile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s := &session{watchdog: watchdog.New(func(at time.Time) time.Duration { return at.Sub(began) }, nil)}
		quit, answers := make(chan struct{}), make(chan error)
		defer close(quit)
		go s.watchdog.Run(quit)
		c := s.watchStat(func() error { return <-answers })
		met := func() string {
			time.Sleep(stopEvery)
			synctest.Wait()
			return c.met(time.Since(began))
		}
		assert.Empty(t, met(), "asked")
		answers <- fs.ErrNotExist
		assert.Empty(t, met(), "it does not exist")
		asked := time.Since(began) + stopEvery
		for time.Since(began)+stopEvery < asked+statWithin {
			assert.Empty(t, met())
		}
		assert.Equal(t, "whether it exists is not known: no answer within 5s", met())
		answers <- nil
		assert.Equal(t, "it exists", met())
	})
}

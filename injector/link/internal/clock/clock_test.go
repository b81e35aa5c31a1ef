package clock

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestWaitEnds covers each way in which a wait ends, with and without a kernel timer.
func TestWaitEnds(t *testing.T) {
	const short = 20 * time.Millisecond
	for name, start := range map[string]func(*sync.WaitGroup) *Clock{
		"a clock":      func(wg *sync.WaitGroup) *Clock { return New(wg.Go) },
		"without one":  func(*sync.WaitGroup) *Clock { return nil },
		"after Close":  func(wg *sync.WaitGroup) *Clock { c := New(wg.Go); c.Close(); return c },
		"used earlier": func(wg *sync.WaitGroup) *Clock { c := New(wg.Go); c.Wait(nil, time.Millisecond); return c },
	} {
		t.Run(name, func(t *testing.T) {
			var served sync.WaitGroup
			c := start(&served)
			began := time.Now()
			c.Wait(nil, short)
			require.GreaterOrEqual(t, time.Since(began), short, "the time is over")

			wake := make(chan struct{}, 1)
			for _, d := range []time.Duration{time.Minute, Forever} {
				began = time.Now()
				wake <- struct{}{}
				c.Wait(wake, d)
				require.Less(t, time.Since(began), time.Minute, "it was woken")
			}
			if c == nil {
				return
			}
			c.Close()
			served.Wait()
		})
	}
}

// TestEarlierWaitSetsTheAlarm: each wait takes its own time, whatever else is waited for.
func TestEarlierWaitSetsTheAlarm(t *testing.T) {
	var served, waits sync.WaitGroup
	c := New(served.Go)
	waits.Go(func() { c.Wait(nil, time.Second) })
	began := time.Now()
	for i := range 20 {
		waits.Go(func() {
			d := time.Duration(20-i) * time.Millisecond
			c.Wait(nil, d)
			assert.GreaterOrEqual(t, time.Since(began), d)
		})
	}
	waits.Wait()
	assert.GreaterOrEqual(t, time.Since(began), time.Second)
	c.Close()
	served.Wait()
}

func TestCloseEndsWaits(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the runtime's timers are used, which Close does not stop")
	}
	var served, waits sync.WaitGroup
	c := New(served.Go)
	began := time.Now()
	waits.Go(func() { c.Wait(nil, time.Minute) })
	require.Eventually(t, func() bool { c.mu.Lock(); defer c.mu.Unlock(); return len(c.waits) > 0 }, 20*time.Second, time.Millisecond)
	c.Close()
	waits.Wait()
	require.Less(t, time.Since(began), time.Minute)
	served.Wait()
}

package runner

import (
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// TestFiguresOfATick: each second has the figures of its requests, and how near each stop rule is.
func TestFiguresOfATick(t *testing.T) {
	t.Parallel()
	var ticks []journal.Tick
	runShop(t, backLoad+"    And clients retry failed requests up to 2 times\n"+`    When "back" refuses connections from "front" for 6s
    Then at least 99% of requests succeed before the fault
`, func(_ *shop, o *Options) {
		ticks = nil
		o.FS.(fstest.MapFS)["system.yaml"].Data = []byte(shopFile + "stop: [{success_below: 50%, for: 20s}, {file: stop}]\n")
		o.Watch = func(e journal.Event) {
			if e.Tick != nil {
				ticks = append(ticks, *e.Tick)
			}
		}
	})
	well, failing, held := 0, 0, time.Duration(0)
	for _, tick := range ticks {
		if tick.Ended > 0 {
			assert.Positive(t, tick.P50)
			assert.LessOrEqual(t, tick.P50, tick.P99)
			assert.LessOrEqual(t, tick.Good, tick.Ended)
		}
		if tick.Phase == "baseline" && tick.Ended > 0 && tick.Good == tick.Ended && tick.Retries == 0 {
			well++
		}
		if tick.Phase == "fault" && tick.Good < tick.Ended && tick.Retries > 0 {
			failing++
		}
		if len(tick.Stop) == 0 { // before or after the rules are watched
			continue
		}
		assert.Len(t, tick.Stop, 2)
		assert.Equal(t, "fewer than 50% of requests succeed for 20s", tick.Stop[0].Rule)
		assert.Equal(t, 20*time.Second, tick.Stop[0].For)
		assert.Equal(t, journal.StopMeter{Rule: `the file "stop" appears`}, tick.Stop[1])
		held = max(held, tick.Stop[0].Held)
	}
	assert.Positive(t, well)
	assert.Positive(t, failing)
	assert.GreaterOrEqual(t, held, 2*time.Second)
	assert.Less(t, held, 20*time.Second)
}

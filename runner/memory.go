package runner

import (
	"runtime/debug"
	"sync"
)

// collections counts the scenarios that read and judge effects.
var collections struct {
	sync.Mutex
	n       int
	percent int // of the garbage collector, before the first of them
}

// saveMemory makes the garbage collector run more often until the returned function is called. It is for the time after
// a load, in which a scenario needs the most memory, and no latency is measured.
func saveMemory() (end func()) {
	const percent = 50
	c := &collections
	c.Lock()
	defer c.Unlock()
	if c.n++; c.n == 1 {
		if c.percent = debug.SetGCPercent(percent); c.percent < percent {
			debug.SetGCPercent(c.percent) // of the environment
		}
	}
	return func() {
		c.Lock()
		defer c.Unlock()
		if c.n--; c.n == 0 {
			debug.SetGCPercent(c.percent)
		}
	}
}

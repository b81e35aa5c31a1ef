//go:build linux || darwin

package watchdog

import (
	"time"

	"golang.org/x/sys/unix"
)

// asleep returns how long the machine has slept since it was started. Setting the time of day does not change it.
func asleep() time.Duration {
	var awake, always unix.Timespec
	if unix.ClockGettime(clockAwake, &awake) != nil || unix.ClockGettime(clockAlways, &always) != nil {
		return 0
	}
	return time.Duration(always.Nano() - awake.Nano())
}

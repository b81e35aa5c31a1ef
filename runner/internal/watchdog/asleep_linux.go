package watchdog

import "golang.org/x/sys/unix"

// The clock that stops while the machine sleeps, which is Go's monotonic clock, and the one that goes on.
const (
	clockAwake  = unix.CLOCK_MONOTONIC
	clockAlways = unix.CLOCK_BOOTTIME
)

package watchdog

import "golang.org/x/sys/unix"

// The clock that stops while the machine sleeps, which is Go's monotonic clock, and the one that goes on.
const (
	clockAwake  = unix.CLOCK_UPTIME_RAW
	clockAlways = unix.CLOCK_MONOTONIC_RAW
)

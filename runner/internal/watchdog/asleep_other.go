//go:build !linux && !darwin

package watchdog

import "time"

// asleep returns 0: how long the machine has slept is not known.
func asleep() time.Duration { return 0 }

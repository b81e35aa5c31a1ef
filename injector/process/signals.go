package process

import (
	"maps"
	"slices"
	"syscall"
)

const killSignal = syscall.SIGKILL

// StopSignals returns the signals that may request a graceful stop.
func StopSignals() []string { return slices.Sorted(maps.Keys(stopSignals)) }

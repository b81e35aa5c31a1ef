//go:build !linux

package clock

import (
	"errors"
	"time"
)

// alarm is not supported on this system.
type alarm struct{}

func newAlarm() (*alarm, error) { return nil, errors.ErrUnsupported }

func (*alarm) set(time.Duration) {}
func (*alarm) await() bool       { return false }
func (*alarm) close()            {}

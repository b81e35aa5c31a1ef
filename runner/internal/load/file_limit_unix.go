//go:build unix

package load

import (
	"strconv"
	"syscall"
)

// FileLimit returns how many files this process may open, as text for users.
func FileLimit() string {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return "a limited number"
	}
	return strconv.FormatUint(uint64(limit.Cur), 10) //nolint:unconvert // signed on some systems
}

//go:build unix

package process

import (
	"errors"
	"os"
	"syscall"
)

const (
	stopSignal     = syscall.SIGSTOP
	continueSignal = syscall.SIGCONT
)

// errGone tells that no process of the group is left.
var errGone error = syscall.ESRCH

// signalGroup signals the group that pid leads.
func signalGroup(pid int, sig syscall.Signal) error {
	err := syscall.Kill(-pid, sig)
	if errors.Is(err, syscall.EPERM) { // macOS says so of a group of zombies
		return os.ErrProcessDone
	}
	return err
}

//go:build !unix

package process

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

const (
	stopSignal     = syscall.Signal(-1)
	continueSignal = syscall.Signal(-2)
)

var errGone = os.ErrProcessDone

// signalGroup can only kill here; to hang and to stop in order needs a Unix system.
func signalGroup(pid int, sig syscall.Signal) error {
	if sig == stopSignal {
		return errors.New("this needs a Unix system: there are no stop signals here")
	}
	if sig != syscall.SIGKILL {
		return nil
	}
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return p.Kill()
}

func own(*exec.Cmd) {}

func fork(cmd *exec.Cmd) error { return cmd.Start() }

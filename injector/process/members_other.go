//go:build !unix

package process

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"syscall"
)

// This system has no such signals. The numbers are used by signal only.
const (
	stopSignal     = syscall.Signal(-1)
	continueSignal = syscall.Signal(-2)
)

// stopSignals are the signals that a system file may name. On this system none is sent.
var stopSignals = map[string]syscall.Signal{"SIGINT": syscall.SIGINT, "SIGTERM": syscall.SIGTERM}

// family is the single process that was started.
type family struct {
	root int
	done atomic.Bool
}

func newFamily(root int, _ mark) *family { return &family{root: root} }

type member struct {
	pid, group int
	adopted    bool
	of         *family
}

func (f *family) alive() []member {
	if f == nil {
		return nil
	}
	if f.done.Load() {
		return nil
	}
	return []member{{pid: f.root, group: f.root, adopted: true, of: f}}
}

func (f *family) lastStatus() string { return "" }

// signal can only kill on this system. Hanging and graceful stops need a Unix system.
func (m member) signal(sig syscall.Signal) error {
	if sig == stopSignal {
		return errors.New("this needs a Unix system: there are no stop signals here")
	}
	if sig != syscall.SIGKILL {
		return nil
	}
	p, err := os.FindProcess(m.pid)
	m.of.done.Store(true)
	if err != nil {
		return nil //nolint:nilerr // it has ended
	}
	return p.Kill()
}

func (m member) signalGroup(sig syscall.Signal) error { return m.signal(sig) }

func (m member) stopped() bool { return true }

func (m member) runs() bool { return false }

func (m member) String() string { return "pid " + strconv.Itoa(m.pid) }

func fork(command func() *exec.Cmd, _ mark) (*exec.Cmd, error) {
	cmd := command()
	return cmd, cmd.Start()
}

//go:build unix && !linux

package process

import (
	"errors"
	"os/exec"
	"strconv"
	"syscall"
)

// family is the process group that was started. Without /proc and subreapers, which only Linux has,
// processes that leave the group are not found.
type family struct{ root int }

func newFamily(root int, _ mark) *family { return &family{root: root} }

// member represents the whole group.
type member struct {
	pid, group int
	adopted    bool
}

func (f *family) alive() []member {
	if f == nil {
		return nil
	}
	if syscall.Kill(-f.root, 0) != nil { // ESRCH, or macOS's EPERM for a group of zombies
		return nil
	}
	return []member{{pid: f.root, group: f.root, adopted: true}}
}

func (f *family) lastStatus() string { return "" }

func (m member) signal(sig syscall.Signal) error {
	err := syscall.Kill(-m.group, sig)
	if errors.Is(err, syscall.ESRCH) || errors.Is(err, syscall.EPERM) {
		return nil
	}
	return err
}

func (m member) signalGroup(sig syscall.Signal) error { return m.signal(sig) }

func (m member) stopped() bool { return true }

func (m member) runs() bool { return false } // process states are known on Linux only

func (m member) String() string { return "the group of pid " + strconv.Itoa(m.pid) }

func fork(command func() *exec.Cmd, _ mark) (*exec.Cmd, error) {
	cmd := command()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd, cmd.Start()
}

package main

import (
	"os/exec"
	"syscall"
)

// dieWithParent makes the kernel kill a child when the thread that starts it ends. That is the main thread, to which the
// main goroutine is locked.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// pause stops a target's processes and their children, or continues them.
func (t *target) pause(stop bool) {
	sig := syscall.SIGCONT
	if stop {
		sig = syscall.SIGSTOP
	}
	for _, pid := range t.pids {
		if syscall.Kill(-pid, sig) != nil { // a child of this program is not the leader of a group
			_ = syscall.Kill(pid, sig)
		}
	}
}

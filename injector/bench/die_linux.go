package main

import (
	"os/exec"
	"syscall"
)

// dieWithParent ends a child with the thread that starts it: main's, which is locked.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// pause stops a target's processes, and those that they started, or lets them go on.
func (t *target) pause(yes bool) {
	sig := syscall.SIGCONT
	if yes {
		sig = syscall.SIGSTOP
	}
	for _, pid := range t.pids {
		if syscall.Kill(-pid, sig) != nil { // the leader of a group; our own children are in ours
			_ = syscall.Kill(pid, sig)
		}
	}
}

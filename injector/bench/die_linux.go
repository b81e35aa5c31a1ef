package main

import (
	"os/exec"
	"syscall"
)

// dieWithParent ends a child with the thread that starts it: main's, which is locked.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

//go:build unix && !linux

package process

import (
	"os/exec"
	"syscall"
)

func fork(command func() *exec.Cmd, _ mark) (*exec.Cmd, error) {
	cmd := command()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd, cmd.Start()
}

package process

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// own gives the process its group, and makes the kernel kill it when the thread that started it ends.
func own(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// forker starts all processes from one thread that lives as long as the program: Pdeathsig watches the thread that forked, not the program.
var forker = sync.OnceValue(func() chan func() {
	jobs := make(chan func())
	go func() {
		runtime.LockOSThread()
		for job := range jobs {
			job()
		}
	}()
	return jobs
})

func fork(cmd *exec.Cmd) error {
	done := make(chan error)
	forker() <- func() { done <- cmd.Start() }
	return <-done
}

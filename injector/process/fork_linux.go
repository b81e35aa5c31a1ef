package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// forker starts all processes from one thread that lives as long as the program, because Pdeathsig
// refers to the thread that forked and not to the program. It first makes the program a subreaper, so
// that orphaned descendants become its children and not those of init.
var forker = sync.OnceValue(func() chan func() {
	jobs := make(chan func())
	go func() {
		runtime.LockOSThread()
		_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
		for job := range jobs {
			job()
		}
	}()
	return jobs
})

// fork starts a process in its own process group. The process has the mark before its first
// instruction, until which it is traced, and the kernel kills it when this program ends.
func fork(command func() *exec.Cmd, m mark) (cmd *exec.Cmd, err error) {
	done := make(chan struct{})
	forker() <- func() {
		defer close(done)
		cmd = command()
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Ptrace: true}
		if err = cmd.Start(); err == nil {
			if err = m.applyTraced(cmd.Process.Pid); err == nil {
				return
			}
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
		// Tracing is not allowed, or would take the program's privileges away. Set the mark just after the
		// start.
		cmd = command()
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
		if err = cmd.Start(); err == nil {
			m.apply(cmd.Process.Pid)
		}
	}
	<-done
	return cmd, err
}

// applyTraced sets the mark on a process that is stopped before its first instruction, and lets it
// run. It must be called on the thread that started the process.
func (m mark) applyTraced(pid int) error {
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(pid, &status, unix.WALL, nil)
		if err == nil {
			break
		}
		if err != unix.EINTR {
			return err
		}
	}
	if !status.Stopped() {
		return fmt.Errorf("wait for pid %d: it exited before it ran", pid)
	}
	if unprivileged := os.Geteuid() != 0; unprivileged && privileged(fmt.Sprintf("/proc/%d/exe", pid)) {
		return errors.New("a traced program gets no privileges")
	}
	m.apply(pid)
	return unix.PtraceDetach(pid)
}

// privileged reports whether a program is setuid, setgid or has capabilities.
func privileged(path string) bool {
	info, err := os.Stat(path)
	if err != nil || info.Mode()&(os.ModeSetuid|os.ModeSetgid) != 0 {
		return true
	}
	n, err := unix.Getxattr(path, "security.capability", nil)
	return err == nil && n > 0
}

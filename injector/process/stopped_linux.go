package process

import "golang.org/x/sys/unix"

// awaitStop returns when the kernel has stopped every thread of our child, or it has ended: SIGSTOP is delivered some time after it was sent, and until then
// the process still answers. It leaves the child for whoever waits for its end.
func awaitStop(pid int) {
	for unix.Waitid(unix.P_PID, pid, nil, unix.WSTOPPED|unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR { //nolint:errorlint // a bare errno
	}
}

package link

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// tcpClose is TCP_CLOSE of the kernel's include/net/tcp_states.h.
const tcpClose = 7

// isDown tells whether the connection is over for the kernel: reset, or ended in order by both sides.
func isDown(raw syscall.RawConn) (down bool) {
	_ = raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		down = err == nil && info.State == tcpClose
	})
	return down
}

// awaitReset waits, after a socket's orderly end of reading, until its peer resets it after all (true), or until it is closed or its read
// deadline passes (its error). The runtime wakes us at each edge of readiness, and a reset is one.
func awaitReset(raw syscall.RawConn) (reset bool, err error) {
	err = raw.Read(func(fd uintptr) bool {
		errno, serr := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		reset = serr == nil && errno != 0
		return reset || serr != nil
	})
	return reset && err == nil, err
}

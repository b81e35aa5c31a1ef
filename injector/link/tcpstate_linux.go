package link

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// tcpClose is TCP_CLOSE in the kernel's include/net/tcp_states.h.
const tcpClose = 7

// isTCPClosed reports whether the kernel considers the connection closed: reset, or closed gracefully
// by both sides.
func isTCPClosed(raw syscall.RawConn) (down bool) {
	_ = raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		down = err == nil && info.State == tcpClose
	})
	return down
}

// awaitReset waits, after EOF from a socket, until its peer resets it. It returns an error if the
// socket is closed or its read deadline passes first. The runtime calls the function again at each
// edge of readiness, and a reset is one.
func awaitReset(raw syscall.RawConn) (reset bool, err error) {
	err = raw.Read(func(fd uintptr) bool {
		errno, serr := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		reset = serr == nil && errno != 0
		return reset || serr != nil
	})
	return reset && err == nil, err
}

package link

import (
	"net"
	"syscall"
)

// awaitReset waits, after a socket's orderly end of reading, until its peer resets it after all (true), or until it is closed or its read
// deadline passes (its error). The runtime wakes us at each edge of readiness, and a reset is one.
func awaitReset(sock *net.TCPConn) (reset bool, err error) {
	raw, err := sock.SyscallConn()
	if err != nil {
		return false, err
	}
	err = raw.Read(func(fd uintptr) bool {
		errno, serr := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_ERROR)
		reset = serr == nil && errno != 0
		return reset || serr != nil
	})
	return reset && err == nil, err
}

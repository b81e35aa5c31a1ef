package link

import (
	"net"
	"syscall"
)

// awaitReset waits, after a socket's orderly end of reading, until its peer resets it after all (true), or until it is closed or its read
// deadline passes. The runtime wakes us at each edge of readiness, and a reset is one.
func awaitReset(sock *net.TCPConn) bool {
	raw, err := sock.SyscallConn()
	if err != nil {
		return false
	}
	reset := false
	err = raw.Read(func(fd uintptr) bool {
		errno, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_ERROR)
		reset = err == nil && errno != 0
		return reset || err != nil
	})
	return reset && err == nil
}

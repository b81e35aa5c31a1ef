//go:build unix

package load

import (
	"errors"
	"net"
	"syscall"
)

// open reports whether an idle connection has nothing to read: no data, no end of file, no reset.
func open(conn net.Conn) bool {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	still := false
	err = raw.Control(func(fd uintptr) {
		_, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK)
		still = errors.Is(err, syscall.EAGAIN)
	})
	return err == nil && still
}

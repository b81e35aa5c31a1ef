//go:build unix

package datagram

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// share allows the link's own sockets to use the same port, if it is set for all of them: a new socket is bound
// before the old one is closed.
func share(_, _ string, c syscall.RawConn) error { return setShared(c, 1) }

func setShared(c syscall.RawConn, on int) error {
	var err error
	return errors.Join(c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, on) }), err)
}

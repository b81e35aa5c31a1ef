//go:build unix

package datagram

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// share lets sockets of ours have a port together, as long as both are set so: one is kept before the other lets go of it.
func share(_, _ string, c syscall.RawConn) error { return sharing(c, 1) }

func sharing(c syscall.RawConn, on int) error {
	var err error
	return errors.Join(c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, on) }), err)
}

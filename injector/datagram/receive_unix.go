//go:build unix

package datagram

import (
	"errors"
	"net"
	"syscall"
)

// receiver reads datagrams of a connected socket, each into a buffer that is borrowed when there is one to read. The caller gives it back.
func receiver(c *net.UDPConn) func() (buf *[]byte, n int, err error) {
	var buf *[]byte
	var n int
	var failed error
	try := func(fd uintptr) bool {
		buf = buffers.Get().(*[]byte)
		for {
			n, failed = syscall.Read(int(fd), *buf)
			if failed != syscall.EINTR {
				break
			}
		}
		if failed == nil {
			return true
		}
		buffers.Put(buf)
		return !errors.Is(failed, syscall.EAGAIN)
	}
	raw, err := c.SyscallConn()
	return func() (*[]byte, int, error) {
		if err != nil {
			return nil, 0, err
		}
		if err := raw.Read(try); err != nil {
			return nil, 0, err
		}
		return buf, n, failed
	}
}

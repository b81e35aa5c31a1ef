//go:build unix

package datagram

import (
	"errors"
	"net"
	"syscall"
)

// receiver returns a function that reads a datagram of a connected socket into a pooled buffer, taken only when
// there is a datagram to read. The caller returns the buffer.
func receiver(c *net.UDPConn) func() (buf *[]byte, n int, err error) {
	var buf *[]byte
	var n int
	var failed error
	read := func(fd uintptr) bool {
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
		if err := raw.Read(read); err != nil {
			return nil, 0, err
		}
		return buf, n, failed
	}
}

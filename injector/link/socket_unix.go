//go:build unix

package link

import (
	"io"
	"os"
	"syscall"
)

// read is one attempt of take. It returns false if there is nothing to read yet.
func (s *socket) read(fd uintptr) bool {
	buf := buffers.Get().(*[]byte)
	for {
		n, err := syscall.Read(int(fd), *buf)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			buffers.Put(buf)
			return false
		case err != nil:
			s.buf, s.n, s.err = buf, 0, os.NewSyscallError("read", err)
		case n == 0:
			s.buf, s.n, s.err = buf, 0, io.EOF
		default:
			s.buf, s.n, s.err = buf, n, nil
		}
		return true
	}
}

package datagram

import (
	"net"
	"syscall"
	"unsafe"
)

// drops returns the number of datagrams that the kernel has dropped at a socket: SK_MEMINFO_DROPS, the last of
// the nine values of SO_MEMINFO.
func drops(c *net.UDPConn) int64 {
	const soMeminfo, numbers = 55, 9
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	var info [numbers]uint32
	size := uint32(unsafe.Sizeof(info))
	var errno syscall.Errno
	err = raw.Control(func(fd uintptr) {
		_, _, errno = syscall.Syscall6(syscall.SYS_GETSOCKOPT, fd, syscall.SOL_SOCKET, soMeminfo, uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0) //nolint:gosec // the kernel fills them in
	})
	if err != nil || errno != 0 {
		return 0
	}
	return int64(info[numbers-1])
}

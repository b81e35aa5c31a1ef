package socket

import (
	"net"
	"os"
	"strconv"
	"strings"
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

// Unacknowledged returns how many bytes written to a TCP connection its peer has not acknowledged (SIOCOUTQ of tcp(7)).
func (s *Conn) Unacknowledged() (n int) {
	if _, ok := s.halfCloser.(*net.TCPConn); ok {
		_ = s.raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
	}
	return n
}

// AwaitReset waits, after EOF from the socket, until its peer resets it. It returns an error if the
// socket is closed or its read deadline passes first. The runtime calls the function again at each
// edge of readiness, and a reset is one.
func (s *Conn) AwaitReset() (reset bool, err error) {
	err = s.raw.Read(func(fd uintptr) bool {
		errno, serr := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		reset = serr == nil && errno != 0
		return reset || serr != nil
	})
	return reset && err == nil, err
}

// FailedConnects returns how many connects of this network namespace have failed before they were
// established: AttemptFails of /proc/net/snmp (RFC 4022, tcpAttemptFails). ok is false if the number is
// not available.
func FailedConnects() (n int64, ok bool) {
	text, err := os.ReadFile("/proc/net/snmp")
	if err != nil {
		return 0, false
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "Tcp:" {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		for i, name := range names {
			if name == "AttemptFails" && i < len(fields) {
				n, err := strconv.ParseInt(fields[i], 10, 64)
				return n, err == nil
			}
		}
	}
	return 0, false
}

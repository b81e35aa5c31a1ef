package load

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// unread reports whether the peer has certainly read nothing of what was written after the first
// before bytes. The connection has failed. The proof is that the peer's FIN was received and that the
// peer acknowledged none of those bytes, so that it had closed before they arrived. A reset alone
// proves nothing: it acknowledges nothing either, and a server may read a request before it resets the
// connection.
func (c *countingConn) unread(before int64) bool { return unread(c.Conn, before, c.got) }

// unread is the same for a connection from which got bytes were read.
func unread(conn net.Conn, before, got int64) bool {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	proven := false
	err = raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		// The kernel counts the SYN that was sent and the FIN that was received as one byte each.
		proven = err == nil && info.Bytes_acked <= uint64(before)+1 && info.Bytes_received == uint64(got)+1 //nolint:gosec // never negative
	})
	return err == nil && proven
}

package process

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Requests for listening sockets, of linux/inet_diag.h. The kernel answers from its table of listening sockets alone,
// while a look at /proc/net/tcp6 passes all connections of the machine: milliseconds if there are very many.
const (
	diagByFamily  = 20       // SOCK_DIAG_BY_FAMILY
	diagListening = 1 << 0xA // the state LISTEN
	diagRequest   = 56       // size of struct inet_diag_req_v2
	diagAnswer    = 72       // size of struct inet_diag_msg
)

// listeningTCP returns the listening TCP sockets of this network namespace.
func listeningTCP() ([]socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	defer func() { _ = unix.Close(fd) }()
	// An answer that never comes must not stop a service from starting.
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1}); err != nil {
		return nil, os.NewSyscallError("setsockopt", err)
	}
	var all []socket
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		request := make([]byte, unix.NLMSG_HDRLEN+diagRequest)
		binary.NativeEndian.PutUint32(request, uint32(len(request))) //nolint:gosec // a constant
		binary.NativeEndian.PutUint16(request[4:], diagByFamily)
		binary.NativeEndian.PutUint16(request[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
		request[unix.NLMSG_HDRLEN], request[unix.NLMSG_HDRLEN+1] = family, unix.IPPROTO_TCP
		binary.NativeEndian.PutUint32(request[unix.NLMSG_HDRLEN+4:], diagListening)
		if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			return nil, os.NewSyscallError("sendto", err)
		}
		if all, err = readDiag(fd, all); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// readDiag appends the sockets of all answers to a request.
func readDiag(fd int, all []socket) ([]socket, error) {
	buf := make([]byte, 32<<10)
	for {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, os.NewSyscallError("recvfrom", err)
		}
		messages, err := syscall.ParseNetlinkMessage(buf[:n])
		if err != nil {
			return nil, fmt.Errorf("parse the answer of the kernel: %w", err)
		}
		for _, m := range messages {
			switch {
			case m.Header.Type == unix.NLMSG_DONE:
				return all, nil
			case m.Header.Type == unix.NLMSG_ERROR:
				return nil, errors.New("the kernel refused to list sockets")
			case m.Header.Flags&unix.NLM_F_DUMP_INTR != 0:
				return nil, errors.New("the list of sockets changed meanwhile")
			case m.Header.Type == diagByFamily && len(m.Data) >= diagAnswer:
				all = append(all, parseDiag(m.Data))
			}
		}
	}
}

// parseDiag parses a struct inet_diag_msg.
func parseDiag(m []byte) socket {
	port := binary.BigEndian.Uint16(m[4:])
	address := netip.AddrFrom16([16]byte(m[8:24]))
	if m[0] == unix.AF_INET {
		address = netip.AddrFrom4([4]byte(m[8:12]))
	}
	inode := binary.NativeEndian.Uint32(m[68:])
	return socket{at: netip.AddrPortFrom(address.Unmap(), port), inode: strconv.FormatUint(uint64(inode), 10)}
}

package socket

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"
)

// IsLocalLimit reports whether a system call failed at a limit of this process or machine, such as
// descriptors, buffers, memory or local ports. Such an error does not concern the peer.
func IsLocalLimit(err error) bool {
	for _, limit := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, limit) {
			return true
		}
	}
	var lookup *net.DNSError // holds only the text of the underlying error
	if errors.As(err, &lookup) && strings.Contains(lookup.Err, syscall.EMFILE.Error()) {
		return true
	}
	return errors.Is(err, syscall.EADDRNOTAVAIL) && !isIPv6Missing(err)
}

// isIPv6Missing reports whether EADDRNOTAVAIL means that the machine has no IPv6, as when "localhost"
// is dialled, and not that it has run out of local ports.
func isIPv6Missing(err error) bool {
	var op *net.OpError
	if !errors.As(err, &op) || op.Addr == nil {
		return false
	}
	at, perr := netip.ParseAddrPort(op.Addr.String())
	return perr == nil && at.Addr().Is6()
}

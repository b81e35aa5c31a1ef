//go:build unix

package link

import (
	"net/netip"
	"syscall"
)

// port keeps a port number from being handed out as a free one: a socket that is bound and does not listen, so that the kernel still refuses
// connects to it. A process that asks for this very number can still take it.
type port struct{ fd int }

// reserve returns nil where the port cannot be kept; it may then be lost to another process until it is opened again.
func reserve(addr string) *port {
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil
	}
	var family int
	var sockaddr syscall.Sockaddr
	if at.Addr().Is4() {
		family, sockaddr = syscall.AF_INET, &syscall.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}
	} else {
		family, sockaddr = syscall.AF_INET6, &syscall.SockaddrInet6{Port: int(at.Port()), Addr: at.Addr().As16()}
	}
	syscall.ForkLock.RLock()
	fd, err := syscall.Socket(family, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil
	}
	_ = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
	if err := syscall.Bind(fd, sockaddr); err != nil {
		_ = syscall.Close(fd)
		return nil
	}
	return &port{fd}
}

func (p *port) release() {
	if p != nil {
		_ = syscall.Close(p.fd)
	}
}

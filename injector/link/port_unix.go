//go:build unix

package link

import (
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// port keeps a port number from being handed out as a free one: a socket that is bound and does not listen, so that the kernel still refuses
// connects to it. A process that asks for this very number can still take it.
type port struct{ fd int }

// reserve keeps the port of a listener, which is closed next, so that there is no moment in which an outgoing connection may be given its number. It returns
// nil where the port cannot be kept; it may then be lost to another process until it is opened again.
func reserve(ln net.Listener, addr string) *port {
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
	_ = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1) // listening again needs no release before
	share(fd)
	if c, ok := ln.(syscall.Conn); ok {
		if raw, err := c.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { share(int(fd)) })
		}
	}
	if err := syscall.Bind(fd, sockaddr); err != nil {
		_ = syscall.Close(fd)
		return nil
	}
	return &port{fd}
}

// share lets a socket have its port together with another one of ours that is set so.
func share(fd int) { _ = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, unix.SO_REUSEPORT, 1) }

func (p *port) release() {
	if p != nil {
		_ = syscall.Close(p.fd)
	}
}

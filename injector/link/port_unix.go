//go:build unix

package link

import (
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// port reserves a port number, so that the kernel does not assign it to another socket. It is a bound
// socket that does not listen, so that the kernel still refuses connects. A process that asks for this
// number explicitly can still take it.
type port struct{ fd int }

// reservePort reserves the port of a listener before the caller closes it, so that the number is never
// free for an outgoing connection. It returns nil if the port cannot be reserved; then another process
// may take it before it is reopened.
func reservePort(ln net.Listener, addr string) *port {
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
	_ = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1) // allows listening again before the release
	setReusePort(fd)
	if c, ok := ln.(syscall.Conn); ok {
		if raw, err := c.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { setReusePort(int(fd)) })
		}
	}
	if err := syscall.Bind(fd, sockaddr); err != nil {
		_ = syscall.Close(fd)
		return nil
	}
	return &port{fd}
}

// setReusePort allows a socket to share its port with another socket that has the same option set.
func setReusePort(fd int) { _ = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, unix.SO_REUSEPORT, 1) }

func (p *port) release() {
	if p != nil {
		_ = syscall.Close(p.fd)
	}
}

//go:build unix

package socket

import (
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// read is one attempt of Take. It returns false if there is nothing to read yet.
func (s *Conn) read(fd uintptr) bool {
	buf := Buffers.Get().(*[]byte)
	for {
		n, err := syscall.Read(int(fd), *buf)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			Buffers.Put(buf)
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

// Port reserves a port number, so that the kernel does not assign it to another socket. It is a bound
// socket that does not listen, so that the kernel still refuses connects. A process that asks for this
// number explicitly can still take it.
type Port struct{ fd int }

// ReservePort reserves the port of a listener before the caller closes it, so that the number is never
// free for an outgoing connection. It returns nil if the port cannot be reserved; then another process
// may take it before it is reopened.
func ReservePort(ln net.Listener, addr string) *Port {
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
	return &Port{fd}
}

// setReusePort allows a socket to share its port with another socket that has the same option set.
func setReusePort(fd int) { _ = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, unix.SO_REUSEPORT, 1) }

// Release ends the reservation. A nil Port reserves nothing.
func (p *Port) Release() {
	if p != nil {
		_ = syscall.Close(p.fd)
	}
}

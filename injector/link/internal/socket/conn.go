// Package socket holds what links need from the operating system beyond package net: connections that
// distinguish a reset from FIN and hold no buffer while they wait, pipes for splice(2), reserved port
// numbers, the kernel's count of failed connects, and the errors that mean a local limit.
package socket

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
)

// halfCloser is the common interface of TCP and Unix sockets.
type halfCloser interface {
	net.Conn
	CloseWrite() error
	SyscallConn() (syscall.RawConn, error)
}

// Conn is a TCP connection or a connected Unix socket.
type Conn struct {
	halfCloser
	raw     syscall.RawConn
	finSent atomic.Bool

	tryRead func(fd uintptr) bool // read as a value, created once
	buf     *[]byte               // buf, n and err are the result of tryRead
	n       int
	err     error
}

// New returns a Conn for c, which must be a TCP connection or a Unix socket.
func New(c net.Conn) (*Conn, error) {
	inner, ok := c.(halfCloser)
	if !ok {
		return nil, errors.New("forward a connection that is neither TCP nor a Unix socket")
	}
	raw, err := inner.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &Conn{halfCloser: inner, raw: raw}
	s.tryRead = s.read
	return s, nil
}

// Read reads from the socket. It returns io.EOF only for the peer's FIN.
func (s *Conn) Read(p []byte) (int, error) {
	n, err := s.halfCloser.Read(p)
	return n, s.resetOrEOF(err)
}

// resetOrEOF returns ECONNRESET instead of io.EOF if the connection was reset. The kernel reports a
// reset only once, to the first reader or writer, and io.EOF afterwards, so that after a failed write
// a reader would mistake it for FIN. A reset socket is in state CLOSE; one that only received FIN is
// not until we send FIN too.
func (s *Conn) resetOrEOF(err error) error {
	if err == io.EOF && isTCPClosed(s.raw) && !s.finSent.Load() { //nolint:errorlint // the socket's own
		return syscall.ECONNRESET
	}
	return err
}

// CloseWrite sends FIN.
func (s *Conn) CloseWrite() error {
	s.finSent.Store(true)
	return s.halfCloser.CloseWrite()
}

// FINSent reports whether CloseWrite was called.
func (s *Conn) FINSent() bool { return s.finSent.Load() }

// SetLinger sets what Close does with unsent data. With 0, Close resets the connection. A Unix socket
// cannot be reset and is just closed.
func (s *Conn) SetLinger(sec int) error {
	if tcp, ok := s.halfCloser.(*net.TCPConn); ok {
		return tcp.SetLinger(sec)
	}
	return nil
}

// Reset sends RST and closes the socket.
func (s *Conn) Reset() {
	_ = s.SetLinger(0)
	_ = s.Close()
}

// Buffers holds buffers of 64 KiB, as *[]byte.
var Buffers = sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}

// Take waits for bytes and returns them in a buffer of Buffers, to which the caller returns it. It
// holds no buffer while it waits, which keeps idle connections small. buf is nil exactly if n is 0.
func (s *Conn) Take() (buf *[]byte, n int, err error) {
	if err := s.raw.Read(s.tryRead); err != nil {
		return nil, 0, err
	}
	buf, n, err = s.buf, s.n, s.err
	s.buf, s.n, s.err = nil, 0, nil
	if n == 0 {
		if buf != nil {
			Buffers.Put(buf)
		}
		return nil, 0, s.resetOrEOF(err)
	}
	return buf, n, nil
}

package link

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
)

// halfCloser is what a TCP and a Unix socket share.
type halfCloser interface {
	net.Conn
	CloseWrite() error
	SyscallConn() (syscall.RawConn, error)
}

// socket is one end of a connection: the client's or the upstream's.
type socket struct {
	halfCloser
	raw  syscall.RawConn
	shut atomic.Bool // we have said FIN

	ready func(fd uintptr) bool // the reading of take, made once
	buf   *[]byte
	n     int
	err   error
}

func newSocket(c net.Conn) (*socket, error) {
	inner, ok := c.(halfCloser)
	if !ok {
		return nil, errors.New("carry a connection that is neither TCP nor a Unix socket")
	}
	raw, err := inner.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &socket{halfCloser: inner, raw: raw}
	s.ready = s.read
	return s, nil
}

// Read reads. Its io.EOF is the peer's FIN and nothing else.
func (s *socket) Read(p []byte) (int, error) {
	n, err := s.halfCloser.Read(p)
	return n, s.honest(err)
}

// honest tells a reset from an orderly end: the kernel reports a reset once, to whoever is at the socket first, and io.EOF from then on. When that is
// a writer, the reader would take it for a FIN. A reset socket is closed; one whose peer said FIN is not until we say FIN too.
func (s *socket) honest(err error) error {
	if err == io.EOF && isDown(s.raw) && !s.shut.Load() { //nolint:errorlint // the socket's own
		return syscall.ECONNRESET
	}
	return err
}

// CloseWrite says FIN.
func (s *socket) CloseWrite() error {
	s.shut.Store(true)
	return s.halfCloser.CloseWrite()
}

// SetLinger sets what Close does with what was not sent: 0 makes it a reset. A Unix socket has no reset, and ends.
func (s *socket) SetLinger(sec int) error {
	if tcp, ok := s.halfCloser.(*net.TCPConn); ok {
		return tcp.SetLinger(sec)
	}
	return nil
}

// reset says RST and closes.
func (s *socket) reset() {
	_ = s.SetLinger(0)
	_ = s.Close()
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}

// take waits for bytes and returns them in a pooled buffer, which the caller gives back. While it waits it holds none: that is what keeps an
// idle connection small. buf is nil exactly when n is 0.
func (s *socket) take() (buf *[]byte, n int, err error) {
	if err := s.raw.Read(s.ready); err != nil {
		return nil, 0, err
	}
	buf, n, err = s.buf, s.n, s.err
	s.buf, s.n, s.err = nil, 0, nil
	if n == 0 {
		if buf != nil {
			buffers.Put(buf)
		}
		return nil, 0, s.honest(err)
	}
	return buf, n, nil
}

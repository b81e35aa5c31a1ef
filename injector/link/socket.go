package link

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

// socket is the link's end of a connection to the client or the upstream.
type socket struct {
	halfCloser
	raw        syscall.RawConn
	finSent    atomic.Bool // we have sent FIN
	owner      *conn       // the connection that this is the upstream of; nil for a client's socket
	endCounted atomic.Bool // the end of the upstream connection was counted

	tryRead func(fd uintptr) bool // read as a value, created once
	buf     *[]byte
	n       int
	err     error
}

func newSocket(c net.Conn) (*socket, error) {
	inner, ok := c.(halfCloser)
	if !ok {
		return nil, errors.New("forward a connection that is neither TCP nor a Unix socket")
	}
	raw, err := inner.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &socket{halfCloser: inner, raw: raw}
	s.tryRead = s.read
	return s, nil
}

// Read reads from the socket. It returns io.EOF only for the peer's FIN.
func (s *socket) Read(p []byte) (int, error) {
	n, err := s.halfCloser.Read(p)
	err = s.resetOrEOF(err)
	s.noteRead(n, err)
	return n, err
}

// noteRead records activity and the end of the upstream.
func (s *socket) noteRead(n int, err error) {
	if s.owner == nil {
		return
	}
	if n > 0 {
		s.owner.activity.noteAnswer()
	}
	if err != nil {
		s.owner.countUpstreamEnd(s, err)
	}
}

// resetOrEOF returns ECONNRESET instead of io.EOF if the connection was reset. The kernel reports a
// reset only once, to the first reader or writer, and io.EOF afterwards, so that after a failed write
// a reader would mistake it for FIN. A reset socket is in state CLOSE; one that only received FIN is
// not until we send FIN too.
func (s *socket) resetOrEOF(err error) error {
	if err == io.EOF && isTCPClosed(s.raw) && !s.finSent.Load() { //nolint:errorlint // the socket's own
		return syscall.ECONNRESET
	}
	return err
}

// CloseWrite sends FIN.
func (s *socket) CloseWrite() error {
	s.finSent.Store(true)
	return s.halfCloser.CloseWrite()
}

// SetLinger sets what Close does with unsent data. With 0, Close resets the connection. A Unix socket
// cannot be reset and is just closed.
func (s *socket) SetLinger(sec int) error {
	if tcp, ok := s.halfCloser.(*net.TCPConn); ok {
		return tcp.SetLinger(sec)
	}
	return nil
}

// reset sends RST and closes the socket.
func (s *socket) reset() {
	_ = s.SetLinger(0)
	_ = s.Close()
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}

// take waits for bytes and returns them in a pooled buffer, which the caller returns to the pool. It
// holds no buffer while it waits, which keeps idle connections small. buf is nil exactly if n is 0.
func (s *socket) take() (buf *[]byte, n int, err error) {
	if err := s.raw.Read(s.tryRead); err != nil {
		return nil, 0, err
	}
	buf, n, err = s.buf, s.n, s.err
	s.buf, s.n, s.err = nil, 0, nil
	if n == 0 {
		if buf != nil {
			buffers.Put(buf)
		}
		err = s.resetOrEOF(err)
		s.noteRead(0, err)
		return nil, 0, err
	}
	s.noteRead(n, nil)
	return buf, n, nil
}

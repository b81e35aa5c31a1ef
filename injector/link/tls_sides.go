package link

import (
	"crypto/tls"
	"errors"
	"io"
	"sync/atomic"
)

// side is the plaintext end of one side of a session.
type side struct {
	*tls.Conn
	wire, other *wire
}

// Read reads plaintext. io.EOF means the peer's close_notify or a bare FIN; sendCloseNotify of the
// other side distinguishes them.
func (s *side) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, err
}

// sendCloseNotify sends close_notify unless the other side ended without it, so that truncated data
// does not look complete.
func (s *side) sendCloseNotify() {
	if !s.other.bareFIN.Load() {
		_ = s.Conn.CloseWrite()
	}
}

// clientSide is the client's side. It implements Conn.
type clientSide struct {
	side
	session *tlsSession
}

func (c *clientSide) Read(p []byte) (int, error) {
	n, err := c.side.Read(p)
	if isTLSError(err) {
		c.session.report(c.session.clientError(err))
	}
	return n, err
}

// CloseWrite sends close_notify and FIN after everything written so far.
func (c *clientSide) CloseWrite() error {
	c.sendCloseNotify()
	return c.session.c.CloseWrite()
}

func (c *clientSide) Reset() error { return c.session.c.Reset() }
func (c *clientSide) ID() uint64   { return c.session.c.id }

// upstreamSide is the upstream's side.
type upstreamSide struct {
	side
	session      *tlsSession
	sock         *socket
	resetOnClose atomic.Bool // Close resets the connection
}

func (u *upstreamSide) Read(p []byte) (int, error) {
	n, err := u.side.Read(p)
	if isTLSError(err) {
		u.session.report(u.session.upstreamError(err))
	}
	return n, err
}

// CloseWrite sends close_notify and FIN.
func (u *upstreamSide) CloseWrite() error {
	u.sendCloseNotify()
	return u.sock.CloseWrite()
}

// SetLinger sets what Close does. With 0, Close resets the connection without a close_notify.
func (u *upstreamSide) SetLinger(sec int) error {
	u.resetOnClose.Store(sec == 0)
	return u.sock.SetLinger(sec)
}

// Close sends close_notify and closes the connection. It skips close_notify, which may block, if the
// client's connection has already ended.
func (u *upstreamSide) Close() error {
	if u.resetOnClose.Load() || u.session.c.closed.Load() {
		return u.sock.Close()
	}
	return u.Conn.Close()
}

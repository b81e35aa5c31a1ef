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

func (i *clientSide) Read(p []byte) (int, error) {
	n, err := i.side.Read(p)
	if isTLSError(err) {
		i.session.report(i.session.clientError(err))
	}
	return n, err
}

// CloseWrite sends close_notify and FIN after everything written so far.
func (i *clientSide) CloseWrite() error {
	i.sendCloseNotify()
	return i.session.c.CloseWrite()
}

func (i *clientSide) Reset() error { return i.session.c.Reset() }
func (i *clientSide) ID() uint64   { return i.session.c.id }

// outside is the upstream's side.
type upstreamSide struct {
	side
	session      *tlsSession
	sock         *socket
	resetOnClose atomic.Bool // Close resets the connection
}

func (o *upstreamSide) Read(p []byte) (int, error) {
	n, err := o.side.Read(p)
	if isTLSError(err) {
		o.session.report(o.session.upstreamError(err))
	}
	return n, err
}

// CloseWrite sends close_notify and FIN.
func (o *upstreamSide) CloseWrite() error {
	o.sendCloseNotify()
	return o.sock.CloseWrite()
}

// SetLinger sets what Close does. With 0, Close resets the connection without a close_notify.
func (o *upstreamSide) SetLinger(sec int) error {
	o.resetOnClose.Store(sec == 0)
	return o.sock.SetLinger(sec)
}

// Close sends close_notify and closes the connection. It skips close_notify, which may block, if the
// client's connection has already ended.
func (o *upstreamSide) Close() error {
	if o.resetOnClose.Load() || o.session.c.closed.Load() {
		return o.sock.Close()
	}
	return o.Conn.Close()
}

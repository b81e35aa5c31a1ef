package link

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
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

func (c *clientSide) Reset() error            { return c.session.c.Reset() }
func (c *clientSide) ResetAfterWrites() error { return c.session.c.ResetAfterWrites() }
func (c *clientSide) ID() uint64              { return c.session.c.id }

// upstreamSide is the upstream's side.
type upstreamSide struct {
	side
	session      *tlsSession
	sock         *upstream
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

// wire is the ciphertext connection of one side.
type wire struct {
	net.Conn
	bareFIN atomic.Bool     // FIN arrived without a close_notify
	ahead   chan readResult // result of watchClose; nil if there is none
	first   readResult
}

// readResult is the result of a read by watchClose.
type readResult struct {
	p   []byte
	err error
}

// watchClose reads ahead once, so that a disconnect is noticed while no other goroutine reads. It
// calls onClose then.
func (w *wire) watchClose(run func(func()), onClose func()) {
	ahead := make(chan readResult, 1)
	w.ahead = ahead
	run(func() {
		p := make([]byte, 512)
		n, err := w.Conn.Read(p)
		if err != nil {
			onClose()
		}
		ahead <- readResult{p[:n], err}
	})
}

// Read returns the result of watchClose first.
func (w *wire) Read(p []byte) (n int, err error) {
	if w.ahead != nil {
		w.first, w.ahead = <-w.ahead, nil
	}
	if len(w.first.p) > 0 || w.first.err != nil {
		n = copy(p, w.first.p)
		if w.first.p = w.first.p[n:]; len(w.first.p) == 0 {
			err, w.first = w.first.err, readResult{}
		}
	} else {
		n, err = w.Conn.Read(p)
	}
	if err == io.EOF { //nolint:errorlint // the socket's own
		w.bareFIN.Store(true)
	}
	return n, err
}

// awaitReset reads on after the end of TLS until the connection ends. It reports whether it ended by a
// reset.
func (w *wire) awaitReset() bool {
	p := make([]byte, 64)
	for {
		if _, err := w.Read(p); err != nil {
			return errors.Is(err, syscall.ECONNRESET)
		}
	}
}

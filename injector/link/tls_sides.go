package link

import (
	"crypto/tls"
	"errors"
	"io"
	"sync/atomic"
)

// side is one side seen from inside TLS.
type side struct {
	*tls.Conn
	wire, other *wire
}

// Read reads. Its io.EOF is the peer's close_notify, or its FIN: CloseWrite of the other side knows which.
func (s *side) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, err
}

// goodbye says close_notify, unless the other side ended without it: what was cut off there must not look complete here.
func (s *side) goodbye() {
	if !s.other.fin.Load() {
		_ = s.Conn.CloseWrite()
	}
}

// inside is the client's side, a Conn.
type inside struct {
	side
	of *sealed
}

func (i *inside) Read(p []byte) (int, error) {
	n, err := i.side.Read(p)
	if ofTLS(err) {
		i.of.fail(i.of.clientsFault(err))
	}
	return n, err
}

// CloseWrite says close_notify and FIN, behind what was written.
func (i *inside) CloseWrite() error {
	i.goodbye()
	return i.of.c.CloseWrite()
}

func (i *inside) Reset() error { return i.of.c.Reset() }
func (i *inside) ID() uint64   { return i.of.c.id }

// outside is the upstream's side.
type outside struct {
	side
	of   *sealed
	sock *socket
	hard atomic.Bool // Close is a reset
}

func (o *outside) Read(p []byte) (int, error) {
	n, err := o.side.Read(p)
	if ofTLS(err) {
		o.of.fail(o.of.upstreamsFault(err))
	}
	return n, err
}

// CloseWrite says close_notify and FIN.
func (o *outside) CloseWrite() error {
	o.goodbye()
	return o.sock.CloseWrite()
}

// SetLinger sets what Close does; 0 makes it a reset, without a word of TLS before it.
func (o *outside) SetLinger(sec int) error {
	o.hard.Store(sec == 0)
	return o.sock.SetLinger(sec)
}

// Close says close_notify and closes. Once the client's connection is over it says nothing any more, which could take time.
func (o *outside) Close() error {
	if o.hard.Load() || o.of.c.over.Load() {
		return o.sock.Close()
	}
	return o.Conn.Close()
}

package link

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
)

// TLS makes a link end its clients' TLS and begin its own to the upstream, so that messages inside can be followed. Stream faults act on the
// ciphertext between the client and us.
//
// The upstream is dialled first, with the name and the protocols (ALPN) that the client asks for, and only what it chose is offered back: what it does not
// speak is not spoken. A client that asks for no name, as one that was given an IP address does, means the upstream's host. Where the upstream's TLS
// fails, the client is reset. A client's own certificate cannot be passed on.
type TLS struct {
	CA       *CA            // signs the certificates that clients see, who have to trust it
	Roots    *x509.CertPool // who may vouch for the upstream; nil means the system's
	Insecure bool           // anybody may
	Failed   func(error)    // told of each connection on which TLS failed, on either side; may be nil
}

func (t *TLS) check() error {
	switch {
	case t == nil:
		return nil
	case t.CA == nil:
		return errors.New("TLS cannot be terminated without a CA")
	case t.Insecure && t.Roots != nil:
		return errors.New("who may vouch for the upstream was said, and that anybody may: leave one out")
	}
	return nil
}

// sealed is a connection whose TLS ends here.
type sealed struct {
	c      *conn
	client *inside
	up     *outside
	ask    *tls.Config // of the upstream: what the client asked for, and once it has answered, what it chose
	fault  error       // of the upstream, which was dialled in vain
	told   atomic.Bool
}

// terminate carries one connection inside TLS to its end.
func (c *conn) terminate(ctx context.Context) {
	s := &sealed{c: c}
	s.client = &inside{side: side{wire: &wire{Conn: c}}, of: s}
	s.client.Conn = tls.Server(s.client.wire, &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		cfg, err := s.answer(ctx, hello)
		if err != nil {
			s.fault = err
			_ = c.Reset() // before an alert could go out
		}
		return cfg, err
	}})
	err := s.client.Handshake() // ends with the connection
	if s.up != nil {
		s.client.other = s.up.wire
		defer func() { _ = s.up.Close() }() // where nobody else did
	}
	switch {
	case err != nil:
		s.refuse(err)
	case c.link.cfg.Serve != nil:
		c.link.cfg.Serve(ctx, s.client, s.dialer())
	default:
		s.pump()
	}
	c.sending.Wait()
}

// dialer gives a relay the connection that there is already, and new ones after that.
func (s *sealed) dialer() func(context.Context) (net.Conn, error) {
	var first atomic.Pointer[outside]
	first.Store(s.up)
	return func(ctx context.Context) (net.Conn, error) {
		if up := first.Swap(nil); up != nil {
			return up, nil
		}
		up, err := s.dial(ctx)
		if err != nil {
			return nil, err
		}
		return up, nil
	}
}

// answer dials the upstream as a client asks, and gives the client what it chose.
func (s *sealed) answer(ctx context.Context, hello *tls.ClientHelloInfo) (_ *tls.Config, err error) {
	t, host := s.c.link.cfg.TLS, s.c.link.host()
	if hello.ServerName != "" {
		host = hello.ServerName
	}
	s.ask = &tls.Config{ServerName: host, NextProtos: hello.SupportedProtos, RootCAs: t.Roots, InsecureSkipVerify: t.Insecure} //nolint:gosec // as the user says
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.client.wire.watch(s.c.wg.Go, cancel)
	if s.up, err = s.dial(ctx); err != nil {
		return nil, err
	}
	leaf, err := t.CA.leaf(host, s.c.LocalAddr())
	if err != nil {
		return nil, err
	}
	s.ask.NextProtos = nil
	if chosen := s.up.ConnectionState().NegotiatedProtocol; chosen != "" {
		s.ask.NextProtos = []string{chosen}
	}
	return &tls.Config{Certificates: []tls.Certificate{*leaf}, NextProtos: s.ask.NextProtos, SessionTicketsDisabled: true}, nil //nolint:gosec // the default's versions
}

// dial opens a connection to the upstream and begins TLS on it. That has no time-out of its own: how long to wait is for the client to say.
func (s *sealed) dial(ctx context.Context) (*outside, error) {
	sock, err := s.c.open(ctx)
	if err != nil {
		return nil, err
	}
	up := &outside{side: side{wire: &wire{Conn: sock}, other: s.client.wire}, of: s, sock: sock}
	up.Conn = tls.Client(up.wire, s.ask.Clone())
	if err := up.HandshakeContext(ctx); err != nil {
		sock.reset()
		if ctx.Err() == nil {
			s.fail(s.upstreamsFault(err))
		}
		return nil, err
	}
	return up, nil
}

// host is the upstream's, without its port; "" for a Unix socket.
func (l *Link) host() string {
	host, _, err := net.SplitHostPort(l.cfg.Upstream)
	if err != nil || strings.HasPrefix(l.cfg.Upstream, unixPrefix) {
		return ""
	}
	return host
}

// refuse ends a connection on which TLS did not come about: with a reset, but for a client that was told why by an alert.
func (s *sealed) refuse(err error) {
	var alien tls.RecordHeaderError
	switch {
	case s.fault != nil: // told, and reset
	case s.c.over.Load() || gone(err): // it left
	case errors.As(err, &alien):
		s.fail(fmt.Errorf("end a client's TLS on link %q: the client speaks no TLS: %w", s.c.link.cfg.Name, err))
		_ = s.c.Reset()
	default:
		s.fail(s.clientsFault(err))
	}
	if s.up != nil {
		_ = s.up.SetLinger(0)
	}
}

// fail counts a connection and tells why.
func (s *sealed) fail(err error) {
	if s.told.Swap(true) {
		return
	}
	s.c.link.tlsErrors.Add(1)
	if failed := s.c.link.cfg.TLS.Failed; failed != nil {
		failed(err)
	}
}

// clientsFault says what is most likely wrong: nobody gave the client the CA.
func (s *sealed) clientsFault(err error) error {
	return fmt.Errorf("end a client's TLS on link %q: %w (does the client trust the run's CA?)", s.c.link.cfg.Name, err)
}

func (s *sealed) upstreamsFault(err error) error {
	return fmt.Errorf("speak TLS with %s as %q on link %q: %w", s.c.link.cfg.Upstream, s.ask.ServerName, s.c.link.cfg.Name, err)
}

// ofTLS tells an error of TLS itself from those of the connection below.
func ofTLS(err error) bool {
	var op *net.OpError
	var alien tls.RecordHeaderError
	return errors.As(err, &alien) || (errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error"))
}

// gone tells whether a peer's connection ended, in whatever way, without a word of TLS about it.
func gone(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, net.ErrClosed)
}

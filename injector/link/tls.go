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

// TLS makes a link terminate its clients' TLS and use its own TLS to the upstream, so that relays see
// plaintext. Stream faults act on the ciphertext between the client and the link.
//
// The upstream is dialled first, with the server name and the protocols (ALPN) that the client
// requests. The client is offered only the protocol that the upstream chose. If the client sends no
// server name, as clients do that were given an IP address, the host of Upstream is used. If TLS to
// the upstream fails, the client's connection is reset. Client certificates cannot be forwarded.
type TLS struct {
	CA       *CA            // signs the certificates presented to clients, which must trust it
	Roots    *x509.CertPool // certificate authorities trusted for the upstream; nil means the system's
	Insecure bool           // accept any certificate of the upstream
	// Request and Grant begin TLS in protocols where a client requests it in plain text, as in PostgreSQL: what the
	// client sends, and what the server then answers. A connection that begins with TLS is accepted, too. If both are
	// "", each connection begins with TLS.
	Request, Grant string
	Failed         func(error) // called for each connection on which TLS failed, on either side; may be nil
}

func (t *TLS) check() error {
	switch {
	case t == nil:
		return nil
	case t.CA == nil:
		return errors.New("terminate TLS: a CA is required")
	case t.Insecure && t.Roots != nil:
		return errors.New("terminate TLS: Roots and Insecure exclude each other: set one")
	case (t.Request == "") != (t.Grant == ""):
		return errors.New("terminate TLS: a client's request for TLS needs the answer that grants it: set both Request and Grant, or neither")
	}
	return nil
}

// tlsSession is a connection whose TLS is terminated by the link.
type tlsSession struct {
	c              *conn
	client         *clientSide
	up             *upstreamSide
	upstreamConfig *tls.Config // what the client requested, and after the handshake, what the upstream chose
	upstreamErr    error       // why the upstream could not be used
	requested      bool        // the client requested TLS in plain text
	reported       atomic.Bool
}

// terminate handles one TLS connection to its end.
func (c *conn) terminate(ctx context.Context) {
	s := &tlsSession{c: c}
	s.client = &clientSide{side: side{wire: &wire{Conn: c}}, session: s}
	s.client.Conn = tls.Server(s.client.wire, &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		cfg, err := s.configForClient(ctx, hello)
		if err != nil {
			s.upstreamErr = err
			_ = c.Reset() // before an alert is sent
		}
		return cfg, err
	}})
	err := s.grantRequest()
	if err == nil {
		err = s.client.Handshake() // returns when the connection ends, too
	}
	if s.up != nil {
		s.client.other = s.up.wire
		defer func() { _ = s.up.Close() }() // if it was not closed before
	}
	switch {
	case err != nil:
		s.handshakeFailed(err)
	case c.link.cfg.Serve != nil:
		c.link.cfg.Serve(ctx, s.client, s.dialer())
		c.finishOutput()
	default:
		s.pump()
	}
	c.sender.Wait()
}

// dialer returns a relay's dial function. Its first call returns the connection that is already open,
// later calls open new ones.
func (s *tlsSession) dialer() func(context.Context) (net.Conn, error) {
	var first atomic.Pointer[upstreamSide]
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

// configForClient dials the upstream with the client's parameters, and returns a configuration that
// offers the client what the upstream chose.
func (s *tlsSession) configForClient(ctx context.Context, hello *tls.ClientHelloInfo) (_ *tls.Config, err error) {
	t, host := s.c.link.cfg.TLS, s.c.link.host()
	if hello.ServerName != "" {
		host = hello.ServerName
	}
	s.upstreamConfig = &tls.Config{ServerName: host, NextProtos: hello.SupportedProtos, RootCAs: t.Roots, InsecureSkipVerify: t.Insecure} //nolint:gosec // as configured
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.client.wire.watchClose(s.c.wg.Go, cancel)
	if s.up, err = s.dial(ctx); err != nil {
		return nil, err
	}
	leaf, err := t.CA.leaf(host, s.c.LocalAddr())
	if err != nil {
		return nil, err
	}
	s.upstreamConfig.NextProtos = nil
	if chosen := s.up.ConnectionState().NegotiatedProtocol; chosen != "" {
		s.upstreamConfig.NextProtos = []string{chosen}
	}
	return &tls.Config{Certificates: []tls.Certificate{*leaf}, NextProtos: s.upstreamConfig.NextProtos, SessionTicketsDisabled: true}, nil //nolint:gosec // the default's versions
}

// dial opens a TLS connection to the upstream. The handshake has no timeout of its own: the client
// decides how long to wait.
func (s *tlsSession) dial(ctx context.Context) (*upstreamSide, error) {
	sock, err := s.c.open(ctx)
	if err != nil {
		return nil, err
	}
	up := &upstreamSide{side: side{wire: &wire{Conn: sock}, other: s.client.wire}, session: s, sock: sock}
	up.Conn = tls.Client(up.wire, s.upstreamConfig.Clone())
	if s.requested {
		err = s.requestTLS(ctx, up.wire)
	}
	if err == nil {
		err = up.HandshakeContext(ctx)
	}
	if err != nil {
		sock.Reset()
		if ctx.Err() == nil {
			s.report(s.upstreamError(err))
		}
		return nil, err
	}
	return up, nil
}

// grantRequest answers the client's request for TLS, if it sends one. Other input is left to the handshake.
func (s *tlsSession) grantRequest() error {
	t := s.c.link.cfg.TLS
	if t.Request == "" {
		return nil
	}
	first := make([]byte, len(t.Request))
	if _, err := io.ReadFull(s.client.wire, first); err != nil {
		return err
	}
	if string(first) != t.Request {
		s.client.wire.first.p = first
		return nil
	}
	s.requested = true
	_, err := io.WriteString(s.client.wire, t.Grant)
	return err
}

// requestTLS requests TLS from the upstream.
func (s *tlsSession) requestTLS(ctx context.Context, up *wire) error {
	stop := context.AfterFunc(ctx, func() { _ = up.Close() }) // ends the read
	defer stop()
	t := s.c.link.cfg.TLS
	if _, err := io.WriteString(up, t.Request); err != nil {
		return err
	}
	answer := make([]byte, len(t.Grant))
	if _, err := io.ReadFull(up, answer); err != nil {
		return fmt.Errorf("read whether it grants TLS: %w", err)
	}
	if string(answer) != t.Grant {
		return fmt.Errorf("it answered the request for TLS with %q: is TLS enabled there?", answer)
	}
	return nil
}

// host returns the host of the upstream address; "" for a Unix socket.
func (l *Link) host() string {
	host, _, err := net.SplitHostPort(l.cfg.Upstream)
	if err != nil || strings.HasPrefix(l.cfg.Upstream, unixPrefix) {
		return ""
	}
	return host
}

// handshakeFailed ends a connection whose handshake failed. It resets the connection unless the client
// received an alert.
func (s *tlsSession) handshakeFailed(err error) {
	var record tls.RecordHeaderError
	switch {
	case s.upstreamErr != nil: // already reported and reset
	case s.c.closed.Load() || disconnected(err): // the client closed the connection
	case errors.As(err, &record):
		s.report(fmt.Errorf("terminate TLS on link %q: the client does not use TLS: %w", s.c.link.cfg.Name, err))
		_ = s.c.Reset()
	default:
		s.report(s.clientError(err))
	}
	if s.up != nil {
		_ = s.up.SetLinger(0)
	}
}

// report counts a connection with a TLS failure and calls Failed, once.
func (s *tlsSession) report(err error) {
	if s.reported.Swap(true) {
		return
	}
	s.c.link.tlsErrors.Add(1)
	if failed := s.c.link.cfg.TLS.Failed; failed != nil {
		failed(err)
	}
}

// clientError returns an error that names the most likely cause: the client was not given the CA.
func (s *tlsSession) clientError(err error) error {
	return fmt.Errorf("terminate TLS on link %q: %w (does the client trust the run's CA?)", s.c.link.cfg.Name, err)
}

func (s *tlsSession) upstreamError(err error) error {
	return fmt.Errorf("start TLS with %s as %q on link %q: %w", s.c.link.cfg.Upstream, s.upstreamConfig.ServerName, s.c.link.cfg.Name, err)
}

// isTLSError reports whether err comes from TLS and not from the connection below.
func isTLSError(err error) bool {
	var op *net.OpError
	var record tls.RecordHeaderError
	return errors.As(err, &record) || (errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error"))
}

// disconnected reports whether the peer's connection ended without a TLS error.
func disconnected(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, net.ErrClosed)
}

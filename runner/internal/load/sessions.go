package load

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// sessions keeps the idle sessions of a client for loads that are not HTTP. A session is reused if it has been idle for
// at most usualIdle, and its connection has nothing to read: neither data nor an end of file.
//
// If it fails nevertheless, and the kernel proves that the server had closed before any byte of the request arrived, the
// request is sent again on a new one, as by pool.
type sessions struct {
	cfg Config

	mu     sync.Mutex
	idle   map[string][]*session // by service, longest idle first
	closed bool
}

type session struct {
	Session
	conn      *meteredConn // nil before it was dialed
	idleSince time.Time
	reused    bool
}

// meteredConn counts the bytes written to and read from a connection, below TLS, and keeps why it could not be read, which
// some drivers replace by an error of their own. A driver may read and write at the same time.
type meteredConn struct {
	net.Conn
	wrote, got atomic.Int64
	failure    atomic.Pointer[error]
}

func (c *meteredConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.got.Add(int64(n))
	if err != nil && !errors.Is(err, net.ErrClosed) {
		c.failure.CompareAndSwap(nil, &err)
	}
	return n, err
}

func (c *meteredConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.wrote.Add(int64(n))
	return n, err
}

func newSessions(cfg Config) *sessions { return &sessions{cfg: cfg, idle: map[string][]*session{}} }

// exchange sends a request to a service. wrote and stale are as those of pool.exchange.
func (s *sessions) exchange(ctx context.Context, kind, service string, r Request) (reply Reply, wrote bool, stale int, err error) {
	k := s.reuse(service)
	for {
		if k == nil {
			if k, err = s.open(ctx, kind, service); err != nil {
				return Reply{}, false, stale, err
			}
		}
		before := k.written()
		reply, err = k.send(ctx, r)
		wrote = k.conn == nil || k.written() > before
		if err == nil {
			s.put(service, k, reply.Last)
			return reply, wrote, stale, nil
		}
		untouched := k.conn != nil && (!wrote || unread(k.conn.Conn, before, k.conn.got.Load()))
		_ = k.Close()
		if !k.reused || ctx.Err() != nil || !untouched || errors.As(err, new(generatorError)) {
			return Reply{}, wrote, stale, err
		}
		stale++
		k = nil
	}
}

func (k *session) written() int64 {
	if k.conn == nil {
		return 0
	}
	return k.conn.wrote.Load()
}

// send sends a request, and ends the deadlines of the connection with the context.
func (k *session) send(ctx context.Context, r Request) (Reply, error) {
	if k.conn == nil {
		return k.Send(ctx, r)
	}
	stop := context.AfterFunc(ctx, func() { _ = k.conn.SetDeadline(time.Unix(1, 0)) })
	reply, err := k.Send(ctx, r)
	if !stop() {
		reply.Last = true
	}
	if failure := k.conn.failure.Load(); err != nil && failure != nil && kindOf(err) == otherError {
		err = *failure
	}
	return reply, err
}

// open opens a session.
func (s *sessions) open(ctx context.Context, kind, service string) (*session, error) {
	i := slices.IndexFunc(s.cfg.Kinds, func(k Kind) bool { return k.Name == kind })
	if i < 0 {
		return nil, OwnError("the kind of load "+kind+" is not linked", "see runner.Options.Loads", errors.New("no such kind"))
	}
	k := &session{}
	p := Place{URL: &url.URL{}}
	if service != "" {
		p.Address = s.cfg.Address(service)
	}
	if s.cfg.Knows != nil {
		known := s.cfg.Knows(service)
		p.URL, p.Framing, p.Proto = cmp.Or(known.URL, p.URL), known.Framing, known.Proto
	}
	for _, rt := range s.cfg.Load.Mix {
		if rt.Service == service {
			p.About = append(p.About, rt.Path)
		}
	}
	if cfg := s.cfg.Trust[p.Address]; cfg != nil {
		p.TLS = cfg.Clone()
		if p.TLS.ServerName == "" {
			p.TLS.ServerName, _, _ = net.SplitHostPort(p.Address)
		}
	}
	ended := func() bool { return true }
	defer func() { ended() }()
	p.dial = func(ctx context.Context, network string) (net.Conn, error) {
		if k.conn != nil {
			return nil, errors.New("a session has one connection")
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, network, p.Address)
		if err != nil {
			return nil, classifyDialError(err)
		}
		k.conn = &meteredConn{Conn: conn}
		ended = context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
		return k.conn, nil
	}
	var err error
	if k.Session, err = s.cfg.Kinds[i].Open(ctx, p); err != nil {
		if k.conn != nil {
			_ = k.conn.Close()
		}
		return nil, err
	}
	return k, nil
}

func (s *sessions) reuse(service string) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(service, time.Now())
	for len(s.idle[service]) > 0 {
		all := s.idle[service]
		k := all[len(all)-1]
		s.idle[service] = all[:len(all)-1]
		if k.conn == nil || open(k.conn.Conn) {
			k.reused = true
			return k
		}
		_ = k.Close()
	}
	return nil
}

// drop closes the sessions that have been idle for too long.
func (s *sessions) drop(service string, now time.Time) {
	n := 0
	for _, k := range s.idle[service] {
		if now.Sub(k.idleSince) <= usualIdle {
			break
		}
		_ = k.Close()
		n++
	}
	s.idle[service] = slices.Delete(s.idle[service], 0, n)
}

func (s *sessions) put(service string, k *session, last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last || s.closed {
		_ = k.Close()
		return
	}
	k.idleSince = time.Now()
	s.drop(service, k.idleSince)
	s.idle[service] = append(s.idle[service], k)
}

// close closes the idle sessions. It may be called twice.
func (s *sessions) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, all := range s.idle {
		for _, k := range all {
			_ = k.Close()
		}
	}
	clear(s.idle)
}

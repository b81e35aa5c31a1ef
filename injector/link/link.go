package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Config describes a link. Name and Upstream are required.
type Config struct {
	Name        string        // "orders -> payments": in errors, evidence and decisions
	Listen      string        // host:port, or unix:path; "" means 127.0.0.1:0
	Upstream    string        // host:port, resolved at each dial, or unix:path
	DialTimeout time.Duration // 0 means 10 s
	// ProxyProtocol tells the upstream the client's address first, in "v1" or "v2" of the PROXY protocol; "" does not.
	ProxyProtocol string
	TLS           *TLS // ends TLS here and begins it anew to the upstream; nil passes it through
	// Serve carries one connection at message level; nil means the byte pump. It returns when the connection is over; the link then closes
	// client. dial opens an upstream connection, as often as it is called, and its caller closes it. With TLS both are seen from inside.
	Serve func(ctx context.Context, client Conn, dial func(context.Context) (net.Conn, error))

	resolver *net.Resolver // nil means the system's; tests have their own
}

// Conn is a client's connection as a relay sees it: stream faults live on the link act inside its Read and Write. It has no deadlines.
type Conn interface {
	net.Conn
	CloseWrite() error // FIN towards the client, after what was written
	Reset() error      // RST towards the client, at once
	ID() uint64        // 1, 2, ... in order of acceptance
}

// Dir is a direction of travel. The zero value is both.
type Dir uint8

// Directions.
const (
	Both Dir = iota
	ToServer
	ToClient
)

// Heal ends a fault. It returns at once, also with stalled peers; calling it again does nothing.
type Heal func(context.Context) error

// Counters are a link's own totals.
type Counters struct {
	Opened, Live, DialErrors, Resets int64
	TLSErrors                        int64 // connections on which TLS failed, on either side
	BytesToServer, BytesToClient     int64
}

// Link is an open link. Its methods may be called from many goroutines.
type Link struct {
	cfg  Config
	addr string
	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu      sync.Mutex
	ln      net.Listener // nil while the port is closed
	held    *port        // keeps the number while the port is closed
	file    os.FileInfo  // of a Unix socket
	refuses int          // live Refuse faults
	closed  bool
	conns   map[*conn]struct{}
	ids     uint64
	stages  []*stage
	resets  []*reset
	gates   []*gate
	changed chan struct{} // closed and replaced when stages change
	clock   clock
	pipes   pipes

	opened, dialErrors, tlsErrors, rst, toServer, toClient atomic.Int64
}

// Open listens and starts to carry connections. The caller closes the link.
func Open(cfg Config) (*Link, error) {
	if cfg.Upstream == "" {
		return nil, fmt.Errorf("open link %q: no upstream address", cfg.Name)
	}
	if err := errors.Join(checkProxyProtocol(cfg.ProxyProtocol), cfg.TLS.check()); err != nil {
		return nil, fmt.Errorf("open link %q: %w", cfg.Name, err)
	}
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	if cfg.DialTimeout == 0 {
		cfg.DialTimeout = 10 * time.Second
	}
	l := &Link{cfg: cfg, conns: map[*conn]struct{}{}, changed: make(chan struct{})}
	l.clock.serve = l.wg.Go
	ln, err := l.listen(cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("open link %q: %w", cfg.Name, err)
	}
	l.addr, l.ln = ln.Addr().String(), ln
	if ln.Addr().Network() == "unix" {
		l.addr = unixPrefix + l.addr
	}
	l.ctx, l.stop = context.WithCancel(context.Background())
	l.wg.Go(func() { l.accept(ln) })
	return l, nil
}

// unixPrefix marks an address as the path of a Unix socket.
const unixPrefix = "unix:"

// network splits an address into what net.Listen and net.Dial ask for.
func network(addr string) (network, address string) {
	if path, ok := strings.CutPrefix(addr, unixPrefix); ok {
		return "unix", path
	}
	return "tcp", addr
}

// listen sets no keep-alive: a link invents no end of its own.
func (l *Link) listen(addr string) (net.Listener, error) {
	network, address := network(addr)
	if network == "unix" {
		if err := makeWay(address); err != nil {
			return nil, err
		}
	}
	ln, err := (&net.ListenConfig{KeepAlive: -1}).Listen(context.Background(), network, address)
	if err == nil {
		l.keepFile(ln)
	}
	return ln, err
}

// Addr is where clients connect, host:port or unix:path. It stays the same over refuse and heal.
func (l *Link) Addr() string { return l.addr }

// Close ends the listener and every connection (RST), and returns when no goroutine of the link is left. It may be called twice.
func (l *Link) Close() error {
	l.mu.Lock()
	l.closed = true
	if l.ln != nil {
		_ = l.ln.Close()
		l.ln = nil
	}
	l.held.release()
	l.held = nil
	l.removeFile()
	conns := l.live()
	l.mu.Unlock()
	l.stop()
	l.clock.close()
	for _, c := range conns {
		_ = c.Reset()
	}
	l.wg.Wait()
	l.pipes.close()
	return nil
}

// Counters returns the totals so far.
func (l *Link) Counters() Counters {
	l.mu.Lock()
	live := int64(len(l.conns))
	l.mu.Unlock()
	return Counters{
		Opened: l.opened.Load(), Live: live, DialErrors: l.dialErrors.Load(), Resets: l.rst.Load(), TLSErrors: l.tlsErrors.Load(),
		BytesToServer: l.toServer.Load(), BytesToClient: l.toClient.Load(),
	}
}

// live lists the connections; l.mu is held.
func (l *Link) live() []*conn {
	conns := make([]*conn, 0, len(l.conns))
	for c := range l.conns {
		conns = append(conns, c)
	}
	return conns
}

func (l *Link) accept(ln net.Listener) {
	for {
		sock, err := ln.Accept()
		if err != nil {
			if l.ctx.Err() != nil || isClosed(err) {
				return
			}
			time.Sleep(5 * time.Millisecond) // out of descriptors, most likely: the kernel keeps the connection meanwhile
			continue
		}
		c, gates, ok := l.admit(ln, sock)
		if !ok {
			return
		}
		l.wg.Go(func() {
			l.carry(c, gates)
			l.forget(c)
		})
	}
}

// admit makes a connection known, with the faults that are live; not when the port was closed meanwhile.
func (l *Link) admit(ln net.Listener, raw net.Conn) (*conn, []*gate, bool) {
	sock, err := newSocket(raw)
	if err != nil {
		_ = raw.Close()
		return nil, nil, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.ln != ln {
		sock.reset()
		return nil, nil, false
	}
	l.ids++
	l.opened.Add(1)
	c := newConn(l, sock, l.ids)
	l.conns[c] = struct{}{}
	if len(l.stages) > 0 {
		c.apply(l.stages)
	}
	for _, r := range l.resets {
		c.arm(r)
	}
	return c, l.gates, true
}

func (l *Link) forget(c *conn) {
	_ = c.Close()
	c.sending.Wait()
	c.wg.Wait()
	l.mu.Lock()
	delete(l.conns, c)
	l.mu.Unlock()
}

// carry runs one connection to its end.
func (l *Link) carry(c *conn, gates []*gate) {
	ctx, cancel := context.WithCancel(l.ctx)
	defer cancel()
	if !c.cancelWith(cancel) || !c.pass(ctx, gates) { // reset on arrival: the upstream never hears of it
		return
	}
	if l.cfg.TLS != nil {
		c.terminate(ctx)
		return
	}
	if l.cfg.Serve != nil {
		l.cfg.Serve(ctx, c, c.dial)
		c.sending.Wait() // what a stream fault still holds for the client
		return
	}
	up, err := c.open(ctx)
	if err != nil {
		_ = c.Reset()
		return
	}
	c.pump(up)
}

// cancelWith lets the connection's end cancel what waits for it; false when it has ended already.
func (c *conn) cancelWith(cancel context.CancelFunc) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cancel = cancel
	return !c.over.Load()
}

// dial is open for a relay.
func (c *conn) dial(ctx context.Context) (net.Conn, error) {
	up, err := c.open(ctx)
	if err != nil {
		return nil, err
	}
	return up, nil
}

// open opens an upstream connection, once the way there is not cut off.
func (c *conn) open(ctx context.Context) (*socket, error) {
	if err := c.awaitWay(ctx); err != nil {
		return nil, err
	}
	l := c.link
	network, address := network(l.cfg.Upstream)
	up, err := (&net.Dialer{Timeout: l.cfg.DialTimeout, KeepAlive: -1, Resolver: l.cfg.resolver}).DialContext(ctx, network, address)
	if err == nil && l.cfg.ProxyProtocol != "" {
		_, err = up.Write(proxyHeader(l.cfg.ProxyProtocol, c.RemoteAddr(), c.LocalAddr()))
	}
	if err != nil {
		if up != nil {
			_ = up.Close()
		}
		l.dialErrors.Add(1)
		return nil, fmt.Errorf("dial %s for link %q: %w", l.cfg.Upstream, l.cfg.Name, err)
	}
	return newSocket(up)
}

// awaitWay waits until nothing cuts the way to the server, and counts each cut that it waited for.
func (c *conn) awaitWay(ctx context.Context) error {
	l := c.link
	for {
		l.mu.Lock()
		cut, changed := false, l.changed
		for _, s := range l.stages {
			if !s.hold || s.dir == ToClient || !s.picks(c) {
				continue
			}
			cut = true
			c.mark(s).see(s)
			c.mark(s).touch(s)
		}
		l.mu.Unlock()
		if !cut {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

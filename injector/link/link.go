// Package link is one dependency reached through us: a listener, its connections, a byte pump, and the stream faults.
//
// Open a Link in front of an address and point the client at Addr. Delay, Limit, CutOff, Refuse and Reset put faults on it, on live
// connections and new ones alike, and return the Heal that takes them off again.
//
// # How it is made, and why
//
// A connection is two copies between the client's socket and the upstream's, one goroutine each. Stream faults live in one place, conn: its
// Read is the way to the server, its Write the way to the client. With no live fault both go straight to the socket. With one, a
// direction becomes a queue of chunks stamped with their arrival, and every live stage is asked when the chunk at its head is due.
// Because stages are asked anew each time, a fault goes on or off at any moment by changing the list of stages: nothing in the queue is
// lost, doubled or reordered, and healing has nothing to wait for, even when a receiver is stalled. A message relay (Config.Serve) works on
// the same conn, so stream faults act between the client's socket and the relay.
//
// Toxiproxy runs each fault as a goroutine between channels instead; that is where its deadlocks and its bias of jitter come from.
//
// Half-closes are passed on as half-closes and resets as resets, both ways. An upstream that refuses shows to the client as a reset, never
// as an accepted connection that ends in order.
package link

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Config describes a link. Name and Upstream are required.
type Config struct {
	Name        string        // "orders -> payments": in errors, evidence and decisions
	Listen      string        // address to listen on; "" means 127.0.0.1:0
	Upstream    string        // host:port, resolved at each dial
	DialTimeout time.Duration // 0 means 10 s
	// Serve carries one connection at message level; nil means the byte pump. It returns when the connection is over; the link then closes
	// client. dial opens an upstream connection, as often as it is called, and its caller closes it.
	Serve func(ctx context.Context, client Conn, dial func(context.Context) (net.Conn, error))
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
	refuses int          // live Refuse faults
	closed  bool
	conns   map[*conn]struct{}
	ids     uint64
	stages  []*stage
	resets  []*Reset
	changed chan struct{} // closed and replaced when stages change

	opened, dialErrors, rst, toServer, toClient atomic.Int64
}

// Open listens and starts to carry connections. The caller closes the link.
func Open(cfg Config) (*Link, error) {
	if cfg.Upstream == "" {
		return nil, fmt.Errorf("open link %q: no upstream address", cfg.Name)
	}
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	if cfg.DialTimeout == 0 {
		cfg.DialTimeout = 10 * time.Second
	}
	ln, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("open link %q: %w", cfg.Name, err)
	}
	l := &Link{cfg: cfg, addr: ln.Addr().String(), ln: ln, conns: map[*conn]struct{}{}, changed: make(chan struct{})}
	l.ctx, l.stop = context.WithCancel(context.Background())
	l.wg.Go(func() { l.accept(ln) })
	return l, nil
}

// Addr is where clients connect, host:port. It stays the same over refuse and heal.
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
	conns := l.live()
	l.mu.Unlock()
	l.stop()
	for _, c := range conns {
		_ = c.Reset()
	}
	l.wg.Wait()
	return nil
}

// Counters returns the totals so far.
func (l *Link) Counters() Counters {
	l.mu.Lock()
	live := int64(len(l.conns))
	l.mu.Unlock()
	return Counters{
		Opened: l.opened.Load(), Live: live, DialErrors: l.dialErrors.Load(), Resets: l.rst.Load(),
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
		c, ok := l.admit(ln, sock.(*net.TCPConn))
		if !ok {
			_ = sock.(*net.TCPConn).SetLinger(0)
			_ = sock.Close()
			return
		}
		l.wg.Go(func() {
			l.carry(c)
			l.forget(c)
		})
	}
}

// admit makes a connection known, with the faults that are live; not when the port was closed meanwhile.
func (l *Link) admit(ln net.Listener, sock *net.TCPConn) (*conn, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.ln != ln {
		return nil, false
	}
	l.ids++
	l.opened.Add(1)
	c := newConn(l, sock, l.ids)
	l.conns[c] = struct{}{}
	c.apply(l.stages)
	for _, r := range l.resets {
		c.arm(r)
	}
	return c, true
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
func (l *Link) carry(c *conn) {
	if c.over.Load() { // reset on arrival: the upstream never hears of it
		return
	}
	ctx, cancel := context.WithCancel(l.ctx)
	defer cancel()
	if l.cfg.Serve != nil {
		l.cfg.Serve(ctx, c, l.dial)
		c.sending.Wait() // what a stream fault still holds for the client
		return
	}
	dialled := make(chan struct{})
	c.wg.Go(func() { // a connection that is reset waits for no dial
		select {
		case <-c.done:
			cancel()
		case <-dialled:
		}
	})
	up, err := l.dial(ctx)
	close(dialled)
	if err != nil {
		_ = c.Reset()
		return
	}
	c.pump(up.(*net.TCPConn))
}

// dial opens an upstream connection, once the way there is not cut off.
func (l *Link) dial(ctx context.Context) (net.Conn, error) {
	if err := l.awaitWay(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, l.cfg.DialTimeout)
	defer cancel()
	up, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.cfg.Upstream)
	if err != nil {
		l.dialErrors.Add(1)
		return nil, fmt.Errorf("dial %s for link %q: %w", l.cfg.Upstream, l.cfg.Name, err)
	}
	return up, nil
}

// awaitWay waits until nothing cuts the way to the server, and counts each cut that it waited for.
func (l *Link) awaitWay(ctx context.Context) error {
	counted := map[*stage]bool{}
	for {
		l.mu.Lock()
		cut, changed := false, l.changed
		for _, s := range l.stages {
			if !s.hold || s.dir == ToClient {
				continue
			}
			cut = true
			if !counted[s] {
				counted[s] = true
				s.count.See(1)
				s.count.Touch(1)
			}
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

package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/firedrill-dev/firedrill/injector/link/internal/clock"
	"github.com/firedrill-dev/firedrill/injector/link/internal/socket"
)

// Config describes a link. Upstream is required.
type Config struct {
	Name     string // appears in errors and is part of random draws, such as "orders -> payments"
	Listen   string // host:port or unix:path; "" means 127.0.0.1:0
	Upstream string // host:port, resolved at each dial, or unix:path
	// ProxyProtocol is the version of the PROXY protocol header, "v1" or "v2", that announces the client's
	// address to the upstream. "" sends no header.
	ProxyProtocol string
	// CloseUnreached closes a connection in an orderly way, as Toxiproxy does, if the byte pump cannot dial the upstream. Without
	// it the connection is reset.
	CloseUnreached bool
	TLS            *TLS // terminates the clients' TLS and starts a new session to the upstream; nil passes TLS through
	// Serve handles one connection at message level; nil means the byte pump. It returns when the
	// connection is finished, and the link then closes client. Each call of dial opens a new upstream
	// connection, which the caller closes. With TLS, both connections carry plaintext.
	Serve func(ctx context.Context, client Conn, dial func(context.Context) (net.Conn, error))

	// Set by tests.
	dialTimeout time.Duration // 0 means 10 s
	resolver    *net.Resolver // nil means the system's resolver
}

// Conn is a client's connection as a relay sees it. The link's live stream faults act inside Read and
// Write. Deadlines are not supported.
type Conn interface {
	net.Conn
	CloseWrite() error       // sends FIN to the client after everything written so far
	Reset() error            // sends RST to the client at once
	ResetAfterWrites() error // sends RST once the client has everything written so far, or has not accepted it for 2 s
	ID() uint64              // returns 1, 2, ... in order of acceptance
}

// Dir is a direction of traffic. The zero value means both directions.
type Dir uint8

// Directions.
const (
	Both Dir = iota
	ToServer
	ToClient
)

// Heal removes a fault. It does not wait for stalled peers. Calling it again has no effect.
type Heal func(context.Context) error

// Counters are the totals of one link. They show the traffic that it carries without any load, even where messages are
// not parsed: take a snapshot before the load starts.
type Counters struct {
	Opened, Live, Resets int64
	DialErrors           int64 // failed upstream dials, without those canceled by clients and those counted in LocalLimits
	TLSErrors            int64 // connections on which TLS failed, on either side
	// Bytes are counted before they are written, so that a peer has never received more than was counted. A failed
	// write corrects the count.
	BytesToServer, BytesToClient int64

	// LocalLimits counts accepts and dials that failed at a limit of this process or machine. The system under test
	// did not cause these failures.
	LocalLimits     int64
	LocalLimitError string // the text of the latest of them
}

// Link is an open link. Its methods may be called concurrently.
type Link struct {
	cfg  Config
	addr string
	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu         sync.Mutex
	ln         net.Listener // nil while the port is closed
	heldPort   *socket.Port // reserves the port number while the port is closed
	socketFile os.FileInfo  // of the Unix socket
	refusals   int          // number of live Refuse faults
	closed     bool
	conns      map[*conn]struct{}
	ids        uint64
	lastUse    int64 // when a connection that has ended last carried bytes; a nanotime
	stages     []*stage
	resets     []*reset
	gates      []*gate
	changed    chan struct{} // closed and replaced whenever stages change
	clock      *clock.Clock
	pipes      socket.Pipes

	opened, dialErrors, tlsErrors, rst                           atomic.Int64
	toServer, toClient                                           atomic.Int64
	shortages, localLimits, refused, ended, endedIdle, abandoned atomic.Int64
	localLimitError                                              atomic.Pointer[string]
}

// Open listens and starts to forward connections. The caller closes the link.
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
	if cfg.dialTimeout == 0 {
		cfg.dialTimeout = 10 * time.Second
	}
	l := &Link{cfg: cfg, conns: map[*conn]struct{}{}, changed: make(chan struct{})}
	l.clock = clock.New(l.wg.Go)
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

// Addr returns the address that clients connect to, host:port or unix:path. It does not change when
// the port is closed by Refuse and reopened.
func (l *Link) Addr() string { return l.addr }

// Close closes the listener, resets every connection, and returns when all goroutines of the link have
// ended. It may be called more than once.
func (l *Link) Close() error {
	l.mu.Lock()
	l.closed = true
	if l.ln != nil {
		_ = l.ln.Close()
		l.ln = nil
	}
	l.heldPort.Release()
	l.heldPort = nil
	l.removeSocketFile()
	conns := l.liveConns()
	l.mu.Unlock()
	l.stop()
	l.clock.Close()
	for _, c := range conns {
		_ = c.Reset()
	}
	l.wg.Wait()
	l.pipes.Close()
	return nil
}

// Counters returns the totals so far.
func (l *Link) Counters() Counters {
	l.mu.Lock()
	live := int64(len(l.conns))
	l.mu.Unlock()
	c := Counters{
		Opened: l.opened.Load(), Live: live, DialErrors: l.dialErrors.Load(), Resets: l.rst.Load(), TLSErrors: l.tlsErrors.Load(),
		BytesToServer: l.toServer.Load(), BytesToClient: l.toClient.Load(), LocalLimits: l.localLimits.Load(),
	}
	if text := l.localLimitError.Load(); text != nil {
		c.LocalLimitError = *text
	}
	return c
}

// liveConns lists the connections. l.mu must be held.
func (l *Link) liveConns() []*conn {
	conns := make([]*conn, 0, len(l.conns))
	for c := range l.conns {
		conns = append(conns, c)
	}
	return conns
}

func (l *Link) removeConn(c *conn) {
	_ = c.Close()
	c.sender.Wait()
	c.wg.Wait()
	l.mu.Lock()
	c.countAbandoned()
	l.lastUse = max(l.lastUse, c.activity.lastByte.Load())
	delete(l.conns, c)
	l.mu.Unlock()
}

// handle runs one connection to its end.
func (l *Link) handle(c *conn, gates []*gate) {
	ctx, cancel := context.WithCancel(l.ctx)
	defer cancel()
	if !c.setCancel(cancel) || !c.passGates(ctx, gates) { // reset before the upstream was dialled
		return
	}
	if l.cfg.TLS != nil {
		c.terminate(ctx)
		return
	}
	if l.cfg.Serve != nil {
		c.activity.dialingSince.Store(0) // the relay decides whether it needs the upstream
		l.cfg.Serve(ctx, c, c.dial)
		c.finishOutput()
		return
	}
	up, err := c.open(ctx)
	if err != nil {
		if !l.cfg.CloseUnreached { // else it is closed when this returns
			_ = c.Reset()
		}
		return
	}
	c.pump(up)
}

// setCancel makes the end of the connection call cancel. It returns false if the connection has
// already ended.
func (c *conn) setCancel(cancel context.CancelFunc) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cancel = cancel
	return !c.closed.Load()
}

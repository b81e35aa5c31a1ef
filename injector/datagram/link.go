package datagram

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/link"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// Config describes a link. Name, Protocol and Upstream are required.
type Config struct {
	Name     string        // "orders -> dns": in errors, evidence and decisions
	Protocol string        // "udp", "dns" or "statsd": a row of message.Protocols
	Listen   string        // host:port; "" means 127.0.0.1:0
	Upstream string        // host:port; a name is resolved once, when the link opens
	Sink     evidence.Sink // each fate; may be nil

	idle     time.Duration // how long a client is remembered; 0 means a minute
	sessions int           // clients at once; 0 means 4096
	held     int           // datagrams kept back at once; 0 means 16384
	bytes    int           // their bytes; 0 means 32 MiB
}

// Heal ends a fault. Calling it again does nothing.
type Heal func(context.Context) error

// Counters are a link's own totals.
type Counters struct {
	Opened, Live int64 // clients
	Evicted      int64 // clients forgotten because there were too many
	Refused      int64 // answers of the dependency's host that its port is closed
	Errors       int64 // datagrams that could not be written
}

// Link is an open link. Its methods may be called from many goroutines.
type Link struct {
	cfg      Config
	relay    *message.Relay
	codec    codec
	upstream *net.UDPAddr
	addr     string
	tcp      *link.Link // of DNS: clients ask over TCP again what was cut short
	ctx      context.Context
	stop     context.CancelFunc
	wg       sync.WaitGroup
	began    time.Time
	later    later
	kernel   kernel

	mu       sync.Mutex
	conn     *net.UDPConn // nil while the port is closed
	port     net.Conn     // keeps the number while the port is closed
	refuses  int          // live Refuse faults
	closed   bool
	sessions map[netip.AddrPort]*session
	order    list.List // of sessions, the one that asked last first
	ids      uint64

	evicted, refused, failed atomic.Int64
}

// largest is more than a datagram can hold.
const largest = 64 << 10

// buffer is what sockets are asked to buffer; the kernel may give less.
const buffer = 4 << 20

// Open listens and starts to carry datagrams. The caller closes the link.
func Open(cfg Config) (*Link, error) {
	bad := func(err error) (*Link, error) { return nil, fmt.Errorf("open link %q: %w", cfg.Name, err) }
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	cfg.idle, cfg.sessions = or(cfg.idle, time.Minute), or(cfg.sessions, 4096)
	cfg.held, cfg.bytes = or(cfg.held, 16<<10), or(cfg.bytes, 32<<20)
	c, ok := codecs()[cfg.Protocol]
	if !ok {
		return bad(fmt.Errorf("protocol %q is none of datagrams", cfg.Protocol))
	}
	relay, err := message.New(cfg.Protocol, message.Config{Link: cfg.Name, Sink: cfg.Sink})
	if err != nil {
		return bad(err)
	}
	up, err := net.ResolveUDPAddr("udp", cfg.Upstream)
	if err != nil || cfg.Upstream == "" {
		return bad(fmt.Errorf("upstream address %q: write host:port: %w", cfg.Upstream, err))
	}
	l := &Link{cfg: cfg, relay: relay, codec: c, upstream: up, began: time.Now(), sessions: map[netip.AddrPort]*session{}}
	if err := l.bind(); err != nil {
		return bad(err)
	}
	l.ctx, l.stop = context.WithCancel(context.Background())
	l.later.open(l)
	l.kernel.open(up.AddrPort())
	conn := l.conn
	l.wg.Go(func() { l.receive(conn) })
	l.wg.Go(l.forget)
	return l, nil
}

func or[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

// bind takes the port, for DNS over TCP too: the kernel finds a free one for UDP, and it may be taken for TCP.
func (l *Link) bind() error {
	for try := 0; ; try++ {
		conn, err := listen(l.cfg.Listen, nil)
		if err != nil {
			return err
		}
		l.conn, l.addr = conn, conn.LocalAddr().String()
		if l.cfg.Protocol != "dns" {
			return nil
		}
		l.tcp, err = link.Open(link.Config{Name: l.cfg.Name, Listen: l.addr, Upstream: l.cfg.Upstream})
		if err == nil {
			return nil
		}
		_ = conn.Close()
		if try == 100 || l.addr == l.cfg.Listen {
			return fmt.Errorf("over TCP too, as DNS needs: %w", err)
		}
	}
}

func listen(addr string, control func(network, address string, c syscall.RawConn) error) (*net.UDPConn, error) {
	at, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen address %q: %w", addr, err)
	}
	pc, err := (&net.ListenConfig{Control: control}).ListenPacket(context.Background(), "udp", at.String())
	if err != nil {
		return nil, err
	}
	conn := pc.(*net.UDPConn)
	_ = conn.SetReadBuffer(buffer) // as much as the kernel allows
	return conn, nil
}

// Addr is where clients send to, host:port. It stays the same over refuse and heal.
func (l *Link) Addr() string { return l.addr }

// Relay holds the rules of the link, its evidence and its books.
func (l *Link) Relay() *message.Relay { return l.relay }

// Counters returns the totals so far.
func (l *Link) Counters() Counters {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Counters{Opened: int64(l.ids), Live: int64(len(l.sessions)), Evicted: l.evicted.Load(), Refused: l.refused.Load(), Errors: l.failed.Load()} //nolint:gosec // counts
}

// Close ends the link: what is kept back is dropped. It returns when no goroutine of the link is left, and may be called twice.
func (l *Link) Close() error {
	l.mu.Lock()
	l.closed = true
	l.shut()
	if l.port != nil {
		_ = l.port.Close()
		l.port = nil
	}
	l.mu.Unlock()
	l.stop()
	var err error
	if l.tcp != nil {
		err = l.tcp.Close()
	}
	l.wg.Wait()
	l.later.drain()
	return err
}

// shut closes the port and lets go of every client; l.mu is held.
func (l *Link) shut() {
	if l.conn != nil {
		l.kernel.last(l.conn)
		_ = l.conn.Close()
		l.conn = nil
	}
	for _, s := range l.sessions {
		l.end(s)
	}
}

// receive carries what clients send.
func (l *Link) receive(conn *net.UDPConn) {
	buf := make([]byte, largest)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue // of a datagram sent before: a client's port is closed
		}
		s, err := l.session(conn, from)
		if err != nil {
			l.relay.Book(message.ToServer, func(b *message.Books) { b.In++; b.Collateral++ })
			l.fail(err)
			continue
		}
		l.meet(s, message.ToServer, buf[:n])
	}
}

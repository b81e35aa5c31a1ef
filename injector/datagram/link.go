package datagram

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/link"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// Config configures a Link. Name, Protocol and Upstream are required.
type Config struct {
	Name     string        // such as "orders -> dns"; used in errors, evidence and decisions
	Protocol string        // one of Protocols: "udp", "dns" or "statsd"
	Listen   string        // host:port; "" means 127.0.0.1:0
	Upstream string        // host:port; a name is resolved once, by Open
	Sink     evidence.Sink // receives the evidence of each effect; may be nil

	idle     time.Duration // after which a client is forgotten; 0 means a minute
	sessions int           // maximum number of clients; 0 means 4096
	held     int           // maximum number of held datagrams; 0 means 16384
	bytes    int           // maximum size of all held datagrams; 0 means 32 MiB
}

// Heal ends a fault. Further calls do nothing.
type Heal func(context.Context) error

// Counters holds the totals of a link.
type Counters struct {
	Opened, Live int64 // clients
	Evicted      int64 // clients forgotten because there were too many
	Refused      int64 // ICMP answers of the dependency's host that its port is closed
	Errors       int64 // datagrams that could not be written
}

// Link is an open link. It is safe for concurrent use.
type Link struct {
	cfg      Config
	relay    *message.Relay
	codec    codec
	upstream *net.UDPAddr
	addr     string
	tcp      *link.Link // for DNS: clients retry truncated answers over TCP
	ctx      context.Context
	stop     context.CancelFunc
	wg       sync.WaitGroup
	openedAt time.Time
	delayed  delayQueue
	kernel   kernel

	mu       sync.Mutex
	conn     *net.UDPConn // nil while the port is closed
	reserved net.Conn     // reserves the port number while the port is closed
	refusing int          // number of live Refuse faults
	closed   bool
	sessions map[netip.AddrPort]*session
	recency  list.List // sessions, the most recently used first
	lastID   uint64

	evicted, refused, failed atomic.Int64
}

// maxDatagram is larger than any datagram.
const maxDatagram = 64 << 10

// socketBuffer is the requested size of socket buffers. The kernel may grant less.
const socketBuffer = 4 << 20

// Open opens a link. The caller must close it.
func Open(cfg Config) (*Link, error) {
	bad := func(err error) (*Link, error) { return nil, fmt.Errorf("open link %q: %w", cfg.Name, err) }
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	cfg.idle, cfg.sessions = orDefault(cfg.idle, time.Minute), orDefault(cfg.sessions, 4096)
	cfg.held, cfg.bytes = orDefault(cfg.held, 16<<10), orDefault(cfg.bytes, 32<<20)
	all := codecs()
	i := slices.IndexFunc(all, func(c codec) bool { return c.Name == cfg.Protocol })
	if i < 0 {
		return bad(fmt.Errorf("protocol %q is not one over UDP", cfg.Protocol))
	}
	c := all[i]
	relay, err := message.New(c.Protocol, message.Config{Link: cfg.Name, Sink: cfg.Sink})
	if err != nil {
		return bad(err)
	}
	up, err := net.ResolveUDPAddr("udp", cfg.Upstream)
	if err != nil || cfg.Upstream == "" {
		return bad(fmt.Errorf("upstream address %q: write host:port: %w", cfg.Upstream, err))
	}
	l := &Link{cfg: cfg, relay: relay, codec: c, upstream: up, openedAt: time.Now(), sessions: map[netip.AddrPort]*session{}}
	if err := l.bind(); err != nil {
		return bad(err)
	}
	l.ctx, l.stop = context.WithCancel(context.Background())
	l.delayed.open(l)
	l.kernel.open(up.AddrPort())
	conn := l.conn
	l.wg.Go(func() { l.receive(conn) })
	l.wg.Go(l.expireIdle)
	return l, nil
}

func orDefault[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

// bind opens the port, for DNS also for TCP. It retries because a port that is free for UDP may be in use for
// TCP.
func (l *Link) bind() error {
	for attempt := 0; ; attempt++ {
		conn, err := listen(l.cfg.Listen, nil)
		if err != nil {
			return err
		}
		l.conn, l.addr = conn, conn.LocalAddr().String()
		if !l.codec.overTCP {
			return nil
		}
		l.tcp, err = link.Open(link.Config{Name: l.cfg.Name, Listen: l.addr, Upstream: l.cfg.Upstream})
		if err == nil {
			return nil
		}
		_ = conn.Close()
		if attempt == 100 || l.addr == l.cfg.Listen {
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
	_ = conn.SetReadBuffer(socketBuffer) // as much as the kernel grants
	return conn, nil
}

// Addr returns the address for clients, host:port. It does not change when the port is refused and healed.
func (l *Link) Addr() string { return l.addr }

// Relay returns the relay, which holds the rules, evidence and accounting of the link.
func (l *Link) Relay() *message.Relay { return l.relay }

// Counters returns the totals so far.
func (l *Link) Counters() Counters {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Counters{Opened: int64(l.lastID), Live: int64(len(l.sessions)), Evicted: l.evicted.Load(), Refused: l.refused.Load(), Errors: l.failed.Load()} //nolint:gosec // counts
}

// Close closes the link and drops held datagrams. It returns after all goroutines of the link have ended.
// Further calls do nothing.
func (l *Link) Close() error {
	l.mu.Lock()
	l.closed = true
	l.closePort()
	if l.reserved != nil {
		_ = l.reserved.Close()
		l.reserved = nil
	}
	l.mu.Unlock()
	l.stop()
	var err error
	if l.tcp != nil {
		err = l.tcp.Close()
	}
	l.wg.Wait()
	l.delayed.dropAll()
	return err
}

// closePort closes the port and ends all sessions. l.mu is held.
func (l *Link) closePort() {
	if l.conn != nil {
		l.kernel.countClosed(l.conn)
		_ = l.conn.Close()
		l.conn = nil
	}
	for _, s := range l.sessions {
		l.endSession(s)
	}
}

// receive reads datagrams from clients.
func (l *Link) receive(conn *net.UDPConn) {
	buf := make([]byte, maxDatagram)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue // of an earlier datagram: the port of a client is closed
		}
		s, err := l.session(conn, from)
		if err != nil {
			ticket := l.relay.Received(message.ToServer)
			ticket.End(message.Collateral)
			l.countFailure(err)
			continue
		}
		l.handle(s, message.ToServer, buf[:n])
	}
}

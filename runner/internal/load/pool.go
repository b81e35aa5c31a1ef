package load

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios"
)

// pool keeps idle connections of the load generator and decides which of them may carry a further
// request.
//
// A server closes a connection that has been idle for too long, and does not need to announce its
// timeout. A client that writes at that moment gets a reset for a request that was never read. That
// is an error of the client and not a failure of the system. The pool therefore reuses a connection
// only if the server certainly keeps it open:
//
//   - It has been idle at most half as long as another connection to the same address was seen idle
//     and open. The first connection that becomes idle is set aside as a probe: it carries no further
//     request and is watched until the server closes it or it has been open for long enough. If the
//     server closes an idle connection, because of its timeout, a restart or a fault, the pool
//     discards its observations and sets another probe aside. The shortest idle time after which the
//     server closed a connection also remains a limit, until a probe was open for long enough.
//   - It has been idle at most maxIdle (usualIdle, unless the load defines it), and at most half of the timeout that the server announces
//     (Keep-Alive: timeout=N).
//   - It has been idle at least minIdle. A server that closes after its answer without announcing it
//     has done so within that time.
//   - It has nothing to read at the moment of reuse, neither data nor an end of file.
//
// Two cases remain: a server that closes in the microseconds between the last check and the arrival
// of the request, for a reason other than idle time, and a machine that suspends this process in
// between. If the kernel proves that the server had closed before any byte of the request arrived
// (see countingConn.unread), the request is sent again on a new connection. It counts as one request
// on the wire, and the lost one is counted in journal.Load.Stale. If the request was sent later than
// the connection was safe to use, the failure is the generator's own (lateReuse). Any other failure
// is attributed to the system: a reset caused by a fault or a crash looks the same and must not be
// hidden.
//
// A load may limit how long idle connections are kept (the probe stays open for twice that time), or request a new
// connection for each attempt.
type pool struct {
	trust    Trust
	fresh    bool          // no connection is reused
	maxIdle  time.Duration // how long an idle connection is kept at most
	timed    bool          // idle connections are closed on time, even if no request follows
	watching sync.WaitGroup

	mu     sync.Mutex
	hosts  map[string]*host
	closed bool
}

const (
	usualIdle     = 500 * time.Millisecond // half of the shortest idle timeout that servers commonly use
	minIdle       = 5 * time.Millisecond
	checkInterval = 10 * time.Millisecond
	minProof      = 40 * time.Millisecond // a shorter observation proves nothing: the server's own timer may be late
)

// host is what the pool knows about one address.
type host struct {
	maxIdle   time.Duration // see pool
	idle      []*pooledConn // longest idle first
	probe     *pooledConn   // idle and watched, never reused; may be nil
	checkedAt time.Time     // when the probe was last checked
	proven    time.Duration // how long the probe was seen open
	shortest  time.Duration // shortest idle time after which the server closed a connection; 0 if not known
	announced time.Duration // timeout announced by Keep-Alive; 0 if none
}

// pooledConn is a connection that may carry several requests, one at a time.
type pooledConn struct {
	net.Conn
	raw       *countingConn
	read      *bufio.Reader
	write     *bufio.Writer
	idleSince time.Time // start of the idle time
	wroteAt   time.Time // when the last request had been written
	safeUntil time.Time // reuse after this time is not safe
	reused    bool
}

// countingConn counts the bytes written to and read from a connection, below TLS.
type countingConn struct {
	net.Conn
	wrote, got int64
}

func (c *countingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.got += int64(n)
	return n, err
}

func (c *countingConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.wrote += int64(n)
	return n, err
}

func newPool(t Trust, l *scenarios.Load) *pool {
	return &pool{trust: t, fresh: l.NewConnections, maxIdle: cmp.Or(l.CloseIdle, usualIdle), timed: l.CloseIdle > 0, hosts: map[string]*host{}}
}

// take returns a connection to an address: a kept one that is certainly open, or a new one.
func (p *pool) take(ctx context.Context, address string) (*pooledConn, error) {
	if k := p.reuse(address); k != nil {
		return k, nil
	}
	return p.dial(ctx, address)
}

func (p *pool) dial(ctx context.Context, address string) (*pooledConn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, classifyDialError(err)
	}
	k := &pooledConn{raw: &countingConn{Conn: conn}}
	k.Conn = k.raw
	if cfg := p.trust[address]; cfg != nil {
		cfg = cfg.Clone()
		if cfg.ServerName == "" {
			cfg.ServerName, _, _ = net.SplitHostPort(address)
		}
		secure := tls.Client(k.raw, cfg)
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			return nil, phaseError{err, failedTLS}
		}
		k.Conn = secure
	}
	k.read, k.write = bufio.NewReader(k.Conn), bufio.NewWriter(k.Conn)
	return k, nil
}

func (p *pool) reuse(address string) *pooledConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.host(address)
	now := time.Now()
	h.check(now)
	h.drop(now)
	for i := len(h.idle) - 1; i >= 0; i-- {
		k := h.idle[i]
		if now.Sub(k.idleSince) < minIdle {
			continue
		}
		h.idle = append(h.idle[:i], h.idle[i+1:]...)
		if open(k.raw.Conn) {
			k.reused, k.safeUntil = true, k.idleSince.Add(h.limit())
			return k
		}
		_ = k.Close()
		h.invalidate(now.Sub(k.idleSince))
	}
	return nil
}

// put keeps a connection for a further request. header is the header of the last answer.
func (p *pool) put(address string, k *pooledConn, header http.Header) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.fresh {
		_ = k.Close()
		return
	}
	h := p.host(address)
	if d, ok := announced(header); ok {
		h.announced = d
	}
	k.idleSince = time.Now()
	if h.probe == nil && h.proven < 2*h.maxIdle {
		h.probe, h.proven, h.checkedAt = k, 0, k.idleSince
		p.watching.Go(func() { p.watch(h, k) })
		return
	}
	h.drop(k.idleSince)
	h.idle = append(h.idle, k)
	if p.timed {
		time.AfterFunc(p.maxIdle+time.Millisecond, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			h.drop(time.Now())
		})
	}
}

func (p *pool) host(address string) *host {
	h := p.hosts[address]
	if h == nil {
		h = &host{maxIdle: p.maxIdle}
		p.hosts[address] = h
	}
	return h
}

// watch checks the probe until the server closes it or it was open for long enough.
func (p *pool) watch(h *host, k *pooledConn) {
	every := time.NewTicker(checkInterval)
	defer every.Stop()
	for p.checkProbe(h, k) {
		<-every.C
	}
	_ = k.Close()
}

// checkProbe checks a probe once and reports whether to continue.
func (p *pool) checkProbe(h *host, k *pooledConn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if h.probe != k {
		return false
	}
	h.check(time.Now())
	if h.proven >= 2*h.maxIdle {
		h.probe, h.shortest = nil, 0
	}
	return h.probe == k
}

// check updates how long the probe has been open, or notes that the server has closed it. The time
// since the previous check counts as checkInterval at most: while this process did not run, the state
// of the connection is not known, and a server that did not run either could not close it.
func (h *host) check(now time.Time) {
	switch {
	case h.probe == nil:
	case open(h.probe.raw.Conn):
		h.proven += min(now.Sub(h.checkedAt), checkInterval)
		h.checkedAt = now
	default:
		h.invalidate(h.proven)
	}
}

// invalidate discards what is known about an address, since its server closed a connection that had
// been idle for so long.
func (h *host) invalidate(idle time.Duration) {
	if idle = max(idle, 1); h.shortest == 0 || idle < h.shortest {
		h.shortest = idle
	}
	h.proven, h.probe = 0, nil // watch closes the probe
}

// limit returns how long a connection may have been idle and still be reused.
func (h *host) limit() time.Duration {
	if h.proven < minProof {
		return 0
	}
	d := min(h.maxIdle, h.proven/2)
	for _, closes := range []time.Duration{h.announced, h.shortest} {
		if closes > 0 {
			d = min(d, closes/2)
		}
	}
	return d
}

// drop closes the connections that have been idle for too long.
func (h *host) drop(now time.Time) {
	limit := h.limit()
	n := 0
	for n < len(h.idle) && now.Sub(h.idle[n].idleSince) > limit {
		_ = h.idle[n].Close()
		n++
	}
	if n > 0 {
		h.idle = append(h.idle[:0], h.idle[n:]...)
	}
}

// close closes the idle connections. It may be called twice.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	for _, h := range p.hosts {
		for _, k := range h.idle {
			_ = k.Close()
		}
		h.idle, h.probe = nil, nil
	}
	p.mu.Unlock()
	p.watching.Wait()
}

// announced returns how long a server states that it keeps an idle connection, as in "Keep-Alive:
// timeout=5, max=100".
func announced(header http.Header) (time.Duration, bool) {
	for part := range strings.SplitSeq(header.Get("Keep-Alive"), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if s, err := strconv.Atoi(strings.TrimSpace(value)); strings.EqualFold(name, "timeout") && err == nil && s > 0 {
			return time.Duration(min(s, 3600)) * time.Second, true
		}
	}
	return 0, false
}

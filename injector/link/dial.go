package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/firedrill-dev/firedrill/injector/link/internal/socket"
)

// dial is open with the signature that relays need.
func (c *conn) dial(ctx context.Context) (net.Conn, error) {
	up, err := c.open(ctx)
	if err != nil {
		return nil, err
	}
	return up, nil
}

// open dials the upstream, after waiting until the path to it is not cut off.
func (c *conn) open(ctx context.Context) (*upstream, error) {
	c.activity.dialingSince.CompareAndSwap(0, nanotime())
	if err := c.awaitPath(ctx); err != nil {
		return nil, err
	}
	l := c.link
	up, err := c.dialUpstream(ctx)
	if err == nil && l.cfg.ProxyProtocol != "" {
		err = c.announce(up)
	}
	c.activity.dialingSince.Store(0)
	if err != nil {
		if up != nil {
			_ = up.Close()
		}
		l.countDialError(ctx, err)
		return nil, fmt.Errorf("dial %s for link %q: %w", l.cfg.Upstream, l.cfg.Name, err)
	}
	sock, err := socket.New(up)
	if err != nil {
		return nil, err
	}
	return &upstream{Conn: sock, client: c}, nil
}

// awaitPath waits until no fault cuts the path to the server, and counts each cut that it waited for.
func (c *conn) awaitPath(ctx context.Context) error {
	l := c.link
	began := time.Now()
	var notice <-chan time.Time
	cuts := map[*stage]*mark{} // cuts that it has waited for
	for {
		if time.Since(began) >= noticeable {
			for s, m := range cuts {
				m.touch(s)
			}
		}
		l.mu.Lock()
		cut, changed := false, l.changed
		for _, s := range l.stages {
			if !s.hold || s.dir == ToClient || !s.picks(c) {
				continue
			}
			cut = true
			cuts[s] = c.mark(s)
			cuts[s].see(s)
		}
		l.mu.Unlock()
		if !cut {
			return nil
		}
		if notice == nil {
			notice = time.After(noticeable)
		}
		select {
		case <-changed:
		case <-notice:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// dialUpstream dials the upstream and retries while a local limit is hit, for at most dialTimeout. A
// local shortage must not look like an upstream that is down.
func (c *conn) dialUpstream(ctx context.Context) (net.Conn, error) {
	l := c.link
	network, address := network(l.cfg.Upstream)
	began, counted := time.Now(), false
	for {
		dialer := net.Dialer{Timeout: l.cfg.dialTimeout - time.Since(began), KeepAlive: -1, Resolver: l.cfg.resolver}
		up, err := dialer.DialContext(ctx, network, address)
		if err == nil || !socket.IsLocalLimit(err) {
			return up, err
		}
		if !counted {
			counted = true
			l.countLocalLimit(err)
			l.shortages.Add(1)
			defer l.shortages.Add(-1)
		}
		if time.Since(began)+retryPause >= l.cfg.dialTimeout || !pause(ctx, retryPause) {
			return nil, err
		}
	}
}

// retryPause is the pause after a limit of this machine was hit. The kernel keeps connections in the
// backlog meanwhile.
const retryPause = 5 * time.Millisecond

// pause waits for d. It returns false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// countLocalLimit counts a failure at a local limit and keeps its text.
func (l *Link) countLocalLimit(err error) {
	l.localLimits.Add(1)
	text := err.Error()
	l.localLimitError.Store(&text)
}

// countDialError counts a failed dial. A dial that the client canceled, or that hit a local limit,
// does not count: the upstream did not cause it.
func (l *Link) countDialError(ctx context.Context, err error) {
	if ctx.Err() != nil || socket.IsLocalLimit(err) {
		return
	}
	l.dialErrors.Add(1)
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT) { // ENOENT: a Unix socket without a server
		l.refused.Add(1)
		refusedDials.Add(1)
	}
}

// refusedDials counts the refused dials of all links, including those of awaitRefusal.
var refusedDials atomic.Int64

// announce sends the PROXY protocol header to the upstream.
func (c *conn) announce(up net.Conn) error {
	header, err := proxyHeader(c.link.cfg.ProxyProtocol, c.RemoteAddr(), c.LocalAddr())
	if err == nil {
		_, err = up.Write(header)
	}
	return err
}

// proxyVersions are the versions of the PROXY protocol by name in Config.
var proxyVersions = map[string]byte{"v1": 1, "v2": 2}

func checkProxyProtocol(version string) error {
	if version != "" && proxyVersions[version] == 0 {
		return fmt.Errorf("unknown PROXY protocol %q: use v1 or v2", version)
	}
	return nil
}

// proxyHeader returns a header that announces the client's address, from, and the address that it
// connected to, to. A client on a Unix socket has no address; the header then declares the connection
// as the proxy's own.
func proxyHeader(version string, from, to net.Addr) ([]byte, error) {
	if _, ok := from.(*net.UnixAddr); ok {
		from = nil
	}
	return proxyproto.HeaderProxyFromAddrs(proxyVersions[version], from, to).Format()
}

package link

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// refusedDials counts the refused dials of all links, including those of awaitRefusal.
var refusedDials atomic.Int64

// retryPause is the pause after a limit of this machine was hit. The kernel keeps connections in the
// backlog meanwhile.
const retryPause = 5 * time.Millisecond

// isLocalLimit reports whether a system call failed at a limit of this process or machine, such as
// descriptors, buffers, memory or local ports. Such an error does not concern the peer.
func isLocalLimit(err error) bool {
	for _, limit := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, limit) {
			return true
		}
	}
	var lookup *net.DNSError // holds only the text of the underlying error
	if errors.As(err, &lookup) && strings.Contains(lookup.Err, syscall.EMFILE.Error()) {
		return true
	}
	return errors.Is(err, syscall.EADDRNOTAVAIL) && !isIPv6Missing(err)
}

// isIPv6Missing reports whether EADDRNOTAVAIL means that the machine has no IPv6, as when "localhost"
// is dialled, and not that it has run out of local ports.
func isIPv6Missing(err error) bool {
	var op *net.OpError
	if !errors.As(err, &op) || op.Addr == nil {
		return false
	}
	at, perr := netip.ParseAddrPort(op.Addr.String())
	return perr == nil && at.Addr().Is6()
}

// countLocalLimit counts a failure at a local limit and keeps its text.
func (l *Link) countLocalLimit(err error) {
	l.localLimits.Add(1)
	text := err.Error()
	l.localLimitError.Store(&text)
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
		if err == nil || !isLocalLimit(err) {
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

// countDialError counts a failed dial. A dial that the client canceled, or that hit a local limit,
// does not count: the upstream did not cause it.
func (l *Link) countDialError(ctx context.Context, err error) {
	if ctx.Err() != nil || isLocalLimit(err) {
		return
	}
	l.dialErrors.Add(1)
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT) { // ENOENT: a Unix socket without a server
		l.refused.Add(1)
		refusedDials.Add(1)
	}
}

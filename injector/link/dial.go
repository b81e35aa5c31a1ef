package link

import (
	"context"
	"fmt"
	"net"
	"time"
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
func (c *conn) open(ctx context.Context) (*socket, error) {
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
	sock, err := newSocket(up)
	if err == nil {
		sock.owner = c
	}
	return sock, err
}

// announce sends the PROXY protocol header to the upstream.
func (c *conn) announce(up net.Conn) error {
	header, err := proxyHeader(c.link.cfg.ProxyProtocol, c.RemoteAddr(), c.LocalAddr())
	if err == nil {
		_, err = up.Write(header)
	}
	return err
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

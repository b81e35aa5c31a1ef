package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"syscall"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// Reset says which connections are reset, and when.
type Reset struct {
	ID         string
	Share      float64 // of connections; 0 means all
	AfterBytes int64   // after so many bytes in both directions together, from now on; 0 means at once
	Seed       uint64
	Count      *evidence.Counter // connections
}

// Reset sends RST both ways: on live connections, and on new ones while the fault is live.
func (l *Link) Reset(r Reset) (Heal, error) {
	if r.AfterBytes < 0 || !isShare(r.Share) {
		return nil, fmt.Errorf("reset link %q after %d bytes, share %v: bytes must not be negative and a share lies between 0 and 1", l.cfg.Name, r.AfterBytes, r.Share)
	}
	rule := &r
	l.mu.Lock()
	l.resets = append(l.resets, rule)
	conns := l.live()
	l.mu.Unlock()
	for _, c := range conns {
		c.arm(rule)
	}
	return func(context.Context) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.resets = slices.DeleteFunc(l.resets, func(other *Reset) bool { return other == rule })
		for c := range l.conns {
			c.disarm(rule)
		}
		return nil
	}, nil
}

// arm makes a reset wait for its bytes on this connection, if it picks it.
func (c *conn) arm(r *Reset) {
	r.Count.See(1)
	if !picks(r.Share, r.Seed, c.link.cfg.Name, r.ID, c.id) {
		return
	}
	if r.AfterBytes == 0 {
		r.Count.Touch(1)
		_ = c.Reset()
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	after := *r
	after.AfterBytes += c.passed.Load()
	c.resets = append(c.resets, &after)
	c.armed.Store(true)
}

func (c *conn) disarm(r *Reset) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.resets = slices.DeleteFunc(c.resets, func(other *Reset) bool { return other.ID == r.ID && other.Count == r.Count })
	c.armed.Store(len(c.resets) > 0)
}

// count notes n bytes, and resets the connection when a reset waited for them.
func (c *conn) count(n int64) {
	passed := c.passed.Add(n)
	if !c.armed.Load() {
		return
	}
	c.mu.Lock()
	i := slices.IndexFunc(c.resets, func(r *Reset) bool { return passed >= r.AfterBytes })
	var rule *Reset
	if i >= 0 {
		rule = c.resets[i]
		c.resets = nil
		c.armed.Store(false)
	}
	c.mu.Unlock()
	if rule != nil && !c.over.Load() {
		rule.Count.Touch(1)
		_ = c.Reset()
	}
}

// Refuse closes the port, so that clients get ECONNREFUSED from the operating system, and resets the connections that live, as the end of a
// listening process does. Heal opens the same port again.
//
// The kernel answers refused connects by itself and counts them nowhere that an unprivileged process may read. The evidence is
// therefore: each live connection that was reset, and one connect of our own that was refused.
func (l *Link) Refuse(count *evidence.Counter) (Heal, error) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil, fmt.Errorf("refuse connections on link %q: it is closed", l.cfg.Name)
	}
	l.refuses++
	if l.ln != nil {
		_ = l.ln.Close()
		l.ln = nil
		l.held = reserve(l.addr)
	}
	conns := l.live()
	l.mu.Unlock()
	for _, c := range conns {
		count.See(1)
		count.Touch(1)
		_ = c.Reset()
	}
	probe, err := net.DialTimeout("tcp", l.addr, time.Second)
	count.See(1)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		count.Touch(1)
	case err == nil:
		_ = probe.Close()
	}
	healed := false
	return func(context.Context) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if healed {
			return nil
		}
		healed = true
		l.refuses--
		return l.reopen()
	}, nil
}

// reopen listens on the link's port again, when nothing refuses any longer; l.mu is held.
func (l *Link) reopen() error {
	if l.closed || l.refuses > 0 || l.ln != nil {
		return nil
	}
	l.held.release()
	l.held = nil
	ln, err := net.Listen("tcp", l.addr)
	if err != nil {
		return fmt.Errorf("open the port of link %q again: %w", l.cfg.Name, err)
	}
	l.ln = ln
	l.wg.Go(func() { l.accept(ln) })
	return nil
}

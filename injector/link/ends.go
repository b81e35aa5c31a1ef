package link

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// Close ends connections in order after so many bytes.
type Close struct {
	On
	Dir        Dir
	AfterBytes int64 // in each direction that Dir names, exactly, from when the fault comes; 0 closes at the first byte, which does not pass
}

// CloseAfter puts an early end on the link: FIN both ways behind the last byte that may pass.
func (l *Link) CloseAfter(f Close) (Heal, error) {
	if f.AfterBytes < 0 {
		return nil, fmt.Errorf("close connections of link %q after %d bytes: the number must not be negative", l.cfg.Name, f.AfterBytes)
	}
	if err := f.check("close connections", l.cfg.Name); err != nil {
		return nil, err
	}
	return l.add(f.On, &stage{dir: f.Dir, whole: true, make: func(*conn, Dir) shape {
		left := &atomic.Int64{}
		left.Store(f.AfterBytes)
		return &budget{left: left, end: errClose}
	}}), nil
}

// budget lets so many bytes pass and brings an end behind them.
type budget struct {
	plain
	left *atomic.Int64
	end  error
}

func (b *budget) piece() int {
	if left := b.left.Load(); left > 0 {
		return int(min(left, 1<<30))
	}
	return nothing
}

func (b *budget) passed(n int, _ time.Time) error {
	if b.left.Add(-int64(n)) <= 0 {
		return b.end
	}
	return nil
}

// SlowClose delays the end of connections, and nothing else.
type SlowClose struct {
	On
	Dir Dir
	By  time.Duration
}

// CloseSlowly puts a late end on the link: FIN and RST arrive so much later.
func (l *Link) CloseSlowly(f SlowClose) (Heal, error) {
	if f.By <= 0 || f.By > longest {
		return nil, fmt.Errorf("close connections of link %q %v late: the delay must be positive and at most %v", l.cfg.Name, f.By, longest)
	}
	if err := f.check("close connections slowly", l.cfg.Name); err != nil {
		return nil, err
	}
	return l.add(f.On, &stage{dir: f.Dir, whole: true, least: 1, make: func(*conn, Dir) shape { return lateEnd{by: f.By} }}), nil
}

type lateEnd struct {
	plain
	by time.Duration
}

func (s lateEnd) due(arrived time.Time, n int) (time.Time, bool) {
	if n > 0 {
		return arrived, false
	}
	return arrived.Add(s.by), false
}

// Reset says which connections are reset, and when: at once, or after bytes or a time.
type Reset struct {
	On
	AfterBytes int64         // in both directions together, from when the fault comes; 0 means that no bytes are waited for
	After      time.Duration // from when the fault comes, or the connection
}

// Reset sends RST both ways: on live connections, and on new ones while the fault is live. It counts connections.
func (l *Link) Reset(f Reset) (Heal, error) {
	switch {
	case f.AfterBytes < 0 || f.After < 0 || f.After > longest:
		return nil, fmt.Errorf("reset connections of link %q after %d bytes or %v: neither may be negative, nor the time above %v", l.cfg.Name, f.AfterBytes, f.After, longest)
	case f.AfterBytes > 0 && f.After > 0:
		return nil, fmt.Errorf("reset connections of link %q after %d bytes and after %v: it is one or the other", l.cfg.Name, f.AfterBytes, f.After)
	}
	if err := f.check("reset connections", l.cfg.Name); err != nil {
		return nil, err
	}
	if f.AfterBytes > 0 {
		return l.resetAfterBytes(f), nil
	}
	l.mu.Lock()
	r := &reset{chooser: l.chooser(f.On), after: f.After}
	l.resets = append(l.resets, r)
	conns := l.live()
	l.mu.Unlock()
	for _, c := range conns {
		c.arm(r)
	}
	return func(context.Context) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.resets = slices.DeleteFunc(slices.Clone(l.resets), func(other *reset) bool { return other == r })
		r.healed.Store(true)
		return nil
	}, nil
}

func (l *Link) resetAfterBytes(f Reset) Heal {
	s := &stage{whole: true}
	s.make = func(c *conn, _ Dir) shape { return &budget{left: c.left(s, f.AfterBytes), end: errReset} }
	return l.add(f.On, s)
}

// left is what a stage lets pass in both directions of the connection together; link.mu is held.
func (c *conn) left(s *stage, bytes int64) *atomic.Int64 {
	m := c.mark(s)
	if m.left == nil {
		m.left = &atomic.Int64{}
		m.left.Store(bytes)
	}
	return m.left
}

// reset is a live Reset that waits for no bytes.
type reset struct {
	chooser
	after  time.Duration
	healed atomic.Bool
}

// arm resets a connection, now or when its time comes, if the reset picks it.
func (c *conn) arm(r *reset) {
	r.Count.See(1)
	if !r.picks(c.link.cfg.Name, c.id) {
		return
	}
	if r.after == 0 {
		c.strike(r)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over.Load() {
		c.timers = append(c.timers, time.AfterFunc(r.after, func() { c.strike(r) }))
	}
}

func (c *conn) strike(r *reset) {
	if r.healed.Load() || c.over.Load() {
		return
	}
	r.Count.Touch(1)
	r.Count.Connection()
	_ = c.Reset()
}

package link

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// Reset selects the connections to reset and the time: at once, after a number of bytes, or after a
// delay.
type Reset struct {
	On
	// AfterBytes counts both directions together from when the fault is added. 0 means not to wait for bytes.
	AfterBytes int64
	After      time.Duration // from when the fault is added or the connection is accepted
}

// Reset sends RST in both directions, on live connections and on those accepted while the fault is
// live. It counts connections. A connection is affected if it is new or in use, that is, if it carried
// bytes within the last second or its client has an unanswered request. Otherwise it is idle.
func (l *Link) Reset(f Reset) (Heal, error) {
	switch {
	case f.AfterBytes < 0 || f.After < 0 || f.After > maxDelay:
		return nil, fmt.Errorf("reset connections of link %q after %d bytes or %v: neither may be negative, nor the time above %v", l.cfg.Name, f.AfterBytes, f.After, maxDelay)
	case f.AfterBytes > 0 && f.After > 0:
		return nil, fmt.Errorf("reset connections of link %q after %d bytes and after %v: set only one of them", l.cfg.Name, f.AfterBytes, f.After)
	}
	if err := f.check("reset connections", l.cfg.Name); err != nil {
		return nil, err
	}
	if f.AfterBytes > 0 {
		return l.resetAfterBytes(f), nil
	}
	l.mu.Lock()
	r := &reset{chooser: l.newChooser(f.On), after: f.After}
	l.resets = append(l.resets, r)
	conns := l.liveConns()
	l.mu.Unlock()
	for _, c := range conns {
		c.arm(r)
	}
	return func(context.Context) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.resets = slices.DeleteFunc(slices.Clone(l.resets), func(other *reset) bool { return other == r })
		r.healed.Store(true)
		for c := range l.conns {
			c.cancelTimer(r)
		}
		return nil
	}, nil
}

func (l *Link) resetAfterBytes(f Reset) Heal {
	s := &stage{perConnection: true, byteBudget: f.AfterBytes}
	s.newShape = func(c *conn, _ Dir) shape { return &budget{remaining: &c.mark(s).bytesLeft, end: errReset} }
	return l.add(f.On, s)
}

// reset is a live Reset that does not wait for bytes.
type reset struct {
	chooser
	after  time.Duration
	healed atomic.Bool
}

// arm resets a selected connection, now or after the delay.
func (c *conn) arm(r *reset) {
	r.Count.See(1)
	if !r.picks(c.link.cfg.Name, c.id) {
		return
	}
	if r.after == 0 {
		c.fireReset(r)
		return
	}
	c.startTimer(r, r.after, func() { c.fireReset(r) })
}

func (c *conn) fireReset(r *reset) {
	if r.healed.Load() || c.closed.Load() {
		return
	}
	if r.after == 0 && c.id > r.lastID { // a client that has just connected is about to use the connection
		r.Count.Touch(1)
		r.Count.Connection()
		_ = c.Reset()
		return
	}
	c.resetAndCount(r.Count)
}

package link

import (
	"fmt"
	"sync/atomic"
	"time"
)

// EarlyClose closes connections gracefully after a number of bytes.
type EarlyClose struct {
	On
	Dir Dir
	// AfterBytes is the number of bytes, in each direction of Dir, that pass after the fault is added. The limit
	// is exact. With 0, the first byte closes the connection and is not passed on.
	AfterBytes int64
}

// CloseAfter adds an early close to the link: FIN in both directions after the last byte that may
// pass.
func (l *Link) CloseAfter(f EarlyClose) (Heal, error) {
	if f.AfterBytes < 0 {
		return nil, fmt.Errorf("close connections of link %q after %d bytes: the number must not be negative", l.cfg.Name, f.AfterBytes)
	}
	if err := f.check("close connections", l.cfg.Name); err != nil {
		return nil, err
	}
	return l.add(f.On, &stage{dir: f.Dir, perConnection: true, newShape: func(*conn, Dir) shape {
		left := &atomic.Int64{}
		left.Store(f.AfterBytes)
		return &budget{remaining: left, end: errClose}
	}}), nil
}

// budget passes a number of bytes and then ends the direction.
type budget struct {
	passThrough
	remaining *atomic.Int64
	end       error
}

func (b *budget) maxPiece() int {
	if left := b.remaining.Load(); left > 0 {
		return int(min(left, 1<<30))
	}
	return blocked
}

func (b *budget) passed(n int, _ time.Time) error {
	if b.remaining.Add(-int64(n)) <= 0 {
		return b.end
	}
	return nil
}

// SlowClose delays the close of connections and nothing else.
type SlowClose struct {
	On
	Dir Dir
	By  time.Duration
}

// CloseSlowly adds a delay to FIN and RST.
func (l *Link) CloseSlowly(f SlowClose) (Heal, error) {
	if f.By <= 0 || f.By > maxDelay {
		return nil, fmt.Errorf("close connections of link %q %v late: the delay must be positive and at most %v", l.cfg.Name, f.By, maxDelay)
	}
	if err := f.check("close connections slowly", l.cfg.Name); err != nil {
		return nil, err
	}
	return l.add(f.On, &stage{dir: f.Dir, perConnection: true, minHeld: 1, newShape: func(*conn, Dir) shape { return lateEnd{by: f.By} }}), nil
}

type lateEnd struct {
	passThrough
	by time.Duration
}

func (s lateEnd) due(arrived time.Time, n int) (time.Time, bool) {
	if n > 0 {
		return arrived, false
	}
	return arrived.Add(s.by), false
}

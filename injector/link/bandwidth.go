package link

import (
	"fmt"
	"sync"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// Bandwidth limits bytes per second.
type Bandwidth struct {
	On
	Dir    Dir
	Rate   int64 // bytes per second, for each direction by itself
	Shared bool  // by all connections; false means for each
}

// Limit puts a bandwidth on the link. Chunks are affected when they wait for a millisecond.
func (l *Link) Limit(b Bandwidth) (Heal, error) {
	if b.Rate <= 0 {
		return nil, fmt.Errorf("limit link %q to %d bytes per second: the rate must be positive; to stop traffic, cut the link off", l.cfg.Name, b.Rate)
	}
	if err := b.check("limit traffic", l.cfg.Name); err != nil {
		return nil, err
	}
	var lines [3]line // by direction
	return l.add(b.On, &stage{dir: b.Dir, least: time.Millisecond, make: func(_ *conn, d Dir) shape {
		if b.Shared {
			return &part{rate: b.Rate, line: &lines[d]}
		}
		return &bandwidth{rate: b.Rate}
	}}), nil
}

// worth is how long n bytes take at a rate.
func worth(n int, rate int64) time.Duration {
	return time.Duration(float64(n) / float64(rate) * float64(time.Second))
}

// burst is the largest piece that goes at once: 5 ms worth, so that two of them, which a reader may find together, are still 10.
func burst(rate int64) int { return int(max(1, rate/200)) }

// bandwidth lets pieces of at most 5 ms worth go, each when the line has had the time to carry it.
type bandwidth struct {
	rate int64
	free time.Time // the line is, from then on; idle time gives no credit
}

func (b *bandwidth) due(arrived time.Time, n int) (time.Time, bool) {
	return latest(arrived, b.free).Add(worth(n, b.rate)), false
}

func (b *bandwidth) piece() int                       { return burst(b.rate) }
func (b *bandwidth) passed(_ int, at time.Time) error { b.free = at; return nil }
func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// line is what the connections of a shared bandwidth share.
type line struct {
	mu   sync.Mutex
	free time.Time
}

// part is one connection's use of a shared line: its piece keeps its place once it has asked for one, so that pieces go in order of arrival.
type part struct {
	rate  int64
	line  *line
	place time.Time // when the piece at the head goes; zero before it asked
	size  int       // that it asked for
}

func (s *part) due(arrived time.Time, n int) (time.Time, bool) {
	if s.place.IsZero() || n > s.size {
		s.line.mu.Lock()
		s.place, s.size = latest(arrived, s.line.free).Add(worth(n, s.rate)), n
		s.line.free = s.place
		s.line.mu.Unlock()
	}
	return s.place, false
}

func (s *part) piece() int { return burst(s.rate) }

func (s *part) passed(int, time.Time) error {
	s.place = time.Time{}
	return nil
}

// Slices cuts what travels into small pieces.
type Slices struct {
	On
	Dir   Dir
	Size  int           // bytes of a piece
	Vary  int           // a piece has up to so many bytes more or less; below Size
	Apart time.Duration // between two pieces of a chunk; 0 sends them one behind the other
}

// Slice puts slicing on the link. Every piece is a write of its own; chunks of one piece are not affected.
func (l *Link) Slice(f Slices) (Heal, error) {
	if f.Size <= 0 || f.Vary < 0 || f.Vary >= f.Size || f.Apart < 0 || f.Apart > longest {
		return nil, fmt.Errorf("slice traffic on link %q into pieces of %d bytes, give or take %d, %v apart: the size must be positive, the variation below it, and the pause neither negative nor above %v",
			l.cfg.Name, f.Size, f.Vary, f.Apart, longest)
	}
	if err := f.check("slice traffic", l.cfg.Name); err != nil {
		return nil, err
	}
	s := &stage{dir: f.Dir, cuts: true}
	s.make = func(c *conn, d Dir) shape { return &slicer{Slices: f, seed: s.seedOf(c, d)} }
	return l.add(f.On, s), nil
}

// slicer lets pieces go, each so long after the one before.
type slicer struct {
	Slices
	seed uint64
	n    uint64    // of the piece, from 0
	free time.Time // when the next may go
}

func (s *slicer) piece() int {
	if s.Vary == 0 {
		return s.Size
	}
	return s.Size - s.Vary + int(evidence.Hash(s.seed, s.n, "piece")%uint64(2*s.Vary+1)) //nolint:gosec // small and positive
}

func (s *slicer) due(arrived time.Time, _ int) (time.Time, bool) {
	return latest(arrived, s.free), false
}

func (s *slicer) passed(_ int, at time.Time) error {
	s.n++
	s.free = at.Add(s.Apart)
	return nil
}

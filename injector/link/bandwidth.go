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
	Rate   int64 // bytes per second, for each direction separately
	Shared bool  // by all connections; false gives each connection the full rate
}

// Limit adds a bandwidth limit to the link. Chunks that wait for a millisecond or more are affected.
func (l *Link) Limit(b Bandwidth) (Heal, error) {
	if b.Rate <= 0 {
		return nil, fmt.Errorf("limit link %q to %d bytes per second: the rate must be positive; to stop traffic, cut the link off", l.cfg.Name, b.Rate)
	}
	if err := b.check("limit traffic", l.cfg.Name); err != nil {
		return nil, err
	}
	var lines [3]sharedLine // indexed by direction
	return l.add(b.On, &stage{dir: b.Dir, minHeld: time.Millisecond, newShape: func(_ *conn, d Dir) shape {
		if b.Shared {
			return &sharedBandwidth{rate: b.Rate, line: &lines[d]}
		}
		return &bandwidth{rate: b.Rate}
	}}), nil
}

// transferTime returns how long n bytes take at a rate.
func transferTime(n int, rate int64) time.Duration {
	return time.Duration(float64(n) / float64(rate) * float64(time.Second))
}

// burst returns the largest piece sent at once: 5 ms worth of bytes. Two of them, which a reader may
// find together, are then at most 10 ms worth.
func burst(rate int64) int { return int(max(1, rate/200)) }

// bandwidth is the shape of an unshared limit. It releases pieces of at most 5 ms worth, each when the
// line has had time to transfer it.
type bandwidth struct {
	rate   int64
	freeAt time.Time // when the line is free again; idle time gives no credit
}

func (b *bandwidth) due(arrived time.Time, n int) (time.Time, bool) {
	return latest(arrived, b.freeAt).Add(transferTime(n, b.rate)), false
}

func (b *bandwidth) maxPiece() int                    { return burst(b.rate) }
func (b *bandwidth) passed(_ int, at time.Time) error { b.freeAt = at; return nil }
func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// sharedLine is the state that the connections of a shared limit have in common.
type sharedLine struct {
	mu     sync.Mutex
	freeAt time.Time
}

// sharedBandwidth is one connection's use of a shared line. A piece keeps its slot on the line once it
// has reserved one, so that pieces leave in order of arrival.
type sharedBandwidth struct {
	rate     int64
	line     *sharedLine
	doneAt   time.Time // when the line has transferred everything reserved so far
	reserved int       // bytes reserved but not yet sent
}

func (s *sharedBandwidth) due(arrived time.Time, n int) (time.Time, bool) {
	if more := n - s.reserved; more > 0 {
		s.line.mu.Lock()
		s.line.freeAt = latest(arrived, s.line.freeAt).Add(transferTime(more, s.rate))
		s.doneAt, s.reserved = s.line.freeAt, n
		s.line.mu.Unlock()
	}
	return latest(arrived, s.doneAt), false
}

func (s *sharedBandwidth) maxPiece() int { return burst(s.rate) }

// passed gives no credit for time lost to a stalled receiver.
func (s *sharedBandwidth) passed(n int, at time.Time) error {
	s.reserved = max(0, s.reserved-n)
	s.line.mu.Lock()
	s.line.freeAt = latest(at, s.line.freeAt)
	s.line.mu.Unlock()
	return nil
}

// Slices cuts traffic into small pieces.
type Slices struct {
	On
	Dir   Dir
	Size  int           // bytes per piece
	Vary  int           // a piece may be this many bytes larger or smaller; less than Size
	Apart time.Duration // pause after each piece; 0 means no pause
}

// maxSliceSize is the largest Size.
const maxSliceSize = 1 << 30

// Slice adds slicing to the link. Each piece is written separately. Chunks that are cut or delayed are
// affected.
func (l *Link) Slice(f Slices) (Heal, error) {
	if f.Size <= 0 || f.Size > maxSliceSize || f.Vary < 0 || f.Vary >= f.Size || f.Apart < 0 || f.Apart > maxDelay {
		return nil, fmt.Errorf("slice traffic on link %q into pieces of %d bytes, give or take %d, %v apart: the size must be positive and at most %d, the variation below it, and the pause neither negative nor above %v",
			l.cfg.Name, f.Size, f.Vary, f.Apart, maxSliceSize, maxDelay)
	}
	if err := f.check("slice traffic", l.cfg.Name); err != nil {
		return nil, err
	}
	s := &stage{dir: f.Dir, countCuts: true, minHeld: 1}
	s.newShape = func(c *conn, d Dir) shape { return &slicer{Slices: f, seed: s.seedOf(c, d)} }
	return l.add(f.On, s), nil
}

// slicer is the shape of Slices.
type slicer struct {
	Slices
	seed   uint64
	n      uint64    // index of the current piece, from 0
	nextAt time.Time // when the next piece may leave
}

func (s *slicer) maxPiece() int {
	if s.Vary == 0 {
		return s.Size
	}
	return s.Size - s.Vary + int(evidence.Hash(s.seed, s.n, "piece")%uint64(2*s.Vary+1)) //nolint:gosec // small and positive
}

func (s *slicer) due(arrived time.Time, _ int) (time.Time, bool) {
	if s.Apart == 0 {
		return arrived, false
	}
	return latest(arrived, s.nextAt), false
}

func (s *slicer) passed(_ int, at time.Time) error {
	s.n++
	s.nextAt = at.Add(s.Apart)
	return nil
}

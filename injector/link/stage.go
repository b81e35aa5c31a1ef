package link

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// stage is a live stream fault.
type stage struct {
	chooser
	dir           Dir
	newOnly       bool          // acts only on connections accepted after the fault was added
	liveOnly      bool          // acts only on connections accepted before
	perConnection bool          // count each connection once, instead of each chunk
	hold          bool          // nothing passes
	discard       bool          // input is dropped
	countCuts     bool          // count a chunk as affected when it is cut
	minHeld       time.Duration // how long a chunk must be held to count as affected; 0 means never
	byteBudget    int64         // bytes that may pass in both directions together, kept in mark.bytesLeft
	// expireAfter closes a connection gracefully this long after the fault or the connection started; 0 means
	// never.
	expireAfter time.Duration
	toxic       *customToxic // a custom toxic, whose stubs do the counting; nil for other faults
	newShape    func(c *conn, d Dir) shape
	count       *evidence.Counter
}

// shape is the state of a stage in one direction of one connection. Its methods are called with the
// queue's lock held.
type shape interface {
	// due returns when n bytes that arrived at this stage may leave it; n is 0 for the end of the stream. If held
	// is set, they may not leave at all. due may be called any number of times for the same bytes.
	due(arrived time.Time, n int) (at time.Time, held bool)
	// maxPiece returns the largest number of bytes that may leave at once. 0 means no limit. blocked
	// means none, and that the next call of passed ends the direction.
	maxPiece() int
	// passed records that n bytes left at the given time. A non-nil end closes the direction after them.
	passed(n int, at time.Time) (end error)
}

// blocked is the result of maxPiece when no more bytes may pass.
const blocked = -1

// Errors with which a shape ends a direction.
var (
	errClose = errors.New("closed by a fault")
	errReset = errors.New("reset by a fault")
)

// picks reports whether the stage acts on a connection.
func (s *stage) picks(c *conn) bool {
	if (s.newOnly && c.id <= s.lastID) || (s.liveOnly && c.id > s.lastID) {
		return false
	}
	return s.chooser.picks(c.link.cfg.Name, c.id)
}

// seedOf returns a seed for one direction of one connection.
func (s *stage) seedOf(c *conn, d Dir) uint64 {
	return evidence.Hash(s.Seed, c.id, s.ID, strconv.Itoa(int(d)))
}

// add adds a stage to live and new connections.
func (l *Link) add(on On, s *stage) Heal {
	l.mu.Lock()
	s.chooser, s.count = l.newChooser(on), on.Count
	if s.newOnly {
		s.liveIDs = nil // number new connections only
	}
	if s.toxic != nil {
		s.count = nil
	}
	l.stages = append(slices.Clone(l.stages), s)
	l.reapply()
	if s.hold || s.discard {
		// Count the live connections as seen now. Traffic on them is counted when it arrives.
		for c := range l.conns {
			if s.picks(c) {
				c.mark(s).see(s)
			}
		}
	}
	l.mu.Unlock()
	return func(context.Context) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if i := slices.Index(l.stages, s); i >= 0 {
			l.stages = slices.Delete(slices.Clone(l.stages), i, i+1)
			l.reapply()
		}
		return nil
	}
}

// reapply applies the stages to every connection. l.mu must be held.
func (l *Link) reapply() {
	close(l.changed)
	l.changed = make(chan struct{})
	for c := range l.conns {
		c.apply(l.stages)
	}
}

// passThrough is a shape without any effect, for embedding in others.
type passThrough struct{}

func (passThrough) due(arrived time.Time, _ int) (time.Time, bool) { return arrived, false }
func (passThrough) maxPiece() int                                  { return 0 }
func (passThrough) passed(int, time.Time) error                    { return nil }

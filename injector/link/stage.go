package link

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// On selects the connections that a fault acts on, and the counter of its effects. The zero value
// selects all connections and counts nothing.
//
// A fault numbers connections from 1: first those that are live when it is added, in order of
// acceptance, and then the new ones. A fault that acts on new connections only numbers only those.
// Whether a connection is selected depends on this number, its ID and the seed. Adding or removing
// other faults therefore does not change it.
type On struct {
	ID    string // the fault's name; part of the random draw
	Seed  uint64
	Share float64           // of connections, drawn by hash; 0 means all
	First uint64            // only the first First connections; 0 means no limit
	From  uint64            // only connections from this number on; 0 means from the first
	Count *evidence.Counter // nil counts nothing
}

func (o On) check(what, link string) error {
	if !(o.Share >= 0 && o.Share <= 1) {
		return fmt.Errorf("%s on link %q for a share of %v of its connections: a share lies between 0 and 1", what, link, o.Share)
	}
	if o.First > 0 && o.From > o.First {
		return fmt.Errorf("%s on link %q for the first %d connections from the %s on: there are none", what, link, o.First, strconv.FormatUint(o.From, 10))
	}
	return nil
}

// chooser applies On to one link. It remembers which connections were live when the fault was added.
type chooser struct {
	On
	liveIDs []uint64 // IDs of the connections that were live, ascending
	lastID  uint64   // ID of the newest connection at that time
}

// newChooser returns a chooser that numbers connections from now on. l.mu must be held.
func (l *Link) newChooser(o On) chooser {
	w := chooser{On: o, lastID: l.ids}
	if o.First > 0 || o.From > 0 {
		for c := range l.conns {
			w.liveIDs = append(w.liveIDs, c.id)
		}
		slices.Sort(w.liveIDs)
	}
	return w
}

func (w *chooser) picks(link string, id uint64) bool {
	if w.First > 0 || w.From > 0 {
		n := w.number(id)
		if (w.First > 0 && n > w.First) || n < w.From {
			return false
		}
	}
	return w.Share <= 0 || w.Share >= 1 || evidence.Draw(w.Seed, id, link, w.ID, "connection") < w.Share
}

func (w *chooser) number(id uint64) uint64 {
	i, _ := slices.BinarySearch(w.liveIDs, id)
	if id > w.lastID {
		return uint64(i) + id - w.lastID
	}
	return uint64(i) + 1
}

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

// Cut is a cut-off: the connections it acts on are blackholed.
type Cut struct {
	On
	Dir Dir
}

// CutOff blackholes one direction or both. Nothing is read or written, and sockets stay open. New
// connections are accepted and receive nothing; the upstream is not dialled while the direction to it
// is cut. Heal releases what was held back, including FIN and RST.
//
// It counts connections. A connection is affected if bytes of it were held for a millisecond, or if
// its dial had to wait that long. It is idle if only its end was held and it was not in use.
func (l *Link) CutOff(f Cut) (Heal, error) {
	if err := f.check("cut off traffic", l.cfg.Name); err != nil {
		return nil, err
	}
	return l.add(f.On, &stage{dir: f.Dir, hold: true, perConnection: true, newShape: func(*conn, Dir) shape { return hold{} }}), nil
}

type hold struct{ passThrough }

func (hold) due(time.Time, int) (time.Time, bool) { return time.Time{}, true }

// passThrough is a shape without any effect, for embedding in others.
type passThrough struct{}

func (passThrough) due(arrived time.Time, _ int) (time.Time, bool) { return arrived, false }
func (passThrough) maxPiece() int                                  { return 0 }
func (passThrough) passed(int, time.Time) error                    { return nil }

// handshake is the first byte of a TLS client's first record (RFC 8446, section 5.1).
const handshake = 0x16

// StallTLS makes TLS handshakes hang. On new connections whose client starts TLS, no byte from the
// server arrives until the fault is healed.
func (l *Link) StallTLS(on On) (Heal, error) {
	if err := on.check("stall TLS handshakes", l.cfg.Name); err != nil {
		return nil, err
	}
	return l.add(on, &stage{dir: ToClient, newOnly: true, perConnection: true, newShape: func(c *conn, _ Dir) shape { return tlsStall{handshake: &c.tlsClient} }}), nil
}

type tlsStall struct {
	passThrough
	handshake *atomic.Bool
}

func (s tlsStall) due(arrived time.Time, _ int) (time.Time, bool) { return arrived, s.handshake.Load() }

// HalfOpen makes live connections half-open, as when a machine loses power or a firewall drops a
// connection. Everything that either side sends is discarded, including its FIN or RST, and both sides
// still consider themselves connected. New connections are not affected. Heal resets the selected
// connections, since a stream that lost bytes cannot continue.
//
// A connection is affected if something sent on it was discarded, and idle if Heal reset it without
// that.
func (l *Link) HalfOpen(on On) (Heal, error) {
	if err := on.check("leave connections half-open", l.cfg.Name); err != nil {
		return nil, err
	}
	s := &stage{liveOnly: true, discard: true, perConnection: true, newShape: func(*conn, Dir) shape { return hold{} }}
	heal := l.add(on, s)
	return func(ctx context.Context) error {
		for _, c := range l.chosen(s) {
			l.mu.Lock()
			m := c.mark(s)
			l.mu.Unlock()
			m.touchIdle(s) // has no effect if something was discarded
			_ = c.Reset()
		}
		return heal(ctx)
	}, nil
}

// chosen lists the live connections that a stage acts on.
func (l *Link) chosen(s *stage) []*conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(l.liveConns(), func(c *conn) bool { return !s.picks(c) })
}

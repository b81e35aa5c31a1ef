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

// On says which connections a fault acts on, and where that is told. The zero value acts on all and tells nobody.
//
// Connections are numbered for the fault: those that are live when it comes, in order of acceptance, and then the new ones; only these for a fault that
// acts on new ones only. Whether one is chosen depends on its number, its id and the seed, so it is never decided again when another fault comes or goes.
type On struct {
	ID    string // the fault's name; part of the draw
	Seed  uint64
	Share float64           // of connections, by hash; 0 means all
	First uint64            // only the first N; 0 means no limit
	From  uint64            // only from the From-th on; 0 means from the first
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

// mark is what a live stage knows of a connection as a whole.
type mark struct {
	seen, touched atomic.Bool
	left          *atomic.Int64 // what it lets pass in both directions together; nil when it counts none
}

// mark finds it, or makes it; link.mu is held.
func (c *conn) mark(s *stage) *mark {
	if c.marks[s] == nil {
		if c.marks == nil {
			c.marks = map[*stage]*mark{}
		}
		c.marks[s] = &mark{}
	}
	return c.marks[s]
}

// see counts a chunk, or the connection once.
func (m *mark) see(s *stage) {
	if !m.seen.Swap(true) || !s.whole {
		s.count.See(1)
	}
}

// touch is see for what was affected.
func (m *mark) touch(s *stage) {
	first := !m.touched.Swap(true)
	if first || !s.whole {
		s.count.Touch(1)
	}
	if first {
		s.count.Connection()
	}
}

// chooser is On at work on one link: it knows which connections were live when the fault came.
type chooser struct {
	On
	live []uint64 // ids of the connections that were live, ascending
	last uint64   // id of the newest connection then
}

// chooser numbers connections from now on; l.mu is held.
func (l *Link) chooser(o On) chooser {
	w := chooser{On: o, last: l.ids}
	if o.First > 0 || o.From > 0 {
		for c := range l.conns {
			w.live = append(w.live, c.id)
		}
		slices.Sort(w.live)
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
	i, _ := slices.BinarySearch(w.live, id)
	if id > w.last {
		return uint64(i) + id - w.last
	}
	return uint64(i) + 1
}

// stage is a live stream fault.
type stage struct {
	chooser
	dir     Dir
	fresh   bool          // only connections that are newer than the fault
	stale   bool          // only connections that are older
	whole   bool          // counted by connection, each once, not by chunk
	hold    bool          // nothing goes
	swallow bool          // what comes is lost
	cuts    bool          // a chunk that it cuts is affected
	least   time.Duration // a chunk that is kept for less was not affected
	make    func(c *conn, d Dir) shape
	count   *evidence.Counter
}

// shape is a stage's state on one direction of one connection. Its methods are called under the queue's lock.
type shape interface {
	due(arrived time.Time, n int) (at time.Time, held bool) // when n bytes that arrived here may go, 0 for an end; asked as often as one likes
	piece() int                                             // at most so many bytes at once; 0 means any number, nothing that passed brings the end
	passed(n int, at time.Time) (end error)                 // n bytes went from here at that time; the end, if it is one behind them
}

// nothing is the piece of a shape that lets no byte pass any more.
const nothing = -1

// The ends that a shape may bring.
var (
	errClose = errors.New("closed by a fault")
	errReset = errors.New("reset by a fault")
)

// picks tells whether the stage acts on a connection.
func (s *stage) picks(c *conn) bool {
	if (s.fresh && c.id <= s.last) || (s.stale && c.id > s.last) {
		return false
	}
	return s.chooser.picks(c.link.cfg.Name, c.id)
}

// seedOf is a seed for one direction of one connection.
func (s *stage) seedOf(c *conn, d Dir) uint64 {
	return evidence.Hash(s.Seed, c.id, s.ID, strconv.Itoa(int(d)))
}

// add puts a stage on live and new connections.
func (l *Link) add(on On, s *stage) Heal {
	l.mu.Lock()
	s.chooser, s.count = l.chooser(on), on.Count
	if s.fresh {
		s.live = nil // it numbers new connections only
	}
	l.stages = append(slices.Clone(l.stages), s)
	l.reapply()
	if s.hold || s.swallow {
		// Connections that are there hear nothing from now on; what they would have said is counted as it comes.
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

// reapply brings the stages to every connection; l.mu is held.
func (l *Link) reapply() {
	close(l.changed)
	l.changed = make(chan struct{})
	for c := range l.conns {
		c.apply(l.stages)
	}
}

// Cut is a cut-off: silence.
type Cut struct {
	On
	Dir Dir
}

// CutOff silences a direction or both: nothing is read or written, sockets stay open, new connections are accepted and hear nothing (the upstream
// is not dialled where the way there is cut). On heal what was held goes on, ends and resets included. It counts connections: a connection is affected
// when something of it was held, or it waited for its dial.
func (l *Link) CutOff(f Cut) (Heal, error) {
	if err := f.check("cut off traffic", l.cfg.Name); err != nil {
		return nil, err
	}
	return l.add(f.On, &stage{dir: f.Dir, hold: true, whole: true, make: func(*conn, Dir) shape { return hold{} }}), nil
}

type hold struct{ plain }

func (hold) due(time.Time, int) (time.Time, bool) { return time.Time{}, true }

// plain is the shape of what goes at once, for others to build upon.
type plain struct{}

func (plain) due(arrived time.Time, _ int) (time.Time, bool) { return arrived, false }
func (plain) piece() int                                     { return 0 }
func (plain) passed(int, time.Time) error                    { return nil }

// handshake is the first byte of a TLS client's first record (RFC 8446, section 5.1).
const handshake = 0x16

// StallTLS lets TLS handshakes hang: on new connections whose client begins one, nothing that the server says arrives until the fault is healed.
func (l *Link) StallTLS(on On) (Heal, error) {
	if err := on.check("stall TLS handshakes", l.cfg.Name); err != nil {
		return nil, err
	}
	return l.add(on, &stage{dir: ToClient, fresh: true, whole: true, make: func(c *conn, _ Dir) shape { return stall{tls: &c.tls} }}), nil
}

type stall struct {
	plain
	tls *atomic.Bool
}

func (s stall) due(arrived time.Time, _ int) (time.Time, bool) { return arrived, s.tls.Load() }

// HalfOpen loses the peer without a word, as when a machine loses power or a firewall forgets a connection: on the connections that are live, what either
// side says is lost, ends included, and both believe themselves connected. New connections go through. On heal the chosen ones are reset: a stream that
// lost bytes cannot go on. A connection is affected when something that it said was lost.
func (l *Link) HalfOpen(on On) (Heal, error) {
	if err := on.check("leave connections half-open", l.cfg.Name); err != nil {
		return nil, err
	}
	s := &stage{stale: true, swallow: true, whole: true, make: func(*conn, Dir) shape { return hold{} }}
	heal := l.add(on, s)
	return func(ctx context.Context) error {
		for _, c := range l.chosen(s) {
			_ = c.Reset()
		}
		return heal(ctx)
	}, nil
}

// chosen lists the live connections that a stage acts on.
func (l *Link) chosen(s *stage) []*conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(l.live(), func(c *conn) bool { return !s.picks(c) })
}

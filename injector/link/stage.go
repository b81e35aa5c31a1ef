package link

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// stage is a live stream fault.
type stage struct {
	id    string
	dir   Dir
	share float64 // of connections; 0 means all
	seed  uint64
	hold  bool
	least time.Duration // a chunk that is kept for less was not affected
	make  func(seed uint64) shape
	count *evidence.Counter
}

// shape is a stage's state on one direction of one connection. Its methods are called under the queue's lock.
type shape interface {
	due(arrived time.Time, n int) (at time.Time, held bool) // when n bytes that arrived here may go; asked as often as one likes
	piece() int                                             // at most so many bytes at once; 0 means any number
	passed(n int, at time.Time)                             // n bytes went from here at that time
}

// picks decides for a connection, by hash: the same connection meets the same fate whatever else comes or goes.
func (s *stage) picks(link string, id uint64) bool { return picks(s.share, s.seed, link, s.id, id) }

func picks(share float64, seed uint64, link, fault string, id uint64) bool {
	return share <= 0 || share >= 1 || evidence.Draw(seed, id, link, fault, "connection") < share
}

func (s *stage) seedOf(id uint64, d Dir) uint64 {
	return evidence.Hash(s.seed, id, s.id, strconv.Itoa(int(d)))
}

// add puts a stage on live and new connections.
func (l *Link) add(s *stage) Heal {
	l.mu.Lock()
	l.stages = append(slices.Clone(l.stages), s)
	l.reapply()
	if s.hold {
		// Connections that are there hear nothing from now on; what they would have said is counted as it comes.
		s.count.See(int64(len(l.conns)))
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

// Delay delays bytes, in order.
type Delay struct {
	ID     string
	Dir    Dir
	By     time.Duration
	Jitter time.Duration // uniform between By-Jitter and By+Jitter; at most By
	Share  float64       // of connections; 0 means all
	Seed   uint64
	Count  *evidence.Counter // chunks
}

// Delay puts a delay on the link.
func (l *Link) Delay(d Delay) (Heal, error) {
	if d.By <= 0 || d.By > longest || d.Jitter < 0 || d.Jitter > d.By {
		return nil, fmt.Errorf("delay link %q by %v, give or take %v: the delay must be positive, at most %v, and the jitter at most as long", l.cfg.Name, d.By, d.Jitter, longest)
	}
	if !isShare(d.Share) {
		return nil, fmt.Errorf("delay link %q on a share of %v of its connections: a share lies between 0 and 1", l.cfg.Name, d.Share)
	}
	return l.add(&stage{id: d.ID, dir: d.Dir, share: d.Share, seed: d.Seed, count: d.Count, least: 1, make: func(seed uint64) shape {
		return &delay{by: d.By, jitter: d.Jitter, seed: seed, start: time.Now()}
	}}), nil
}

// longest is the longest delay: what is meant to last longer is a cut.
const longest = 24 * time.Hour

func isShare(share float64) bool { return share >= 0 && share <= 1 }

// delay is a delay that varies in time.
//
// Independent delays for each chunk cannot be had on a stream: chunks that come faster than the jitter are released in order, each as late as
// the latest before it, which raises the mean and eats the spread (a jitter of 20 ms about 50 ms became 63 ms with a third of the spread). So the
// delay is a process in time whose value at every moment has the distribution asked for and whose slope hardly ever goes below -1, where order
// would be in danger: independent normal numbers stand on a grid, cos and sin weights between two of them keep the variance at 1 everywhere,
// and the normal distribution function turns the value into a uniform one (a Gaussian copula; Nelsen, An Introduction to Copulas, 2006). Chunks further apart than
// the grid meet independent delays.
type delay struct {
	by, jitter time.Duration
	seed       uint64
	start      time.Time
}

// step is the grid's spacing: 5 jitters keep the slope of 2·jitter·φ(z)·z' above -1 for z' up to four standard deviations.
func (d *delay) step() time.Duration { return 5 * d.jitter }

func (d *delay) at(t time.Time) time.Duration {
	if d.jitter == 0 {
		return d.by
	}
	since := t.Sub(d.start)
	k := since / d.step()
	angle := math.Pi / 2 * float64(since%d.step()) / float64(d.step())
	z := math.Cos(angle)*d.normal(uint64(k)) + math.Sin(angle)*d.normal(uint64(k)+1)
	uniform := 0.5 * (1 + math.Erf(z/math.Sqrt2))
	return d.by + time.Duration((2*uniform-1)*float64(d.jitter))
}

// normal is the k-th of a fixed row of independent standard normal numbers (Box and Muller's transform, 1958).
func (d *delay) normal(k uint64) float64 {
	radius := math.Sqrt(-2 * math.Log(1-evidence.Draw(d.seed, k, "radius")))
	return radius * math.Cos(2*math.Pi*evidence.Draw(d.seed, k, "angle"))
}

func (d *delay) due(arrived time.Time, _ int) (time.Time, bool) {
	return arrived.Add(d.at(arrived)), false
}
func (d *delay) piece() int            { return 0 }
func (d *delay) passed(int, time.Time) {}

// Bandwidth limits bytes per second, for each connection and direction by itself.
type Bandwidth struct {
	ID    string
	Dir   Dir
	Rate  int64   // bytes per second
	Share float64 // of connections; 0 means all
	Seed  uint64
	Count *evidence.Counter // chunks
}

// Limit puts a bandwidth on the link.
func (l *Link) Limit(b Bandwidth) (Heal, error) {
	if b.Rate <= 0 {
		return nil, fmt.Errorf("limit link %q to %d bytes per second: the rate must be positive; to stop traffic, cut the link off", l.cfg.Name, b.Rate)
	}
	if !isShare(b.Share) {
		return nil, fmt.Errorf("limit link %q on a share of %v of its connections: a share lies between 0 and 1", l.cfg.Name, b.Share)
	}
	return l.add(&stage{id: b.ID, dir: b.Dir, share: b.Share, seed: b.Seed, count: b.Count, least: time.Millisecond, make: func(uint64) shape {
		return &bandwidth{rate: b.Rate}
	}}), nil
}

// bandwidth lets pieces of at most 10 ms' worth go, each when the line has had the time to carry it.
type bandwidth struct {
	rate int64
	free time.Time // the line is, from then on; idle time gives no credit
}

func (b *bandwidth) due(arrived time.Time, n int) (time.Time, bool) {
	from := arrived
	if b.free.After(arrived) {
		from = b.free
	}
	return from.Add(time.Duration(float64(n) / float64(b.rate) * float64(time.Second))), false
}

func (b *bandwidth) piece() int                 { return int(max(1, b.rate/100)) }
func (b *bandwidth) passed(_ int, at time.Time) { b.free = at }

// CutOff silences a direction or both: nothing is read or written, sockets stay open, new connections are accepted and hear nothing (the upstream
// is not dialled where the way there is cut). On heal what was held goes on, ends and resets included. The count sees the connections that were
// there; chunks that were held, and connections that waited for their dial, are seen and affected.
func (l *Link) CutOff(id string, d Dir, count *evidence.Counter) (Heal, error) {
	return l.add(&stage{id: id, dir: d, hold: true, count: count, make: func(uint64) shape { return hold{} }}), nil
}

type hold struct{}

func (hold) due(time.Time, int) (time.Time, bool) { return time.Time{}, true }
func (hold) piece() int                           { return 0 }
func (hold) passed(int, time.Time)                {}

package load

import (
	"context"
	"math"
	"sync"
	"time"
)

// schedule determines when each request is due and remembers that time until the request is sent. The
// first request is due when the load begins. Request n is due when the integral of the rate since then
// reaches n. A ramp therefore sends as many requests as the area under it, even if it begins or ends
// at zero or is changed halfway, and a change of the rate keeps the fraction of a request accumulated
// so far.
type schedule struct {
	mu      sync.Mutex
	pieces  []piece
	n       uint64 // number of the next request, from 0
	due     map[uint64]time.Time
	until   time.Time // nothing becomes due from here on; zero means no end yet
	changed chan struct{}
}

// piece is a part of the load: the rate changes linearly from from to to between at and at+over, and
// then stays constant.
type piece struct {
	at       time.Time
	over     time.Duration
	from, to float64
	before   float64 // integral of the rate until at
}

func newSchedule(began time.Time, rate float64) *schedule {
	return &schedule{pieces: []piece{{at: began, from: rate, to: rate}}, due: map[uint64]time.Time{}, changed: make(chan struct{})}
}

// change changes the rate from now on.
func (s *schedule) change(now time.Time, from, to float64, over time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.pieces[len(s.pieces)-1]
	s.pieces = append(s.pieces, piece{at: now, over: over, from: from, to: to, before: last.before + last.integral(now.Sub(last.at).Seconds())})
	s.wake()
}

// end ends the schedule: no request becomes due from t on. Requests due earlier can still be taken.
func (s *schedule) end(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.until = t
	s.wake()
}

func (s *schedule) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// slope returns the change of the rate per second during the ramp.
func (p piece) slope() float64 {
	if p.over <= 0 {
		return 0
	}
	return (p.to - p.from) / p.over.Seconds()
}

// integral returns the integral of the rate over the first x seconds of the piece.
func (p piece) integral(x float64) float64 {
	ramp := min(x, p.over.Seconds())
	return p.from*ramp + p.slope()*ramp*ramp/2 + p.to*(x-ramp)
}

// reach returns after how many seconds the integral of the piece reaches n, or infinity if it never
// does.
func (p piece) reach(n float64) float64 {
	if ramp := p.integral(p.over.Seconds()); n > ramp || p.over <= 0 {
		if p.to <= 0 {
			return math.Inf(1)
		}
		return p.over.Seconds() + (n-ramp)/p.to
	}
	// The smaller solution of from*x + slope*x*x/2 = n, in a form that is exact where from or slope is
	// near zero.
	root := math.Sqrt(max(0, p.from*p.from+2*p.slope()*n))
	if p.from+root <= 0 {
		return 0
	}
	return min(2*n/(p.from+root), p.over.Seconds())
}

// never is used as the delay of the next request while the rate is zero. A change of the rate
// recomputes it.
const never = 1000 * time.Hour

// next returns when the next request is due.
func (s *schedule) next() time.Time {
	last := len(s.pieces) - 1
	for i := range s.pieces {
		p := s.pieces[i]
		if p.from <= 0 && p.to <= 0 {
			continue
		}
		x := p.reach(max(0, float64(s.n)-p.before))
		if x*float64(time.Second) > float64(never) {
			continue
		}
		due := p.at.Add(time.Duration(math.Ceil(x * float64(time.Second))))
		if i == last || due.Before(s.pieces[i+1].at) {
			return due
		}
	}
	return s.pieces[last].at.Add(never)
}

// advance records when the next request is due and moves on to the request after it.
func (s *schedule) advance(due time.Time) {
	s.due[s.n] = due
	s.n++
}

// wait waits until the next request is due and advances. It returns false if no request is due before
// the end, or if ctx ends first.
func (s *schedule) wait(ctx context.Context) bool {
	for {
		s.mu.Lock()
		next, changed := s.next(), s.changed
		over := !s.until.IsZero() && !next.Before(s.until)
		s.mu.Unlock()
		if over {
			return false
		}
		timer := time.NewTimer(time.Until(next))
		select {
		case <-timer.C:
			s.mu.Lock()
			due := s.next().Equal(next)
			if due {
				s.advance(next)
			}
			s.mu.Unlock()
			if due {
				return true
			}
		case <-changed:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			return false
		}
	}
}

// take returns when request n was due, and removes it.
func (s *schedule) take(n uint64) (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.due[n]
	delete(s.due, n)
	return t, ok
}

// remaining returns the requests that were due before end and never taken, by number.
func (s *schedule) remaining(end time.Time) map[uint64]time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	for next := s.next(); next.Before(end); next = s.next() {
		s.advance(next)
	}
	return s.due
}

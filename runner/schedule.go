package runner

import (
	"context"
	"sync"
	"time"
)

// schedule says when each request is due, and remembers it until the request is sent. The rate may change while it runs: then the time to the next
// request changes at once.
type schedule struct {
	mu      sync.Mutex
	began   time.Time
	pieces  []piece
	next    time.Time // when the next request is due
	n       uint64    // its number, from 0
	due     map[uint64]time.Time
	until   time.Time // nothing becomes due from here on; zero: no end yet
	changed chan struct{}
}

// piece is a stretch of the load: the rate moves from from to to between at and at+over, and stays there.
type piece struct {
	at       time.Time
	over     time.Duration
	from, to float64
}

func newSchedule(began time.Time, rate float64) *schedule {
	return &schedule{began: began, next: began, pieces: []piece{{at: began, from: rate, to: rate}}, due: map[uint64]time.Time{}, changed: make(chan struct{})}
}

// change moves the rate from now on.
func (s *schedule) change(now time.Time, from, to float64, over time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pieces = append(s.pieces, piece{at: now, over: over, from: from, to: to})
	if s.next.After(now) {
		s.next = s.after(now) // a slow rate's long gap is not waited out
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// end lets nothing become due from t on. What was due before is still taken.
func (s *schedule) end(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.until = t
	close(s.changed)
	s.changed = make(chan struct{})
}

// rate is the requests per second at a moment.
func (s *schedule) rate(t time.Time) float64 {
	p := s.pieces[0]
	for _, other := range s.pieces {
		if !other.at.After(t) {
			p = other
		}
	}
	if since := t.Sub(p.at); since < p.over {
		return p.from + (p.to-p.from)*float64(since)/float64(p.over)
	}
	return p.to
}

// never is when the next request is due while the rate is zero: a change of the rate looks again.
const never = 1000 * time.Hour

// after is when the request after one at t is due.
func (s *schedule) after(t time.Time) time.Time {
	due := s.unchanged(t)
	for _, p := range s.pieces {
		if p.at.After(t) && p.at.Before(due) { // the rate changes before that: count from there
			return s.after(p.at)
		}
	}
	return due
}

// unchanged is when the next request is due at the rate of t. A ramp may begin at zero: the first moment with a rate counts.
func (s *schedule) unchanged(t time.Time) time.Time {
	last := s.pieces[len(s.pieces)-1]
	for ramped := last.at.Add(last.over); ; t = t.Add(10 * time.Millisecond) {
		if rate := s.rate(t); rate > 0 {
			return t.Add(time.Duration(float64(time.Second) / rate))
		}
		if t.After(ramped) {
			return t.Add(never)
		}
	}
}

// wait waits until the next request is due and takes its number; false when there is none before the end, or ctx ended first.
func (s *schedule) wait(ctx context.Context) bool {
	for {
		s.mu.Lock()
		next, changed := s.next, s.changed
		over := !s.until.IsZero() && !next.Before(s.until)
		s.mu.Unlock()
		if over {
			return false
		}
		timer := time.NewTimer(time.Until(next))
		select {
		case <-timer.C:
			s.mu.Lock()
			due := s.next.Equal(next)
			if due {
				s.due[s.n] = next
				s.n++
				s.next = s.after(next)
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

// take returns when request n was due, and forgets it.
func (s *schedule) take(n uint64) (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.due[n]
	delete(s.due, n)
	return t, ok
}

// rest lists the requests that were due before end and never taken, with their numbers.
func (s *schedule) rest(end time.Time) map[uint64]time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.next.Before(end) {
		s.due[s.n] = s.next
		s.n++
		s.next = s.after(s.next)
	}
	return s.due
}

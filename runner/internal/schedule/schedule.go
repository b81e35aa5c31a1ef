// Package schedule determines when each request of a load is due, and how many requests a load has to send.
package schedule

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios"
)

// Schedule determines when each request is due and remembers that time until the request is sent. The
// first request is due when the load begins. Request n is due when the integral of the rate since then
// reaches n. A ramp therefore sends as many requests as the area under it, even if it begins or ends
// at zero or is changed halfway, and a change of the rate keeps the fraction of a request accumulated
// so far.
type Schedule struct {
	mu      sync.Mutex
	pieces  []piece
	current int    // the piece in which the next request is due, or an earlier one
	n       uint64 // number of the next request, from 0
	due     map[uint64]time.Time
	until   time.Time // nothing becomes due from here on; zero means no end yet
	changed chan struct{}
	timer   *time.Timer // of Wait
}

// piece is a part of the load. It begins at at and lasts until the next piece.
type piece struct {
	at     time.Time
	before float64 // integral of the rate until at
	curve
}

// curve is the course of a rate since the beginning of its piece.
type curve interface {
	// integral returns the integral of the rate over the first x seconds.
	integral(x float64) float64
	// reach returns after how many seconds the integral reaches n, or infinity if it never does.
	reach(n float64) float64
}

// New returns a schedule with a steady rate, in requests per second.
func New(began time.Time, rate float64) *Schedule {
	timer := time.NewTimer(never)
	timer.Stop()
	return &Schedule{pieces: []piece{{at: began, curve: ramp{from: rate, to: rate}}}, due: map[uint64]time.Time{}, changed: make(chan struct{}), timer: timer}
}

// Change changes the rate from now on.
func (s *Schedule) Change(now time.Time, course []scenarios.Stretch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.pieces) > 1 && !s.pieces[len(s.pieces)-1].at.Before(now) { // of an earlier change that did not come to its end
		s.pieces = s.pieces[:len(s.pieces)-1]
	}
	s.current = min(s.current, len(s.pieces)-1)
	for _, stretch := range course {
		at, last := now.Add(stretch.After), s.pieces[len(s.pieces)-1]
		s.pieces = append(s.pieces, piece{at: at, before: last.before + last.integral(at.Sub(last.at).Seconds()), curve: curveOf(stretch)})
	}
	s.wake()
}

func curveOf(s scenarios.Stretch) curve {
	if s.Swing != nil {
		return swing{mean: s.Swing.Mean, amplitude: s.Swing.Amplitude, phase: s.Swing.Phase, every: s.Swing.Every.Seconds()}
	}
	return ramp{from: s.From, to: s.To, over: s.Over.Seconds()}
}

// End ends the schedule: no request becomes due from t on. Requests due earlier can still be taken.
func (s *Schedule) End(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.until = t
	s.wake()
}

func (s *Schedule) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// never is used as the delay of the next request while the rate is zero. A change of the rate
// recomputes it.
const never = 1000 * time.Hour

// next returns when the next request is due.
func (s *Schedule) next() time.Time {
	last := len(s.pieces) - 1
	for ; ; s.current++ { // requests after n are due later, so that a piece that is over is not needed again
		p := s.pieces[s.current]
		x := p.reach(max(0, float64(s.n)-p.before))
		if x*float64(time.Second) <= float64(never) {
			due := p.at.Add(time.Duration(math.Ceil(x * float64(time.Second))))
			if s.current == last || due.Before(s.pieces[s.current+1].at) {
				return due
			}
		}
		if s.current == last {
			return p.at.Add(never)
		}
	}
}

// advance records when the next request is due and moves on to the request after it.
func (s *Schedule) advance(due time.Time) {
	s.due[s.n] = due
	s.n++
}

// Wait waits until the next request is due and advances. It returns false if no request is due before
// the end, or if ctx ends first. Only one goroutine may wait.
func (s *Schedule) Wait(ctx context.Context) bool {
	for ctx.Err() == nil {
		s.mu.Lock()
		next, changed := s.next(), s.changed
		if !s.until.IsZero() && !next.Before(s.until) {
			s.mu.Unlock()
			return false
		}
		wait := time.Until(next)
		if wait <= 0 {
			s.advance(next)
			s.mu.Unlock()
			return true
		}
		s.mu.Unlock()
		s.timer.Reset(wait)
		select {
		case <-s.timer.C:
		case <-changed:
			s.timer.Stop()
		case <-ctx.Done():
			s.timer.Stop()
		}
	}
	return false
}

// Take returns when request n was due, and removes it.
func (s *Schedule) Take(n uint64) (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.due[n]
	delete(s.due, n)
	return t, ok
}

// Remaining returns the requests that were due before end and never taken, by number.
func (s *Schedule) Remaining(end time.Time) map[uint64]time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	for next := s.next(); next.Before(end); next = s.next() {
		s.advance(next)
	}
	return s.due
}

package load

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// closedSource has users, each of whom asks, waits for the answer, thinks, and asks again. A request is
// due when its user has thought. The first requests are spread over one time of thinking, so that users
// do not ask in step.
type closedSource struct {
	began time.Time
	users int
	think time.Duration
	next  atomic.Uint64 // number of the next request
	over  chan struct{} // closed by end

	mu    sync.Mutex
	ended time.Time            // nothing is due from here on; zero means no end yet
	spent []time.Duration      // by user, until the end: how long it waited for answers or thought
	rest  map[uint64]time.Time // due before the end and never sent
}

func newClosedSource(began time.Time, l *scenarios.Load) *closedSource {
	return &closedSource{began: began, users: l.Users, think: l.Think, over: make(chan struct{}), spent: make([]time.Duration, l.Users), rest: map[uint64]time.Time{}}
}

func (c *closedSource) start(pacing context.Context, send func(n uint64, due time.Time)) <-chan struct{} {
	var all sync.WaitGroup
	for i := range c.users {
		first := c.began.Add(c.think * time.Duration(i) / time.Duration(c.users))
		all.Go(func() { c.user(pacing, i, first, send) })
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		all.Wait()
	}()
	return done
}

// user sends the requests of user i until the load ends. The first one is due at due.
func (c *closedSource) user(ctx context.Context, i int, due time.Time, send func(n uint64, due time.Time)) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for free := c.began; ; {
		if wait := time.Until(due); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-c.over:
			case <-ctx.Done():
			}
		}
		asked := time.Now()
		c.spend(i, free, earlier(due, asked))
		switch {
		case c.isOver(due):
			return
		case ctx.Err() != nil:
			c.mu.Lock()
			c.rest[c.next.Add(1)-1] = due
			c.mu.Unlock()
			return
		case c.think == 0: // the answer to the previous request was there at the same moment
			asked = due
		}
		send(c.next.Add(1)-1, due)
		free = time.Now()
		c.spend(i, asked, free)
		due = free.Add(c.think)
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// spend adds a time that user i waited or thought, as far as it lies before the end.
func (c *closedSource) spend(i int, from, to time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended.IsZero() {
		to = earlier(to, c.ended)
	}
	c.spent[i] += max(0, to.Sub(from))
}

// isOver reports whether a request that is due at due comes after the end.
func (c *closedSource) isOver(due time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.ended.IsZero() && !due.Before(c.ended)
}

func (c *closedSource) end(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = at
	close(c.over)
}

func (c *closedSource) unsent(time.Time) map[uint64]time.Time { return c.rest }

// account records how far each user kept asking. A user who stops, or asks late, loses time.
func (c *closedSource) account(l *journal.Load, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l.Requested = float64(l.Intended)
	l.KeptAsking = slices.Min(c.spent).Seconds() / max(at.Sub(c.began).Seconds(), 1e-9)
}

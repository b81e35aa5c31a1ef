package load

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// countedSource makes requests due only while sendAll runs. A request is due when one of those that are
// sent at a time has ended.
type countedSource struct {
	ctx  context.Context // no request is sent after it
	send func(n uint64, due time.Time)
	done chan struct{}

	requested uint64 // by all calls of sendAll
	rest      map[uint64]time.Time
}

func newCountedSource() *countedSource {
	return &countedSource{done: make(chan struct{}), rest: map[uint64]time.Time{}}
}

func (c *countedSource) start(pacing context.Context, send func(n uint64, due time.Time)) <-chan struct{} {
	c.ctx, c.send = pacing, send
	return c.done
}

// sendAll sends requests and returns when all have ended. It must not be called after end.
func (c *countedSource) sendAll(s scenarios.SendRequests) {
	var next atomic.Uint64
	next.Store(c.requested)
	c.requested += uint64(s.Requests)
	var all sync.WaitGroup
	for range s.AtATime {
		all.Go(func() {
			for c.ctx.Err() == nil {
				n := next.Add(1) - 1
				if n >= c.requested {
					return
				}
				c.send(n, time.Now())
			}
		})
	}
	all.Wait()
	for n := next.Load(); n < c.requested; n++ { // the context ended
		c.rest[n] = time.Now()
	}
}

func (c *countedSource) end(time.Time) { close(c.done) }

func (c *countedSource) unsent(time.Time) map[uint64]time.Time { return c.rest }

func (c *countedSource) account(l *journal.Load, _ time.Time) { l.Requested = float64(c.requested) }

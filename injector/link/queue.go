package link

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/firedrill-dev/firedrill/injector/link/internal/clock"
)

// maxQueuedBytes is how much a queue holds before its source must wait. 4 MiB are 40 ms at 100 MB/s.
const maxQueuedBytes = 4 << 20

// queue is one direction of a connection while faults are live on it. It holds chunks in order of
// arrival, and the stages that decide when the first chunk may leave. It has one source and one
// consumer at a time.
type queue struct {
	// active is set when the socket must not be used directly: a stage is live, something is queued, a goroutine
	// uses the socket for the queue, or the direction has ended.
	active atomic.Bool
	clock  *clock.Clock // nil uses the runtime's timers

	mu          sync.Mutex
	chunks      []chunk
	bytes       int
	stubs       []*stub // custom toxics, which chunks pass before they are queued
	stages      []live
	head        uint64 // number of the first chunk in the queue, counted from 1
	hasWorker   bool   // a goroutine fills the queue to the server, or empties the queue to the client
	sourceEnded bool   // the source has ended and must not be read again
	endErr      error  // returned to the consumer from now on
	wake        chan struct{}
	space       chan struct{}
}

// chunk is the data of one read or write. An err ends the direction after data.
type chunk struct {
	data    []byte
	arrived time.Time
	err     error
}

// live is a stage that acts on one direction of one connection.
type live struct {
	*stage
	*mark
	conn                  *conn
	since                 time.Time // when the stage was added to this direction
	shape                 shape
	lastSeen, lastTouched uint64    // numbers of the last chunks counted as seen and as affected
	leaves                time.Time // when the first chunk leaves this stage
}

func (q *queue) init(c *clock.Clock) {
	q.clock, q.head, q.wake, q.space = c, 1, make(chan struct{}, 1), make(chan struct{}, 1)
}

// notify wakes the receiver of c, or makes its next receive return at once.
func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// updateActive recomputes active. q.mu must be held.
func (q *queue) updateActive() {
	q.active.Store(len(q.stages) > 0 || len(q.chunks) > 0 || len(q.stubs) > 0 || q.hasWorker || q.endErr != nil)
}

// set replaces the live stages by stages; those that stay keep their state. It reports whether the
// goroutine that reads the source must check again where to deliver.
func (q *queue) set(stages []*stage, c *conn, d Dir) (look bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	// A stage that is removed now may have held back the first chunk without being counted yet.
	if len(q.chunks) > 0 {
		size := len(q.chunks[0].data)
		q.due(&q.chunks[0], q.maxPiece(size, size), time.Now())
	}
	was, stubs := len(q.stages) > 0, len(q.stubs)
	next := make([]live, 0, len(stages))
	for _, s := range stages {
		next = append(next, q.liveStage(s, c, d))
	}
	q.stages = next
	for _, s := range q.stubs {
		if !s.healing && !slices.Contains(stages, s.stage) {
			s.startHeal()
		}
	}
	q.updateActive()
	notify(q.wake)
	notify(q.space)
	return len(q.stubs) > stubs || (was && len(next) == 0)
}

// liveStage returns the state of a stage in this direction, and creates it if the stage is new.
func (q *queue) liveStage(s *stage, c *conn, d Dir) live {
	for _, l := range q.stages {
		if l.stage == s {
			return l
		}
	}
	if s.toxic != nil && q.endErr == nil {
		q.startStub(s, c, d)
	}
	return live{stage: s, mark: c.mark(s), conn: c, since: time.Now(), shape: s.newShape(c, d)}
}

// busy reports whether the socket must not be read directly, because something is queued or another
// goroutine reads it for the queue.
func (q *queue) busy() bool {
	if !q.active.Load() {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.chunks) > 0 || q.hasWorker || q.endErr != nil || q.draining()
}

// draining reports whether more output may follow although no goroutine feeds the queue: a healed
// toxic still holds chunks, or the end of the source was discarded. q.mu must be held.
func (q *queue) draining() bool {
	return q.sourceEnded || slices.ContainsFunc(q.stubs, func(s *stub) bool { return s.healing })
}

// claimWorker claims the right to fill or empty the queue. It returns false if another goroutine has
// it or the direction has ended.
func (q *queue) claimWorker() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.hasWorker || q.endErr != nil {
		return false
	}
	q.hasWorker = true
	q.updateActive()
	return true
}

func (q *queue) releaseWorker() {
	q.mu.Lock()
	q.hasWorker = false
	q.updateActive()
	q.mu.Unlock()
	notify(q.wake)
}

// put queues a copy of data followed by err, and marks the queue as having a worker. It drops both
// after the end of the direction.
func (q *queue) put(data []byte, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.endErr != nil {
		return
	}
	q.hasWorker = true
	q.enqueue(data, err)
	q.updateActive()
}

func (q *queue) enqueue(data []byte, err error) {
	q.sourceEnded = q.sourceEnded || err != nil
	if q.discards(len(data)) {
		return
	}
	if len(data) > 0 {
		q.forward(nil, chunk{data: append([]byte(nil), data...), arrived: time.Now()})
	}
	if err != nil {
		q.forward(nil, chunk{arrived: time.Now(), err: err})
	}
}

// forward passes a chunk to the toxic after from, or queues it if there is none. A nil from is the
// source.
func (q *queue) forward(from *stub, c chunk) {
	if i := slices.Index(q.stubs, from) + 1; i < len(q.stubs) {
		q.stubs[i].enqueue(c)
		return
	}
	if last := len(q.chunks) - 1; last >= 0 && q.chunks[last].err != nil {
		return // after the end
	}
	q.chunks = append(q.chunks, c)
	q.bytes += len(c.data)
	notify(q.wake)
}

// discards reports whether input arriving now is dropped, including the end of the stream, and counts
// it.
func (q *queue) discards(n int) bool {
	for i := range q.stages {
		l := &q.stages[i]
		if l.discard {
			if n > 0 {
				l.mark.touch(l.stage)
			} else {
				l.touchOrIdle(l.stage, l.conn)
			}
			l.count.Carry(n, n)
			return true
		}
	}
	return false
}

// full reports whether the source must wait. A direction on hold accepts one chunk, which shows that
// there was traffic to hold back.
func (q *queue) full() bool {
	if q.holding() {
		return len(q.chunks) > 0
	}
	return q.bytes >= maxQueuedBytes
}

func (q *queue) holding() bool {
	for _, s := range q.stages {
		if s.hold {
			return true
		}
	}
	return false
}

// awaitRoom waits until the source may deliver more. It returns false if no fault is live or the
// connection has ended.
func (q *queue) awaitRoom() bool {
	for {
		q.mu.Lock()
		live, full := len(q.stages) > 0 && q.endErr == nil, q.full() || q.downstreamFull(nil)
		q.mu.Unlock()
		if !live || !full {
			return live
		}
		<-q.space
	}
}

// offer queues data and err, after waiting for room if necessary.
func (q *queue) offer(data []byte, err error) error {
	for {
		q.mu.Lock()
		if q.endErr != nil {
			defer q.mu.Unlock()
			return q.endErr
		}
		if !(q.full() || q.downstreamFull(nil)) || err != nil {
			q.enqueue(data, err)
			q.updateActive()
			q.mu.Unlock()
			return nil
		}
		q.mu.Unlock()
		<-q.space
	}
}

// fail drops what is queued and makes current and later calls of take and offer return err.
func (q *queue) fail(err error) {
	q.mu.Lock()
	if q.endErr == nil {
		q.endErr = err
	}
	q.chunks, q.bytes, q.hasWorker = nil, 0, false
	q.dropStubs()
	q.updateActive()
	q.mu.Unlock()
	notify(q.wake)
	notify(q.space)
}

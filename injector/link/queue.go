package link

import (
	"sync"
	"sync/atomic"
	"time"
)

// far is the bound on what a queue holds before its source has to wait: enough for 4 MiB in flight, which is 40 ms at 100 MB/s.
const far = 4 << 20

// queue is one direction of a connection while faults are live on it: chunks in order of arrival, and the stages that say when the head may go.
// It has one source and one consumer at a time.
type queue struct {
	disturbed atomic.Bool // the direct way is blocked: a stage is live, something is queued, a goroutine has the socket, or it has ended
	clock     *clock      // nil waits by the runtime's timers

	mu     sync.Mutex
	chunks []chunk
	bytes  int
	stages []live
	head   uint64 // number of the chunk at the head, from 1
	fed    bool   // a goroutine of the connection feeds (to the server) or empties (to the client) it
	ended  error  // what the consumer gets from now on
	wake   chan struct{}
	space  chan struct{}
}

// chunk is what one read or write brought; err, when set, ends the direction behind data.
type chunk struct {
	data    []byte
	arrived time.Time
	err     error
}

// live is a stage at work on one direction of one connection.
type live struct {
	*stage
	shape         shape
	mark          *mark
	seen, touched uint64    // numbers of the last chunks counted
	out           time.Time // when the head leaves this stage
}

func (q *queue) init(c *clock) {
	q.clock, q.head, q.wake, q.space = c, 1, make(chan struct{}, 1), make(chan struct{}, 1)
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// changed brings disturbed up to date; q.mu is held.
func (q *queue) changed() {
	q.disturbed.Store(len(q.stages) > 0 || len(q.chunks) > 0 || q.fed || q.ended != nil)
}

// set makes exactly these stages live; those that were live before keep their state. It tells whether the direction was disturbed and is no longer.
func (q *queue) set(stages []*stage, c *conn, d Dir) (healed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	was := len(q.stages) > 0
	next := make([]live, 0, len(stages))
	for _, s := range stages {
		next = append(next, q.keep(s, c, d))
	}
	q.stages = next
	q.changed()
	poke(q.wake)
	poke(q.space)
	return was && len(next) == 0
}

func (q *queue) keep(s *stage, c *conn, d Dir) live {
	for _, l := range q.stages {
		if l.stage == s {
			return l
		}
	}
	return live{stage: s, mark: c.mark(s), shape: s.make(c, d)}
}

// busy tells whether the socket is not to be read directly: something is queued, or somebody reads it for the queue.
func (q *queue) busy() bool {
	if !q.disturbed.Load() {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.chunks) > 0 || q.fed || q.ended != nil
}

// feed claims the place of the goroutine beside the queue; false when it is taken.
func (q *queue) feed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.fed || q.ended != nil {
		return false
	}
	q.fed = true
	q.changed()
	return true
}

func (q *queue) unfed() {
	q.mu.Lock()
	q.fed = false
	q.changed()
	q.mu.Unlock()
	poke(q.wake)
}

// put queues a copy of data, and err behind it, and claims the feeder's place. What comes after the end is dropped.
func (q *queue) put(data []byte, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ended != nil {
		return
	}
	q.fed = true
	q.append(data, err)
	q.changed()
}

func (q *queue) append(data []byte, err error) {
	if q.swallows(len(data)) || (len(data) == 0 && err == nil) {
		return
	}
	q.chunks = append(q.chunks, chunk{data: append([]byte(nil), data...), arrived: time.Now(), err: err})
	q.bytes += len(data)
	poke(q.wake)
}

// swallows tells whether what comes now is lost on the way, ends included, and counts it.
func (q *queue) swallows(n int) bool {
	for i := range q.stages {
		l := &q.stages[i]
		if l.swallow {
			l.mark.touch(l.stage)
			l.count.Carry(n, n)
			return true
		}
	}
	return false
}

// full tells whether the source has to wait. A held direction takes one chunk, as proof that there was something to hold.
func (q *queue) full() bool {
	if q.holding() {
		return len(q.chunks) > 0
	}
	return q.bytes >= far
}

func (q *queue) holding() bool {
	for _, s := range q.stages {
		if s.hold {
			return true
		}
	}
	return false
}

// room waits until the source may bring more; false when no fault is live any longer, or the connection is over.
func (q *queue) room() bool {
	for {
		q.mu.Lock()
		live, full := len(q.stages) > 0 && q.ended == nil, q.full()
		q.mu.Unlock()
		if !live || !full {
			return live
		}
		<-q.space
	}
}

// offer queues data when there is room for it, and waits otherwise.
func (q *queue) offer(data []byte, err error) error {
	for {
		q.mu.Lock()
		if q.ended != nil {
			defer q.mu.Unlock()
			return q.ended
		}
		if !q.full() || err != nil {
			q.append(data, err)
			q.changed()
			q.mu.Unlock()
			return nil
		}
		q.mu.Unlock()
		<-q.space
	}
}

// fail drops what is queued and gives err to whoever waits, now and later.
func (q *queue) fail(err error) {
	q.mu.Lock()
	if q.ended == nil {
		q.ended = err
	}
	q.chunks, q.bytes, q.fed = nil, 0, false
	q.changed()
	q.mu.Unlock()
	poke(q.wake)
	poke(q.space)
}

// take waits for the head to be due and moves it, or a part of it, to p. ok is false when the queue is empty and will stay so: nobody feeds it.
// A sender, which empties the queue into the socket, gives up its place in that moment.
func (q *queue) take(p []byte, sender bool) (n int, err error, ok bool) {
	for {
		n, err, wait, state := q.try(p, sender)
		switch state {
		case taken:
			return n, err, true
		case empty:
			return 0, nil, false
		}
		q.clock.wait(q.wake, wait)
	}
}

type state uint8

const (
	waiting state = iota
	taken
	empty
)

// forever is the wait of a head that no clock will free.
const forever = time.Hour

func (q *queue) try(p []byte, sender bool) (n int, err error, wait time.Duration, s state) { //nolint:staticcheck // as take
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.chunks) == 0 {
		switch {
		case q.ended != nil:
			return 0, q.ended, 0, taken
		case sender:
			q.fed = false
			q.changed()
			return 0, nil, 0, empty
		case !q.fed:
			return 0, nil, 0, empty
		}
		return 0, nil, forever, waiting
	}
	head, now := &q.chunks[0], time.Now()
	n = q.piece(len(p), len(head.data))
	due, held := q.due(head, n)
	if held {
		return 0, nil, forever, waiting
	}
	late := now.Sub(due)
	if late < 0 {
		return 0, nil, -late, waiting
	}
	end := q.leave(head, n, late)
	copy(p, head.data[:n])
	head.data = head.data[n:]
	q.bytes -= n
	if len(head.data) == 0 {
		err = head.err
		q.chunks[0] = chunk{}
		q.chunks = q.chunks[1:]
		q.head++
	}
	if end != nil { // whatever came behind
		err, q.chunks, q.bytes = end, nil, 0
	}
	if err != nil {
		q.ended = err
	}
	q.changed()
	poke(q.space)
	return n, err, 0, taken
}

// slack is how late a timer may be without the stages moving their clocks for it: a wake-up's lateness is made up for, a stalled receiver's is not.
const slack = 10 * time.Millisecond

// leave tells the stages that n bytes of the head go, so late after they were due, and what they were kept for. Its error is a stage's end of the direction.
func (q *queue) leave(head *chunk, n int, late time.Duration) (end error) {
	before, moved := head.arrived, late
	if moved < slack {
		moved = 0
	}
	for i := range q.stages {
		l := &q.stages[i]
		if l.cuts && l.touched < q.head && l.shape.piece() < len(head.data) {
			l.touched = q.head
			l.mark.touch(l.stage)
		}
		if err := l.shape.passed(n, l.out.Add(moved)); err != nil && end == nil {
			end = err
			l.mark.touch(l.stage)
		}
		added := l.out.Sub(before)
		before = l.out
		if i == len(q.stages)-1 {
			added += late
		}
		touched := 0
		if l.touched == q.head {
			touched = n
			l.count.Delayed(added)
		}
		l.count.Carry(n, touched)
	}
	return end
}

// piece is how many bytes of the head may go together; 0 also when the next byte is the end.
func (q *queue) piece(room, have int) int {
	n := min(room, have)
	for _, l := range q.stages {
		switch most := l.shape.piece(); {
		case most == nothing:
			return 0
		case most > 0:
			n = min(n, most)
		}
	}
	return n
}

// due asks each stage in order of addition, each from when the one before lets the head go, and counts what they do to it.
func (q *queue) due(head *chunk, n int) (at time.Time, held bool) {
	at = head.arrived
	for i := range q.stages {
		l := &q.stages[i]
		if l.seen < q.head {
			l.mark.see(l.stage)
			l.seen = q.head
		}
		var hold bool
		l.out, hold = l.shape.due(at, n)
		if l.touched < q.head && (hold || (l.least > 0 && l.out.Sub(at) >= l.least)) {
			l.touched = q.head
			l.mark.touch(l.stage)
			if l.hold { // it will not be there any more when these bytes go
				l.count.Carry(len(head.data), len(head.data))
			}
		}
		if hold {
			return at, true
		}
		at = l.out
	}
	return at, false
}

package link

import (
	"time"

	"github.com/firedrill-dev/firedrill/injector/link/internal/clock"
)

// take waits until the first chunk is due and copies it, or a part of it, to p. ok is false if the
// queue is empty and has no worker. If sender is set, the caller is the worker that empties the queue
// into the socket, and ceases to be it when ok is false.
func (q *queue) take(p []byte, sender bool) (n int, err error, ok bool) {
	for {
		n, err, wait, state := q.try(p, sender)
		switch state {
		case taken:
			return n, err, true
		case empty:
			return 0, nil, false
		}
		q.clock.Wait(q.wake, wait)
	}
}

type state uint8

const (
	waiting state = iota
	taken
	empty
)

func (q *queue) try(p []byte, sender bool) (n int, err error, wait time.Duration, s state) { //nolint:staticcheck // as take
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.chunks) == 0 {
		switch {
		case q.endErr != nil:
			return 0, q.endErr, 0, taken
		case sender && len(q.stubs) == 0:
			q.hasWorker = false
			q.updateActive()
			return 0, nil, 0, empty
		case !sender && !q.hasWorker && !q.draining():
			return 0, nil, 0, empty
		}
		return 0, nil, clock.Forever, waiting
	}
	head, now := &q.chunks[0], time.Now()
	n = q.maxPiece(len(p), len(head.data))
	due, held, look := q.due(head, n, now)
	if held {
		return 0, nil, look, waiting
	}
	late := now.Sub(due)
	if late < 0 {
		return 0, nil, min(-late, look), waiting
	}
	end := q.countDeparture(head, n, late)
	copy(p, head.data[:n])
	head.data = head.data[n:]
	q.bytes -= n
	if len(head.data) == 0 {
		err = head.err
		q.chunks[0] = chunk{}
		q.chunks = q.chunks[1:]
		q.head++
	}
	if end != nil { // drop the rest
		err, q.chunks, q.bytes = end, nil, 0
	}
	if err != nil {
		q.endErr = err
		q.dropStubs()
	}
	q.updateActive()
	q.notifyRoom()
	return n, err, 0, taken
}

// timerSlack is how late a timer may fire before the lateness counts as a stalled receiver. The stages
// make up for a late timer, but not for a stalled receiver.
const timerSlack = 10 * time.Millisecond

// countDeparture updates the stages and their counters when n bytes of the first chunk leave, late
// after they were due. An error is the end of the direction that a stage demands.
func (q *queue) countDeparture(head *chunk, n int, late time.Duration) (end error) {
	before, moved := head.arrived, late
	if moved < timerSlack {
		moved = 0
	}
	for i := range q.stages {
		l := &q.stages[i]
		if l.countCuts && l.lastTouched < q.head && n < len(head.data) && n == l.shape.maxPiece() {
			l.lastTouched = q.head
			l.touch(l.stage)
		}
		if err := l.shape.passed(n, l.leaves.Add(moved)); err != nil && end == nil {
			end = err
			l.touch(l.stage)
		}
		if o, ok := l.shape.(*observer); ok && l.lastTouched < q.head && o.affects(n) {
			l.lastTouched = q.head
			l.touch(l.stage)
		}
		added := l.leaves.Sub(before)
		before = l.leaves
		if l.lastTouched < q.head && l.minHeld > 0 && added >= l.minHeld {
			l.lastTouched = q.head
			l.touch(l.stage)
		}
		if i == len(q.stages)-1 {
			added += late
		}
		touched := 0
		if l.lastTouched == q.head {
			touched = n
			if added > 0 {
				l.count.Delayed(added)
			}
		}
		l.count.Carry(n, touched)
	}
	return end
}

// maxPiece returns how many bytes of the first chunk may leave together. It is 0 if the next thing to
// leave is the end of the stream.
func (q *queue) maxPiece(room, have int) int {
	n := min(room, have)
	for _, l := range q.stages {
		switch most := l.shape.maxPiece(); {
		case most == blocked:
			return 0
		case most > 0:
			n = min(n, most)
		}
	}
	return n
}

// noticeable is how long a stage must hold back a chunk or a connection for it to count as affected. A
// fault that is healed sooner had no noticeable effect.
const noticeable = time.Millisecond

// due returns when the first chunk may leave. It asks the stages in the order in which they were
// added, each starting from the time at which the previous one releases the chunk, and counts their
// effects. The caller asks again after look at the latest, so that a chunk counts as affected once it
// has been held noticeably, and not only when it leaves.
func (q *queue) due(head *chunk, n int, now time.Time) (at time.Time, held bool, look time.Duration) {
	at, look = head.arrived, clock.Forever
	for i := range q.stages {
		l := &q.stages[i]
		if l.lastSeen < q.head {
			l.see(l.stage)
			l.lastSeen = q.head
		}
		var hold bool
		l.leaves, hold = l.shape.due(at, n)
		if l.lastTouched < q.head && (hold || (l.minHeld > 0 && l.leaves.Sub(at) >= max(l.minHeld, noticeable))) {
			if left := noticeable - now.Sub(latest(at, l.since)); left > 0 {
				look = min(look, left)
			} else {
				q.countHeld(l, head)
			}
		}
		if hold {
			return at, true, look
		}
		at = l.leaves
	}
	return at, false, look
}

// countHeld counts the first chunk as held back noticeably by a stage.
func (q *queue) countHeld(l *live, head *chunk) {
	l.lastTouched = q.head
	if l.hold && len(head.data) == 0 { // an end that is held back matters only if the connection is in use
		l.touchOrIdle(l.stage, l.conn)
		return
	}
	l.touch(l.stage)
	if l.hold { // the stage will have been removed when these bytes leave
		l.count.Carry(len(head.data), len(head.data))
	}
}

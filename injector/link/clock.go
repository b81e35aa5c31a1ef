package link

import (
	"container/heap"
	"sync"
	"time"
)

// clock wakes those who wait, exactly. The runtime's timers are late by 0.6 ms in the middle and 1.1 ms at worst on Linux, since its poller sleeps
// whole milliseconds; an alarm of the kernel's (timerfd) that is polled like a socket is late by 0.06 ms, however many wait. One goroutine serves a
// link's clock; it begins with the first wait and ends with the link. A nil *clock, and a system without such alarms, use the runtime's timers.
type clock struct {
	mu     sync.Mutex
	waits  waits
	alarm  *alarm // nil before the first wait
	broken bool   // there is no alarm to be had
	serve  func(func())
}

// waiter is somebody's wait.
type waiter struct {
	at   time.Time
	done chan struct{}
	i    int // its place in the heap; -1 outside
}

// wait returns after d, or when wake gets a value.
func (c *clock) wait(wake <-chan struct{}, d time.Duration) {
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

// add makes a wait known; nil when the runtime's timers have to do.
func (c *clock) add(d time.Duration) *waiter {
	if c == nil || d >= forever {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.alarm == nil && !c.broken {
		c.start()
	}
	if c.broken {
		return nil
	}
	w := &waiter{at: time.Now().Add(d), done: make(chan struct{})}
	heap.Push(&c.waits, w)
	if w.i == 0 {
		c.alarm.set(d)
	}
	return w
}

func (c *clock) remove(w *waiter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w.i >= 0 {
		heap.Remove(&c.waits, w.i)
	}
}

// start opens the alarm and begins to serve it; c.mu is held.
func (c *clock) start() {
	a, err := newAlarm()
	if err != nil {
		c.broken = true
		return
	}
	c.alarm = a
	c.serve(func() {
		for a.await() {
			c.ring()
		}
		c.close()
	})
}

// ring wakes whose time has come and sets the alarm for the next.
func (c *clock) ring() {
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

// close ends the alarm; those who wait, and who come later, use the runtime's timers or have been woken otherwise. It may be called twice.
func (c *clock) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken = true
	if c.alarm != nil {
		c.alarm.close()
	}
	for len(c.waits) > 0 {
		close(heap.Pop(&c.waits).(*waiter).done)
	}
}

// waits is a heap by time.
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

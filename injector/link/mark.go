package link

import (
	"sync/atomic"
	"time"
)

// mark is what a stage knows of a connection, both directions together.
type mark struct {
	seen, touched atomic.Bool  // counted
	left          atomic.Int64 // of stage.bytes
	armed         bool         // stage.expire runs; link.mu
}

// mark finds or makes it; link.mu is held.
func (c *conn) mark(s *stage) *mark {
	m := c.marks[s]
	if m == nil {
		if c.marks == nil {
			c.marks = map[*stage]*mark{}
		}
		m = &mark{}
		m.left.Store(s.bytes)
		c.marks[s] = m
	}
	return m
}

// see counts what the stage looks at: a chunk, or the connection once.
func (m *mark) see(s *stage) {
	if !s.whole || !m.seen.Swap(true) {
		s.count.See(1)
	}
}

// touch counts what the stage affects: a chunk, or the connection once.
func (m *mark) touch(s *stage) {
	first := !m.touched.Swap(true)
	if first || !s.whole {
		s.count.Touch(1)
	}
	if first {
		s.count.Connection()
	}
}

// later runs f after d, for a fault, unless the connection is over before or the fault asks never.
func (c *conn) later(fault any, d time.Duration, f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over.Load() {
		return
	}
	if c.timers == nil {
		c.timers = map[any]*time.Timer{}
	}
	c.timers[fault] = time.AfterFunc(d, f)
}

// never takes a later back; without one it does nothing.
func (c *conn) never(fault any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.timers[fault]; t != nil {
		t.Stop()
		delete(c.timers, fault)
	}
}

// expire ends the connection in order because a fault's time is over; one that is only half made is closed.
func (c *conn) expire(s *stage, m *mark) {
	c.link.mu.Lock()
	healed := c.marks[s] != m
	c.link.mu.Unlock()
	if healed || c.over.Load() {
		return
	}
	m.see(s)
	m.touch(s)
	c.hangUp()
	c.mu.Lock()
	peer := c.peer
	c.mu.Unlock()
	if peer == nil {
		_ = c.Close()
		return
	}
	_ = c.sock.SetReadDeadline(time.Unix(1, 0)) // wakes who reads the client directly
}

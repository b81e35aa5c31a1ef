package link

import (
	"sync/atomic"
	"time"
)

// mark is the state that a stage keeps of a connection, for both directions together.
type mark struct {
	seen, touched atomic.Bool  // already counted
	idle          atomic.Bool  // already counted as idle
	bytesLeft     atomic.Int64 // what remains of stage.byteBudget
	armed         bool         // the timer of stage.expireAfter was started; guarded by link.mu
}

// mark returns the mark of a stage and creates it if necessary. link.mu must be held.
func (c *conn) mark(s *stage) *mark {
	m := c.marks[s]
	if m == nil {
		if c.marks == nil {
			c.marks = map[*stage]*mark{}
		}
		m = &mark{}
		m.bytesLeft.Store(s.byteBudget)
		c.marks[s] = m
	}
	return m
}

// see counts a chunk, or the connection once, as seen.
func (m *mark) see(s *stage) {
	if !s.perConnection || !m.seen.Swap(true) {
		s.count.See(1)
	}
}

// touch counts a chunk, or the connection once, as affected.
func (m *mark) touch(s *stage) {
	first := !m.touched.Swap(true)
	if first || !s.perConnection {
		s.count.Touch(1)
	}
	if first {
		s.count.Connection()
		if m.idle.Swap(false) {
			s.count.Idle(-1)
		}
	}
}

// touchIdle counts the connection as idle: the stage acted on it while it was not in use.
func (m *mark) touchIdle(s *stage) {
	if !m.touched.Load() && !m.idle.Swap(true) {
		s.count.Idle(1)
	}
}

// touchOrIdle counts an action on the connection itself: affected if the connection is in use, else
// idle.
func (m *mark) touchOrIdle(s *stage, c *conn) {
	if c.inUse() {
		m.touch(s)
	} else {
		m.touchIdle(s)
	}
}

// startTimer calls f after d, unless the connection ends or cancelTimer is called before.
func (c *conn) startTimer(fault any, d time.Duration, f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed.Load() {
		return
	}
	if c.timers == nil {
		c.timers = map[any]*time.Timer{}
	}
	c.timers[fault] = time.AfterFunc(d, f)
}

// cancelTimer cancels the timer of a fault, if there is one.
func (c *conn) cancelTimer(fault any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.timers[fault]; t != nil {
		t.Stop()
		delete(c.timers, fault)
	}
}

// expire closes the connection gracefully because the time of a fault is over. A connection without a
// running pump is just closed.
func (c *conn) expire(s *stage, m *mark) {
	c.link.mu.Lock()
	healed := c.marks[s] != m
	c.link.mu.Unlock()
	if healed || c.closed.Load() {
		return
	}
	m.see(s)
	m.touchOrIdle(s, c)
	c.closeGracefully()
	c.mu.Lock()
	peer := c.peer
	c.mu.Unlock()
	if peer == nil {
		_ = c.Close()
		return
	}
	_ = c.sock.SetReadDeadline(time.Unix(1, 0)) // wakes a goroutine that reads the client directly
}

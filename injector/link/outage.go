package link

import (
	"time"
)

// Outage counts how connections met an upstream that was down or unresponsive. The numbers only grow:
// the numbers of one outage are the difference between a snapshot taken just before it and one taken
// just before it is healed. Waiting returns the connections that are still waiting then.
type Outage struct {
	Refused   int64 // dials refused by the upstream, such as by the port of a process that has ended
	Unreached int64 // dials that failed in another way, such as by a timeout
	// Ended counts connections that the upstream ended while they were in use: bytes passed within the last
	// second, or a request was unanswered.
	Ended     int64
	EndedIdle int64 // connections that the upstream ended while they were not in use
	Abandoned int64 // connections that clients ended while a request was unanswered
}

// Outage returns the numbers so far.
func (l *Link) Outage() Outage {
	return Outage{
		Refused: l.refused.Load(), Unreached: l.dialErrors.Load() - l.refused.Load(),
		Ended: l.ended.Load(), EndedIdle: l.endedIdle.Load(), Abandoned: l.abandoned.Load(),
	}
}

// Sub returns the increase since an earlier snapshot.
func (o Outage) Sub(earlier Outage) Outage {
	return Outage{
		Refused: o.Refused - earlier.Refused, Unreached: o.Unreached - earlier.Unreached,
		Ended: o.Ended - earlier.Ended, EndedIdle: o.EndedIdle - earlier.EndedIdle, Abandoned: o.Abandoned - earlier.Abandoned,
	}
}

// Met returns how many connections and dials met the outage while they were in use.
func (o Outage) Met() int64 { return o.Refused + o.Unreached + o.Ended + o.Abandoned }

// Waiting returns how many connections have waited for at least the duration least. A connection waits while its
// client has sent something and received nothing since, or while the upstream is being dialled.
// Connections of a healthy link wait as long as the upstream takes to answer, so least should be
// longer than that. On a connection that carries several calls at once, an answer to any of them ends
// the wait.
func (l *Link) Waiting(least time.Duration) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	var n int64
	for c := range l.conns {
		if waited := c.activity.unanswered(); waited > 0 && waited >= least {
			n++
		}
	}
	return n
}

// countAbandoned counts a connection whose client closed it without having received an answer.
func (c *conn) countAbandoned() {
	if c.activity.clientClosed.Load() && !c.activity.upstreamClosed.Load() && c.activity.unanswered() > 0 {
		c.link.abandoned.Add(1)
	}
}

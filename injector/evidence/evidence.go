// Package evidence holds the proof that a fault acted: counters that the data path updates, and one Event for each
// step of a message that a rule acted on. It does not depend on links, relays or the journal, so that all can use it.
package evidence

import (
	"reflect"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Tally is what one injection has touched. The zero Tally means that nothing was seen and nothing was affected.
type Tally struct {
	Unit     string // what is counted: "calls", "connections", "traffic" (chunks, as they were read), "processes"
	Seen     int64  // units that the fault looked at while it was live
	Affected int64  // units for which the effect really happened
	First    time.Time
	Last     time.Time // first and last effect; zero when Affected is 0
	Idle     int64     // connections that the fault changed while nothing was using them; not part of Affected
	Void     string    // why what the fault did was no outage for the clients, "" when it was one; then Affected is 0

	// Of faults on streams only.
	Connections               int64 // that were affected
	BytesSeen, BytesAffected  int64
	Delayed                   int64 // how many units were kept; the percentiles are of the time for which each was
	DelayP50, DelayP99, Worst time.Duration

	// Of faults on calls and messages only.
	Ops        map[string]int64 // affected units by operation, named as by Relay.Operations: at most 64 names, the rest under Others
	Traced     int64            // affected units that carried the run's trace context
	Skipped    map[string]int64 // units that were chosen and on which the fault could not act, by reason; bounded like Ops
	Collateral int64            // units of others that were lost with one that the fault acted on, as calls on the same HTTP/2 connection
	Broken     int64            // units that failed because the dependency closed its connection while the fault held them back
}

// Equal reports whether two tallies hold the same counts.
func (t Tally) Equal(o Tally) bool { return reflect.DeepEqual(t, o) }

// Counter collects a Tally from many goroutines. Use NewCounter; a nil *Counter counts nothing.
type Counter struct {
	mu           sync.Mutex
	t            Tally
	ops, skipped Counts
	delays       *hdrhistogram.Histogram // of microseconds; nil before the first
}

// NewCounter returns a counter of the given unit.
func NewCounter(unit string) *Counter { return &Counter{t: Tally{Unit: unit}} }

// See counts n units that the fault looked at.
func (c *Counter) See(n int64) {
	if c == nil {
		return
	}
	c.mu.Lock()
	c.t.Seen += n
	c.mu.Unlock()
}

// Touch counts n units for which the effect happened now. It does not count them as seen.
func (c *Counter) Touch(n int64) {
	if c == nil {
		return
	}
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.touch(n, now)
}

func (c *Counter) touch(n int64, now time.Time) {
	c.t.Affected += n
	if c.t.First.IsZero() {
		c.t.First = now
	}
	c.t.Last = now
}

// TouchOp counts a unit of an operation for which the effect happened now; traced means that it carried the run's trace context.
func (c *Counter) TouchOp(op string, traced bool) {
	if c == nil {
		return
	}
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.touch(1, now)
	*c.ops.Of(op)++
	if traced {
		c.t.Traced++
	}
}

// Idle counts n connections that the fault changed while nothing was using them. A negative n takes back what was counted too early.
func (c *Counter) Idle(n int64) {
	if c == nil {
		return
	}
	c.mu.Lock()
	c.t.Idle += n
	c.mu.Unlock()
}

// Void says that what the fault did was not what its clients saw, and why: nothing counts as affected. An empty reason changes nothing; the first one stays.
func (c *Counter) Void(why string) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.t.Void == "" {
		c.t.Void = why
	}
}

// Skip counts a unit that was chosen and on which the fault could not act, by the reason.
func (c *Counter) Skip(why string) {
	if c == nil {
		return
	}
	c.mu.Lock()
	*c.skipped.Of(why)++
	c.mu.Unlock()
}

// Collateral counts a unit that was lost with another one on which the fault acted.
func (c *Counter) Collateral() {
	if c == nil {
		return
	}
	c.mu.Lock()
	c.t.Collateral++
	c.mu.Unlock()
}

// Break counts a unit that failed because the dependency closed its connection while the fault held the unit back.
func (c *Counter) Break() {
	if c == nil {
		return
	}
	c.mu.Lock()
	c.t.Broken++
	c.mu.Unlock()
}

// Connection counts a connection that was affected for the first time.
func (c *Counter) Connection() {
	if c == nil {
		return
	}
	c.mu.Lock()
	c.t.Connections++
	c.mu.Unlock()
}

// Carry counts bytes that went, and how many of them were affected.
func (c *Counter) Carry(seen, affected int) {
	if c == nil {
		return
	}
	c.mu.Lock()
	c.t.BytesSeen += int64(seen)
	c.t.BytesAffected += int64(affected)
	c.mu.Unlock()
}

// longest is what the histogram of delays can tell; longer ones count as this.
const longest = 24 * time.Hour

// Delayed counts a unit that was kept for d, as measured when it went on.
func (c *Counter) Delayed(d time.Duration) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.delays == nil {
		c.delays = hdrhistogram.New(1, longest.Microseconds(), 2)
	}
	_ = c.delays.RecordValue(max(0, min(d, longest)).Microseconds()) // in range
	c.t.Delayed++
}

// Tally returns the counts so far.
func (c *Counter) Tally() Tally {
	if c == nil {
		return Tally{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.t
	t.Ops, t.Skipped = c.ops.Copy(), c.skipped.Copy()
	if t.Void != "" {
		t.Affected = 0
	}
	if c.delays != nil {
		at := func(q float64) time.Duration { return time.Duration(c.delays.ValueAtQuantile(q)) * time.Microsecond }
		t.DelayP50, t.DelayP99, t.Worst = at(50), at(99), time.Duration(c.delays.Max())*time.Microsecond
	}
	return t
}

// Stage is a step in the processing of a message that a rule chose.
type Stage string

const (
	Held       Stage = "held"       // held back until it is released, expires or its connection ends
	Applied    Stage = "applied"    // the fault's effect happened
	Discarded  Stage = "discarded"  // an answer was read and not forwarded; Detail describes it
	Released   Stage = "released"   // a held message was forwarded
	Expired    Stage = "expired"    // a held message was forwarded because its deadline passed: it was only delayed
	Collateral Stage = "collateral" // lost because of what happened to another message on its connection
	Skipped    Stage = "skipped"    // the rule chose it but could not act; Detail gives the reason
)

// Event is one line of message-level evidence. It never carries a body.
type Event struct {
	At        time.Time
	Link      string // "orders -> payments"
	Fault     string // the injection's id
	Stage     Stage
	ToServer  bool
	Conn, Seq uint64
	Op        string // "POST /charge"
	Key       string // idempotency key, where the protocol shows one
	Class     string // the stable part that decisions are hashed by
	Bytes     int
	Detail    string
}

// Sink receives events; causes precede their effects. It must be safe for concurrent use and must not block for
// long.
type Sink func(Event)

// Package evidence records the effects of faults: counters that the data path updates, and an Event for each step
// of a message that a rule acted on. It does not depend on links, relays or the journal, so that all of them can
// use it.
package evidence

import (
	"cmp"
	"reflect"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Tally counts the effects of one injection. The zero value means that the fault has seen and affected nothing.
type Tally struct {
	Unit     string    // what is counted: "calls", "messages", "connections", "traffic" (chunks as read) or "service"
	Seen     int64     // units that the fault examined while it was live
	Affected int64     // units on which the effect happened
	First    time.Time // the first effect, which of a delay is when it began; zero if Affected is 0
	Last     time.Time // the latest effect; zero if Affected is 0
	Idle     int64     // connections changed while they were not in use; not included in Affected
	Void     string    // why clients did not see the fault, or may not have; "" if they did; otherwise Affected is 0

	// Faults on streams only.
	Connections               int64 // affected connections
	BytesSeen, BytesAffected  int64
	Delayed                   int64 // delayed units, whose delays the following fields describe
	DelayP50, DelayP99, Worst time.Duration

	// Faults on calls and messages only.
	Ops        map[string]int64 // affected units by operation, named as by Relay.Operations, in a Counts
	Traced     int64            // affected units that a request of the load is known to have caused
	Skipped    map[string]int64 // selected units on which the fault could not act, by reason, in a Counts
	Collateral int64            // other units lost with an affected one, such as calls on the same HTTP/2 connection
	Broken     int64            // units that failed because the dependency closed the connection while they were held
}

// Equal reports whether two tallies are equal.
func (t Tally) Equal(o Tally) bool { return reflect.DeepEqual(t, o) }

// Counter collects a Tally. Its methods may be called concurrently. A nil *Counter counts nothing.
type Counter struct {
	mu           sync.Mutex
	t            Tally
	ops, skipped Counts
	delays       *hdrhistogram.Histogram // in microseconds; nil before the first delay
}

// NewCounter returns a counter of the given unit.
func NewCounter(unit string) *Counter { return &Counter{t: Tally{Unit: unit}} }

// update changes the tally under the lock.
func (c *Counter) update(change func(*Tally)) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.t)
}

// See counts n units as seen.
func (c *Counter) See(n int64) { c.update(func(t *Tally) { t.Seen += n }) }

// Touch counts n units as affected now. It does not count them as seen.
func (c *Counter) Touch(n int64) { c.update(func(t *Tally) { t.touch(n) }) }

func (t *Tally) touch(n int64) {
	t.Affected += n
	t.Last = time.Now()
	if t.First.IsZero() {
		t.First = t.Last
	}
}

// TouchOp counts a unit of an operation as affected now. traced is whether a request of the load is known to have caused it.
func (c *Counter) TouchOp(op string, traced bool) {
	c.update(func(t *Tally) {
		t.touch(1)
		*c.ops.Of(op)++
		if traced {
			t.Traced++
		}
	})
}

// Idle counts n connections as changed while they were not in use. A negative n corrects an earlier count.
func (c *Counter) Idle(n int64) { c.update(func(t *Tally) { t.Idle += n }) }

// Void records why clients did not see the fault, or may not have, so that nothing counts as affected. An empty reason has no
// effect. Only the first reason is kept.
func (c *Counter) Void(why string) { c.update(func(t *Tally) { t.Void = cmp.Or(t.Void, why) }) }

// Skip counts a selected unit on which the fault could not act, and why.
func (c *Counter) Skip(why string) { c.update(func(*Tally) { *c.skipped.Of(why)++ }) }

// Collateral counts a unit that was lost together with an affected one.
func (c *Counter) Collateral() { c.update(func(t *Tally) { t.Collateral++ }) }

// Break counts a unit that failed because the dependency closed the connection while the fault held the unit.
func (c *Counter) Break() { c.update(func(t *Tally) { t.Broken++ }) }

// Connection counts a connection that was affected for the first time.
func (c *Counter) Connection() { c.update(func(t *Tally) { t.Connections++ }) }

// Carry counts transferred bytes, and how many of them were affected.
func (c *Counter) Carry(seen, affected int) {
	c.update(func(t *Tally) {
		t.BytesSeen += int64(seen)
		t.BytesAffected += int64(affected)
	})
}

// maxDelay is the largest value of the histogram of delays. Longer delays count as maxDelay.
const maxDelay = 24 * time.Hour

// Delayed counts a unit that was delayed by d, as measured when it was forwarded.
func (c *Counter) Delayed(d time.Duration) {
	c.update(func(t *Tally) {
		if c.delays == nil {
			c.delays = hdrhistogram.New(1, maxDelay.Microseconds(), 2)
		}
		_ = c.delays.RecordValue(max(0, min(d, maxDelay)).Microseconds()) // in range
		t.Delayed++
		if began := time.Now().Add(-d); t.First.IsZero() || began.Before(t.First) {
			t.First = began
		}
	})
}

// Tally returns the current counts.
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

// Event is one step of a message. It never contains a body.
type Event struct {
	At        time.Time
	Link      string // "orders -> payments"
	Fault     string // the injection's ID
	Stage     Stage
	ToServer  bool
	Conn, Seq uint64
	Op        string // "POST /charge"
	Key       string // idempotency key, if the protocol has one
	Class     string // what decisions are hashed by
	Bytes     int
	Detail    string
	Cause     Cause
}

// Cause is the request of the load that caused a message. The zero value means that it is not known.
type Cause struct {
	Load    int    // the index of the load, from 0
	Request uint64 // its number in the load, from 0
	Known   bool
}

// Sink receives events; causes precede their effects. It must be safe for concurrent use and must not block for
// long.
type Sink func(Event)

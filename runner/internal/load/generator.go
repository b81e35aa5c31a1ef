package load

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Generator sends the requests of a load through its client, when its source makes them due, and counts
// what it delivered. Latency is measured from the due time, so that every request that was due during
// a stall of the generator or, in an open load, of the system includes the stall.
type Generator struct {
	source  source
	client  *Client
	began   time.Time
	stop    context.CancelFunc // no further request becomes due
	abandon context.CancelFunc // aborts the requests in flight
	done    <-chan struct{}    // closed when the source has ended
	bound   int
	machine machineUse // when the load began

	mu          sync.Mutex
	slip        *hdrhistogram.Histogram // microseconds from due to sent
	sent        int
	inFlight    atomic.Int64
	maxInFlight atomic.Int64
}

// source decides when requests are due. There is one for each scenarios.Shape.
type source interface {
	// start begins to call send, and returns a channel that is closed when no call is pending and none will
	// follow, which is some time after end or after pacing ended.
	start(pacing context.Context, send func(n uint64, due time.Time)) <-chan struct{}
	// end makes nothing due from at on. Requests that were due earlier may still be sent.
	end(at time.Time)
	// unsent returns the requests that were due before at and never sent. The source has ended.
	unsent(at time.Time) map[uint64]time.Time
	// account adds to the results what the source knows. Sent is set, and the source has ended.
	account(l *journal.Load, at time.Time)
}

// longestSlip is the highest slip that the histogram tells from longer ones.
const longestSlip = time.Hour

// Start starts a load. peak is the highest number of requests per second that the scenario requests of
// an open load.
func Start(ctx context.Context, l *scenarios.Load, c *Client, peak float64) *Generator {
	g := &Generator{client: c, began: time.Now(), slip: hdrhistogram.New(1, longestSlip.Microseconds(), 2), machine: readMachineUse()}
	switch l.Shape {
	case scenarios.Closed:
		g.source, g.bound = newClosedSource(g.began, l), l.Users
	case scenarios.Counted:
		g.source = newCountedSource()
	default:
		g.bound = min(maxWorkers, int(peak*l.Patience(false).Seconds())+10)
		g.source = newOpenSource(g.began, l.Rate, g.bound)
	}
	sending, abandon := context.WithCancel(ctx)
	pacing, stop := context.WithCancel(sending)
	g.stop, g.abandon = stop, abandon
	g.done = g.source.start(pacing, g.send)
	return g
}

// send carries out one request of the load with all its attempts.
func (g *Generator) send(n uint64, due time.Time) {
	inFlight := g.inFlight.Add(1)
	defer g.inFlight.Add(-1)
	for highest := g.maxInFlight.Load(); inFlight > highest && !g.maxInFlight.CompareAndSwap(highest, inFlight); highest = g.maxInFlight.Load() {
	}
	g.mu.Lock()
	g.sent++
	_ = g.slip.RecordValue(min(max(1, time.Since(due).Microseconds()), longestSlip.Microseconds()))
	g.mu.Unlock()
	g.client.Do(n, due)
}

// Change changes the rate of an open load from now on.
func (g *Generator) Change(c scenarios.RateChange) {
	g.source.(*openSource).change(time.Now(), c.Course())
}

// Send sends requests of a counted load and waits until all have ended.
func (g *Generator) Send(s scenarios.SendRequests) {
	g.bound = max(g.bound, s.AtATime)
	g.source.(*countedSource).sendAll(s)
}

// catchUp is how long requests that are due when the load ends may still be sent. With it, a pause of
// the machine at that moment loses no more requests than an earlier pause, and only a generator that
// cannot keep up leaves requests unsent.
const catchUp = time.Second

// End stops the load, waits for requests in flight (no longer than the client's patience) and returns
// the results. It calls unsent for each request that was due but never sent.
func (g *Generator) End(unsent func(n uint64, due time.Time)) journal.Load {
	at := time.Now()
	g.source.end(at)
	stopLate := time.AfterFunc(catchUp, g.stop)
	defer stopLate.Stop()
	patience := time.NewTimer(catchUp + g.client.patience())
	defer patience.Stop()
	select {
	case <-g.done:
	case <-patience.C:
		g.abandon()
		<-g.done
	}
	use := readMachineUse().since(g.machine)
	g.stop()
	g.abandon()
	rest := g.source.unsent(at)
	for n, due := range rest {
		unsent(n, due)
	}
	g.client.Close()
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.client
	c.mu.Lock()
	defer c.mu.Unlock()
	generatorFailures := 0
	for _, n := range c.generatorErrors {
		generatorFailures += n
	}
	l := journal.Load{
		Name: c.Load.Name, Shape: string(c.Load.Shape), Intended: g.sent + len(rest), Sent: g.sent - generatorFailures,
		Unsent: len(rest) + generatorFailures, GeneratorErrors: maps.Clone(c.generatorErrors),
		Attempts: int(c.attempts.Load()), Wire: int(c.wire.Load()), Stale: int(c.stale.Load()), Retries: int(c.retried.Load()),
		SlipP99: time.Duration(g.slip.ValueAtQuantile(99)) * time.Microsecond, Workers: int(g.maxInFlight.Load()), Bound: g.bound,
		GiveUp: c.giveUp, Patience: c.Load.Patience(c.retryAfter.Load()),
		CPU: use.cpu, GCPause: use.gcPause, Took: at.Sub(g.began),
	}
	c.account(&l)
	g.source.account(&l, at)
	return l
}

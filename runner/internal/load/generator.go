package load

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	vegeta "github.com/tsenart/vegeta/v12/lib"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// load drives clients through vegeta, which paces requests and bounds the number of workers. It
// replaces vegeta's pacer, transport and latency measurement. The schedule waits on a context and
// records when each request was due. The client retries only as its policy allows. Latency is measured
// from the due time, so that every request that was due during a stall of the system includes the
// stall.
type Generator struct {
	schedule *schedule
	demand   demand
	client   *Client
	attacker *vegeta.Attacker
	stop     context.CancelFunc // stops the schedule: no further request becomes due
	abandon  context.CancelFunc // aborts the requests in flight
	done     chan struct{}
	bound    int

	mu          sync.Mutex
	slip        *hdrhistogram.Histogram // microseconds from due to sent
	sent        int
	inFlight    atomic.Int64
	maxInFlight atomic.Int64
	attackErr   error
}

// maxWorkers bounds the requests in flight. With more, the generator would be measured instead of the
// system.
const maxWorkers = 2000

// longestSlip is the highest slip that the histogram tells from longer ones.
const longestSlip = time.Hour

// startLoad starts the load. peak is the highest rate that the scenario requests.
func Start(ctx context.Context, l *scenarios.Load, c *Client, peak float64) *Generator {
	running, abandon := context.WithCancel(ctx)
	pacing, stop := context.WithCancel(running)
	longest := c.giveUp * time.Duration(1+l.Retries)
	bound := min(maxWorkers, int(peak*longest.Seconds())+10)
	began := time.Now()
	g := &Generator{
		schedule: newSchedule(began, l.Rate), demand: demand{{from: l.Rate, to: l.Rate, at: began}}, client: c, stop: stop, abandon: abandon,
		done: make(chan struct{}), bound: bound, slip: hdrhistogram.New(1, longestSlip.Microseconds(), 2),
	}
	// An Attacker sends no requests when it is used a second time, so each load has its own.
	g.attacker = vegeta.NewAttacker(vegeta.Client(&http.Client{Transport: g}), vegeta.MaxWorkers(uint64(bound)), vegeta.Workers(uint64(min(bound, 10))))
	target := func(t *vegeta.Target) error {
		t.Method, t.URL = http.MethodGet, "http://firedrill.invalid/" // RoundTrip makes the real request
		return nil
	}
	results := g.attacker.Attack(target, pacer{pacing, g.schedule}, 0, "")
	go func() {
		<-pacing.Done()
		g.attacker.Stop() // unblocks an attack that waits for a free worker
	}()
	go func() {
		defer close(g.done)
		defer abandon()
		for r := range results {
			if r.Error != "" {
				g.mu.Lock()
				g.attackErr = fmt.Errorf("request %d: %s", r.Seq, r.Error)
				g.mu.Unlock()
			}
		}
	}()
	return g
}

// pacer paces vegeta's attack. Pace itself waits, on a context, so that the attack can end at once.
type pacer struct {
	ctx      context.Context
	schedule *schedule
}

func (p pacer) Pace(time.Duration, uint64) (time.Duration, bool) {
	return 0, !p.schedule.wait(p.ctx)
}

func (p pacer) Rate(time.Duration) float64 { return 0 }

// RoundTrip carries out one request of the load with all its attempts. Vegeta's sequence number
// identifies the request.
func (g *Generator) RoundTrip(req *http.Request) (*http.Response, error) {
	n, err := strconv.ParseUint(req.Header.Get("X-Vegeta-Seq"), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("read the request's number: %w", err)
	}
	due, ok := g.schedule.take(n)
	if !ok {
		return nil, fmt.Errorf("request %d was never due", n)
	}
	inFlight := g.inFlight.Add(1)
	defer g.inFlight.Add(-1)
	for highest := g.maxInFlight.Load(); inFlight > highest && !g.maxInFlight.CompareAndSwap(highest, inFlight); highest = g.maxInFlight.Load() {
	}
	g.mu.Lock()
	g.sent++
	_ = g.slip.RecordValue(min(max(1, time.Since(due).Microseconds()), longestSlip.Microseconds()))
	g.mu.Unlock()
	g.client.Do(n, due)
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Header: http.Header{}, Request: req}, nil
}

// Change changes the rate from now on: at once, or linearly from from to to over a duration.
func (g *Generator) Change(from, to float64, over time.Duration) {
	now := time.Now()
	g.demand = append(g.demand, stretch{at: now, over: over, from: from, to: to})
	g.schedule.change(now, from, to, over)
}

// catchUp is how long requests that are due when the load ends may still be sent. With it, a pause of
// the machine at that moment loses no more requests than an earlier pause, and only a generator that
// cannot keep up leaves requests unsent.
const catchUp = time.Second

// End stops the load, waits for requests in flight (no longer than the client's patience) and returns
// the results. It calls unsent for each request that was due but never sent.
func (g *Generator) End(unsent func(n uint64, due time.Time)) journal.Load {
	at := time.Now()
	g.schedule.end(at)
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
	g.stop()
	rest := g.schedule.remaining(at)
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
		Requested: g.demand.until(at), Intended: g.sent + len(rest), Sent: g.sent - generatorFailures,
		Unsent: len(rest) + generatorFailures, GeneratorErrors: maps.Clone(c.generatorErrors),
		Attempts: int(c.attempts.Load()), Wire: int(c.wire.Load()), Stale: int(c.stale.Load()), Retries: int(c.retried.Load()),
		SlipP99: time.Duration(g.slip.ValueAtQuantile(99)) * time.Microsecond, Workers: int(g.maxInFlight.Load()), Bound: g.bound,
		GiveUp: c.giveUp, Patience: c.Load.Patience(c.retryAfter.Load()),
	}
	if g.attackErr != nil {
		l.Error = g.attackErr.Error()
	}
	return l
}

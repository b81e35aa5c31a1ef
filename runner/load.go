package runner

import (
	"context"
	"fmt"
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

// load drives clients through vegeta, which paces and bounds the workers. Its own pacer, transport and latency are replaced: the schedule waits on
// a context and knows when each request was due, the client repeats only as its policy says, and time counts from the due time, so that a stall of
// the system is seen by every request that was due in it.
type load struct {
	schedule *schedule
	client   *client
	attacker *vegeta.Attacker
	stop     context.CancelFunc // no further request becomes due
	abandon  context.CancelFunc // requests under way are cut
	done     chan struct{}
	bound    int

	mu      sync.Mutex
	slip    *hdrhistogram.Histogram // microseconds from due to sent
	sent    int
	working atomic.Int64
	most    atomic.Int64
	broken  error
}

// maxWorkers bounds requests under way whatever is asked: beyond it the generator, not the system, would be measured.
const maxWorkers = 2000

// startLoad starts the load; peak is the highest rate that it will be asked for.
func startLoad(ctx context.Context, l *scenarios.Load, c *client, peak float64) *load {
	running, abandon := context.WithCancel(ctx)
	pacing, stop := context.WithCancel(running)
	longest := c.giveUp * time.Duration(1+l.Retries)
	bound := min(maxWorkers, int(peak*longest.Seconds())+10)
	g := &load{
		schedule: newSchedule(time.Now(), l.Rate), client: c, stop: stop, abandon: abandon,
		done: make(chan struct{}), bound: bound, slip: hdrhistogram.New(1, 60_000_000, 2),
	}
	// One attacker for one load: a second use of the same makes no hits.
	g.attacker = vegeta.NewAttacker(vegeta.Client(&http.Client{Transport: g}), vegeta.MaxWorkers(uint64(bound)), vegeta.Workers(uint64(min(bound, 10))))
	target := func(t *vegeta.Target) error {
		t.Method, t.URL = http.MethodGet, "http://firedrill.invalid/" // RoundTrip makes the real request
		return nil
	}
	results := g.attacker.Attack(target, pacer{pacing, g.schedule}, 0, "")
	go func() {
		<-pacing.Done()
		g.attacker.Stop() // frees a pacer that waits for a worker
	}()
	go func() {
		defer close(g.done)
		defer abandon()
		for r := range results {
			if r.Error != "" {
				g.mu.Lock()
				g.broken = fmt.Errorf("request %d: %s", r.Seq, r.Error)
				g.mu.Unlock()
			}
		}
	}()
	return g
}

// pacer gives vegeta its ticks. Pace itself waits, on a context, so that the attack ends at once.
type pacer struct {
	ctx      context.Context
	schedule *schedule
}

func (p pacer) Pace(time.Duration, uint64) (time.Duration, bool) {
	return 0, !p.schedule.wait(p.ctx)
}

func (p pacer) Rate(time.Duration) float64 { return 0 }

// RoundTrip carries out one request of the load, with all its attempts; vegeta's number tells which it is.
func (g *load) RoundTrip(req *http.Request) (*http.Response, error) {
	n, err := strconv.ParseUint(req.Header.Get("X-Vegeta-Seq"), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("read the request's number: %w", err)
	}
	due, ok := g.schedule.take(n)
	if !ok {
		return nil, fmt.Errorf("request %d was never due", n)
	}
	now := g.working.Add(1)
	defer g.working.Add(-1)
	for most := g.most.Load(); now > most && !g.most.CompareAndSwap(most, now); most = g.most.Load() {
	}
	g.mu.Lock()
	g.sent++
	_ = g.slip.RecordValue(max(1, time.Since(due).Microseconds()))
	g.mu.Unlock()
	g.client.do(n, due)
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Header: http.Header{}, Request: req}, nil
}

// catchUp is how long requests that are due at the end of the load may still be sent: a machine that pauses then delivers no less than one that pauses
// earlier, and only a generator that cannot keep up leaves some over.
const catchUp = time.Second

// end stops the load, waits for what is under way (at most for the client's patience) and tells how it went. unsent gets each request that was due and
// never sent.
func (g *load) end(unsent func(n uint64, due time.Time)) journal.Load {
	at := time.Now()
	g.schedule.end(at)
	late := time.AfterFunc(catchUp, g.stop)
	defer late.Stop()
	patience := time.NewTimer(catchUp + g.client.patience())
	defer patience.Stop()
	select {
	case <-g.done:
	case <-patience.C:
		g.abandon()
		<-g.done
	}
	g.stop()
	rest := g.schedule.rest(at)
	for n, due := range rest {
		unsent(n, due)
	}
	g.client.close()
	g.mu.Lock()
	defer g.mu.Unlock()
	l := journal.Load{
		Intended: g.sent + len(rest), Sent: g.sent, Unsent: len(rest),
		Attempts: int(g.client.attempts.Load()), Wire: int(g.client.wire.Load()), Repeated: int(g.client.repeated.Load()), Retries: int(g.client.retried.Load()),
		SlipP99: time.Duration(g.slip.ValueAtQuantile(99)) * time.Microsecond, Workers: int(g.most.Load()), Bound: g.bound,
	}
	if g.broken != nil {
		l.Error = g.broken.Error()
	}
	return l
}

package load

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"github.com/firedrill-dev/firedrill/runner/internal/schedule"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// maxWorkers bounds the requests in flight. With more, the generator would be measured instead of the
// system.
const maxWorkers = 2000

// openSource makes requests due by the clock. It drives vegeta, which keeps the pace and bounds the
// number of workers, and replaces vegeta's pacer, transport and latency measurement. The schedule waits
// on a context and records when each request was due. The client retries only as its policy allows.
type openSource struct {
	schedule *schedule.Schedule
	demand   schedule.Demand
	bound    int
	send     func(n uint64, due time.Time)

	mu  sync.Mutex
	err error // first error of the attack
}

func newOpenSource(began time.Time, rate float64, bound int) *openSource {
	return &openSource{schedule: schedule.New(began, rate), demand: schedule.Steady(began, rate), bound: bound}
}

func (o *openSource) start(pacing context.Context, send func(n uint64, due time.Time)) <-chan struct{} {
	o.send = send
	// An Attacker sends no requests when it is used a second time, so each load has its own.
	attacker := vegeta.NewAttacker(vegeta.Client(&http.Client{Transport: o}), vegeta.MaxWorkers(uint64(o.bound)), vegeta.Workers(uint64(min(o.bound, 10))))
	target := func(t *vegeta.Target) error {
		t.Method, t.URL = http.MethodGet, "http://firedrill.invalid/" // RoundTrip makes the real request
		return nil
	}
	results := attacker.Attack(target, pacer{pacing, o.schedule}, 0, "")
	go func() {
		<-pacing.Done()
		attacker.Stop() // unblocks an attack that waits for a free worker
	}()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for r := range results {
			if r.Error != "" {
				o.mu.Lock()
				o.err = fmt.Errorf("request %d: %s", r.Seq, r.Error)
				o.mu.Unlock()
			}
		}
	}()
	return done
}

// pacer paces vegeta's attack. Pace itself waits, on a context, so that the attack can end at once.
type pacer struct {
	ctx      context.Context
	schedule *schedule.Schedule
}

func (p pacer) Pace(time.Duration, uint64) (time.Duration, bool) {
	return 0, !p.schedule.Wait(p.ctx)
}

func (p pacer) Rate(time.Duration) float64 { return 0 }

// RoundTrip sends one request. Vegeta's sequence number identifies it.
func (o *openSource) RoundTrip(req *http.Request) (*http.Response, error) {
	n, err := strconv.ParseUint(req.Header.Get("X-Vegeta-Seq"), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("read the request's number: %w", err)
	}
	due, ok := o.schedule.Take(n)
	if !ok {
		return nil, fmt.Errorf("request %d was never due", n)
	}
	o.send(n, due)
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Header: http.Header{}, Request: req}, nil
}

// change changes the rate from now on.
func (o *openSource) change(now time.Time, course []scenarios.Stretch) {
	o.demand = o.demand.Change(now, course)
	o.schedule.Change(now, course)
}

func (o *openSource) end(at time.Time) { o.schedule.End(at) }

func (o *openSource) unsent(at time.Time) map[uint64]time.Time { return o.schedule.Remaining(at) }

func (o *openSource) account(l *journal.Load, at time.Time) {
	l.Requested = o.demand.Until(at)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		l.Error = o.err.Error()
	}
}

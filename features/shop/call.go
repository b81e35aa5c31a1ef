package shop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	failureMetrics = "metrics of failures"
	timeouts       = "timeouts"
)

var callProtections = []Protection{
	{failureMetrics, "customer, front, labels, loyalty, monitor, orders, sale", "failed calls show in the metrics of the part that made them, under the same names for every dependency"},
	{timeouts, "customer, front, labels, loyalty, monitor, orders, sale", "no call waits longer than its time-out"},
}

// dependency is a service that a part calls, with the protections for these calls. For calls that are retried see retrier.
type dependency struct {
	name   string
	base   string
	client *http.Client
	pool   pool
	limit  time.Duration // for a call, including the wait for a slot in the pool
	health *health       // nil without metrics of failures
}

// pool limits concurrent calls. A bulkhead is a pool that a dependency does not share with others.
type pool chan struct{}

// unlimited is the limit of calls if the protection "timeouts" is off.
const unlimited = time.Hour

// addDependency adds a dependency.
func (p *part) addDependency(name, addr string, slots pool, limit time.Duration, by protected) *dependency {
	if !by[timeouts] {
		limit = unlimited
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: 30 * time.Second, DisableCompression: true}
	d := &dependency{name: name, base: "http://" + addr, client: &http.Client{Transport: transport}, pool: slots, limit: limit}
	if by[failureMetrics] {
		d.health = p.addHealth(name)
	}
	p.all = append(p.all, d)
	return d
}

// health shows the calls of a dependency in the metrics: how many were made, how many failed, and whether it is up.
type health struct {
	calls, failures prometheus.Counter
	up              prometheus.Gauge
	inARow          atomic.Int32 // failures since the last success
}

// failuresUntilDown is the number of consecutive failures after which a dependency counts as down. One success makes it up.
const failuresUntilDown = 3

func (p *part) addHealth(dependency string) *health {
	label := prometheus.Labels{"dependency": dependency}
	h := &health{
		calls:    prometheus.NewCounter(prometheus.CounterOpts{Name: "dependency_calls_total", Help: "calls made", ConstLabels: label}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{Name: "dependency_failures_total", Help: "calls without an answer in time, or with a server error", ConstLabels: label}),
		up:       prometheus.NewGauge(prometheus.GaugeOpts{Name: "dependency_up", Help: "0 after several failures in a row, or else 1", ConstLabels: label}),
	}
	h.up.Set(1)
	p.metrics.MustRegister(h.calls, h.failures, h.up)
	return h
}

// record counts a call.
func (h *health) record(failed bool) {
	h.calls.Inc()
	if !failed {
		h.inARow.Store(0)
		h.up.Set(1)
		return
	}
	h.failures.Inc()
	if h.inARow.Add(1) >= failuresUntilDown {
		h.up.Set(0)
	}
}

// reply is a complete answer.
type reply struct {
	status int
	body   string
}

// call makes one call, and records its result unless the caller of the part has left.
func (d *dependency) call(ctx context.Context, method, path string, header http.Header, body string) (reply, error) {
	got, err := d.send(ctx, method, path, header, body)
	if d.health != nil && !errors.Is(ctx.Err(), context.Canceled) {
		d.health.record(err != nil || got.status >= http.StatusInternalServerError)
	}
	return got, err
}

// send makes one call. net/http sends a GET again if its connection was kept from an earlier call and ended without an answer,
// but nothing that has a body, even with an idempotency key, because the body can be read only once.
func (d *dependency) send(ctx context.Context, method, path string, header http.Header, body string) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, d.limit)
	defer cancel()
	select {
	case d.pool <- struct{}{}:
		defer func() { <-d.pool }()
	case <-ctx.Done():
		return reply{}, fmt.Errorf("call %s: wait for a slot in the pool: %w", d.name, ctx.Err())
	}
	req, err := http.NewRequestWithContext(ctx, method, d.base+path, nil)
	if err != nil {
		return reply{}, err
	}
	if body != "" {
		req.Body, req.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	}
	if header != nil {
		req.Header = header
	}
	resp, err := d.client.Do(req)
	if err != nil {
		return reply{}, fmt.Errorf("call %s: %w", d.name, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return reply{}, fmt.Errorf("call %s: %w", d.name, err)
	}
	return reply{resp.StatusCode, string(raw)}, nil
}

package shop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// dependency is a service that another calls, with what protects the caller from it.
type dependency struct {
	name   string
	base   string
	client *http.Client
	pool   pool
	limit  interface {
		timeout() time.Duration
		took(d time.Duration, timedOut bool)
	}
}

// pool bounds calls under way. A bulkhead is a dependency's own, and a full one refuses at once; a shared one is waited for.
type pool struct {
	slots chan struct{}
	waits bool
}

var errFull = errors.New("its pool is full")

func (p pool) take(ctx context.Context) error {
	if !p.waits {
		select {
		case p.slots <- struct{}{}:
			return nil
		default:
			return errFull
		}
	}
	select {
	case p.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p pool) give() { <-p.slots }

func newDependency(name, addr string, p pool) *dependency {
	transport := &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}
	return &dependency{name: name, base: "http://" + addr, client: &http.Client{Transport: transport}, pool: p}
}

// reply is an answer, read whole.
type reply struct {
	status int
	body   string
}

// call makes one call; there is no repetition here. A POST with a key is not repeated by net/http either: its body can be read only once.
func (d *dependency) call(ctx context.Context, method, path string, header http.Header, body string) (reply, error) {
	if err := d.pool.take(ctx); err != nil {
		return reply{}, fmt.Errorf("call %s: %w", d.name, err)
	}
	defer d.pool.give()
	ctx, cancel := context.WithTimeout(ctx, d.limit.timeout())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, d.base+path, io.NopCloser(strings.NewReader(body)))
	if err != nil {
		return reply{}, err
	}
	req.ContentLength = int64(len(body))
	if header != nil {
		req.Header = header
	}
	began := time.Now()
	resp, err := d.client.Do(req)
	if err == nil {
		defer resp.Body.Close()
		var raw []byte
		raw, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		if err == nil {
			d.limit.took(time.Since(began), false)
			return reply{resp.StatusCode, string(raw)}, nil
		}
	}
	d.limit.took(time.Since(began), errors.Is(err, context.DeadlineExceeded))
	return reply{}, fmt.Errorf("call %s: %w", d.name, err)
}

// fixed is a time-out that does not change. Without the protection it is as good as none.
type fixed time.Duration

func (f fixed) timeout() time.Duration { return time.Duration(f) }
func (fixed) took(time.Duration, bool) {}

func limited(d time.Duration, p protected) fixed {
	if !p[timeouts] {
		return fixed(time.Minute)
	}
	return fixed(d)
}

// adaptive is a time-out that follows measured response times: smoothed mean plus four times the smoothed deviation, doubled after each time-out (RFC
// 6298, section 2 and 5.5). As Karn's algorithm has it, a call that timed out is no measurement.
type adaptive struct {
	mu              sync.Mutex
	least, most     time.Duration
	now             time.Duration
	mean, deviation time.Duration
}

func (a *adaptive) timeout() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.now
}

func (a *adaptive) took(d time.Duration, timedOut bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case timedOut:
		if d < a.now { // another call has raised it meanwhile
			return
		}
		a.now = min(2*a.now, a.most)
		return
	case a.mean == 0:
		a.mean, a.deviation = d, d/2
	default:
		a.deviation += (max(d-a.mean, a.mean-d) - a.deviation) / 4
		a.mean += (d - a.mean) / 8
	}
	a.now = min(max(a.mean+4*a.deviation, a.least), a.most)
}

// budget lets a fifth of all calls be repetitions, and a few at the start.
type budget struct {
	mu      sync.Mutex
	tokens  float64
	endless bool
}

func newBudget(p protected) *budget { return &budget{tokens: 5, endless: !p[retryBudget]} }

func (b *budget) called() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens = min(b.tokens+0.2, 20)
}

func (b *budget) repeat() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.endless {
		return true
	}
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

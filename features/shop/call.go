package shop

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

const timeouts = "timeouts"

var callProtections = []Protection{
	{timeouts, "front, orders", "no call waits longer than its time-out"},
}

// dependency is a service that a part calls, with the protections for these calls. Calls are not retried; see retrier.
type dependency struct {
	name   string
	base   string
	client *http.Client
	pool   pool
	limit  time.Duration // for a call, including the wait for a slot in the pool
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
	p.all = append(p.all, d)
	return d
}

// reply is a complete answer.
type reply struct {
	status int
	body   string
}

// call makes one call. net/http does not retry it, even if it has an idempotency key, because the body can be read only
// once.
func (d *dependency) call(ctx context.Context, method, path string, header http.Header, body string) (reply, error) {
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

package shop

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// dependency is a service that another calls, with what protects the caller from it. Each call is made once; see resender.
type dependency struct {
	name   string
	base   string
	client *http.Client
	pool   pool
	limit  time.Duration // of a call, the wait for a place in the pool included
}

// pool bounds calls under way. A bulkhead is a dependency's own.
type pool chan struct{}

// without the time-outs, a call takes as long as it takes.
const unlimited = time.Hour

// depend adds a way to another service.
func (p *part) depend(name, addr string, places pool, limit time.Duration, by protected) *dependency {
	if !by[timeouts] {
		limit = unlimited
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: 30 * time.Second, DisableCompression: true}
	d := &dependency{name: name, base: "http://" + addr, client: &http.Client{Transport: transport}, pool: places, limit: limit}
	p.calls = append(p.calls, d)
	return d
}

// reply is an answer, read whole.
type reply struct {
	status int
	body   string
}

// call makes one call. net/http does not repeat it either, be it with a key: its body can be read only once.
func (d *dependency) call(ctx context.Context, method, path string, header http.Header, body string) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, d.limit)
	defer cancel()
	select {
	case d.pool <- struct{}{}:
		defer func() { <-d.pool }()
	case <-ctx.Done():
		return reply{}, fmt.Errorf("call %s: wait for a place in the pool: %w", d.name, ctx.Err())
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

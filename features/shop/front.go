package shop

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
)

// front composes pages.
type front struct {
	*part
	protected protected
	deps      map[string]*dependency
	cache     *cache // nil: none
	pages     prometheus.Counter
	degraded  prometheus.Counter
	missing   *prometheus.CounterVec
}

// bulkhead is how many calls to a dependency may be under way; without isolation, to all of them together.
const (
	bulkhead      = 6
	contentLimit  = time.Second
	optionalLimit = 300 * time.Millisecond
)

// optional are the parts that a page can do without.
var optional = []string{"comments", "ads", "stats"}

func newFront(c config) (*part, error) {
	f := &front{part: newPart(), protected: c.protected, deps: map[string]*dependency{}}
	shared := make(pool, bulkhead)
	for _, name := range append([]string{"content"}, optional...) {
		addr := c.links[name]
		if addr == "" {
			continue
		}
		p, limit := shared, optionalLimit
		if name == "content" {
			limit = contentLimit
		}
		if c.protected[isolation] {
			p = make(pool, bulkhead)
		}
		f.deps[name] = f.depend(name, addr, p, limit, c.protected)
	}
	if f.deps["content"] == nil {
		return nil, fmt.Errorf("--content is missing: a page is nothing without it")
	}
	f.needs = []*dependency{f.deps["content"]}
	if addr := c.links["cache"]; addr != "" {
		f.cache = newCache(addr, c.protected)
		f.end = f.cache.client.Close
	}
	f.pages = f.counter("pages_served_total", "pages served, degraded ones included")
	f.degraded = f.counter("pages_degraded_total", "pages served without a part")
	f.missing = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "part_failures_total", Help: "calls for parts that failed"}, []string{"part"})
	f.metrics.MustRegister(f.missing)
	f.routes.HandleFunc("GET /{$}", f.page("comments", "ads", "stats"))
	f.routes.HandleFunc("GET /article/{id}", f.page("ads", "stats"))
	f.routes.HandleFunc("GET /article/{id}/comments", f.page("comments", "ads", "stats"))
	return f.part, nil
}

// page composes a page of content and the named parts, which are fetched side by side.
func (f *front) page(names ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		texts := make([]string, len(names))
		var all sync.WaitGroup
		for i, name := range names {
			if f.deps[name] != nil {
				all.Go(func() { texts[i] = f.fetch(r.Context(), name, r.URL.Path) })
			}
		}
		content, err := f.content(r.Context(), r.URL.Path)
		all.Wait()
		if err != nil {
			http.Error(w, "no content", http.StatusBadGateway)
			return
		}
		var lacking []string
		for i, name := range names {
			if f.deps[name] != nil && texts[i] == "" {
				lacking = append(lacking, name)
			}
		}
		if len(lacking) > 0 {
			if !f.protected[fallbacks] {
				http.Error(w, "no "+strings.Join(lacking, ", "), http.StatusBadGateway)
				return
			}
			f.degraded.Inc()
			w.Header().Set("X-Degraded", "true")
			w.Header().Set("X-Degraded-Parts", strings.Join(lacking, ", "))
		}
		f.pages.Inc()
		fmt.Fprint(w, content, strings.Join(texts, ""))
	}
}

// fetch gets a part; "" when it is not to be had.
func (f *front) fetch(ctx context.Context, name, path string) string {
	got, err := f.deps[name].call(ctx, http.MethodGet, path, nil, "")
	if err != nil || got.status != http.StatusOK {
		f.missing.WithLabelValues(name).Inc()
		return ""
	}
	return got.body
}

// content gets a page's text, from the cache when there is one and it has it.
func (f *front) content(ctx context.Context, path string) (string, error) {
	if f.cache != nil {
		text, err := f.cache.get(ctx, path)
		if err == nil {
			return text, nil
		}
		if !f.protected[cacheBypass] && err != redis.Nil { //nolint:errorlint // the library's own way
			return "", err
		}
	}
	got, err := f.deps["content"].call(ctx, http.MethodGet, path, nil, "")
	if err != nil {
		return "", err
	}
	if got.status != http.StatusOK {
		return "", fmt.Errorf("content: status %d", got.status)
	}
	if f.cache != nil {
		f.cache.put(ctx, path, got.body)
	}
	return got.body, nil
}

// cache keeps pages in a Redis for a second. After an error it is left alone for a while, so that not every page waits for it.
type cache struct {
	client *redis.Client
	bypass bool

	mu    sync.Mutex
	until time.Time
}

func newCache(addr string, p protected) *cache {
	o := &redis.Options{Addr: addr, MaxRetries: -1, DialerRetries: 1, ContextTimeoutEnabled: true}
	limit := 100 * time.Millisecond
	if !p[timeouts] {
		limit = unlimited
	}
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = limit, limit, limit, limit
	return &cache{client: redis.NewClient(o), bypass: p[cacheBypass]}
}

func (c *cache) get(ctx context.Context, path string) (string, error) {
	if c.resting() {
		return "", fmt.Errorf("the cache rests")
	}
	text, err := c.client.Get(ctx, "page:"+path).Result()
	c.saw(err)
	return text, err
}

func (c *cache) put(ctx context.Context, path, text string) {
	if !c.resting() {
		c.saw(c.client.Set(ctx, "page:"+path, text, time.Second).Err())
	}
}

func (c *cache) resting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bypass && time.Now().Before(c.until)
}

func (c *cache) saw(err error) {
	if err == nil || err == redis.Nil { //nolint:errorlint // the library's own way
		return
	}
	c.mu.Lock()
	c.until = time.Now().Add(300 * time.Millisecond)
	c.mu.Unlock()
}

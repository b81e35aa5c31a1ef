package shop

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
)

const (
	cacheBypass = "cache bypass"
	fallbacks   = "fallbacks"
	isolation   = "isolation"
)

var frontProtections = []Protection{
	{cacheBypass, "front", "pages are served without the cache when it does not answer at once"},
	{fallbacks, "front", "a page whose optional part is missing is served without it, and marked"},
	{isolation, "front", "each dependency has a pool of its own; without, all share one"},
}

// front composes pages.
type front struct {
	*part
	protected protected
	deps      map[string]*dependency
	cache     *cache // nil if there is no cache
	pages     prometheus.Counter
	degraded  prometheus.Counter
}

const (
	// bulkhead is the number of concurrent calls to a dependency, or without isolation to all dependencies together.
	bulkhead      = 6
	contentLimit  = time.Second
	optionalLimit = 300 * time.Millisecond
)

// optional are the parts that a page does not need.
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
		f.deps[name] = f.addDependency(name, addr, p, limit, c.protected)
	}
	if f.deps["content"] == nil {
		return nil, fmt.Errorf("--content is missing: pages need it")
	}
	f.required = []*dependency{f.deps["content"]}
	if addr := c.links["cache"]; addr != "" {
		f.cache = newCache(addr, c.protected)
		f.stop = f.cache.client.Close
	}
	f.pages = f.counter("pages_served_total", "pages served, including degraded ones")
	f.degraded = f.counter("pages_degraded_total", "pages served without a part")
	f.routes.HandleFunc("GET /{$}", f.page("comments", "ads", "stats"))
	f.routes.HandleFunc("GET /article/{id}", f.page("ads", "stats"))
	f.routes.HandleFunc("GET /article/{id}/comments", f.page("comments", "ads", "stats"))
	return f.part, nil
}

// page composes a page of content and the named parts, which are fetched concurrently.
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
		var missing []string
		for i, name := range names {
			if f.deps[name] != nil && texts[i] == "" {
				missing = append(missing, name)
			}
		}
		if len(missing) > 0 {
			if !f.protected[fallbacks] {
				http.Error(w, "no "+strings.Join(missing, ", "), http.StatusBadGateway)
				return
			}
			f.degraded.Inc()
			w.Header().Set("X-Degraded", "true")
			w.Header().Set("X-Degraded-Parts", strings.Join(missing, ", "))
		}
		f.pages.Inc()
		fmt.Fprint(w, content, strings.Join(texts, ""))
	}
}

// fetch returns a part, or "" if it is not available.
func (f *front) fetch(ctx context.Context, name, path string) string {
	got, err := f.deps[name].call(ctx, http.MethodGet, path, nil, "")
	if err != nil || got.status != http.StatusOK {
		return ""
	}
	return got.body
}

// content returns the content of a page, from the cache if possible.
func (f *front) content(ctx context.Context, path string) (string, error) {
	if f.cache != nil {
		text, err := f.cache.get(ctx, path)
		if err == nil {
			return text, nil
		}
		if !f.protected[cacheBypass] && err != redis.Nil { //nolint:errorlint // as documented by the library
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

// cache caches pages in Redis for a second. With bypass, it is not used for a while after an error, so that not every page
// waits for it.
type cache struct {
	client *redis.Client
	bypass bool

	mu    sync.Mutex
	until time.Time
}

var errCacheBypassed = errors.New("the cache is bypassed")

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
	if c.bypassed() {
		return "", errCacheBypassed
	}
	text, err := c.client.Get(ctx, "page:"+path).Result()
	c.noteResult(err)
	return text, err
}

func (c *cache) put(ctx context.Context, path, text string) {
	if !c.bypassed() {
		c.noteResult(c.client.Set(ctx, "page:"+path, text, time.Second).Err())
	}
}

// bypassed reports whether the cache must not be used now.
func (c *cache) bypassed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bypass && time.Now().Before(c.until)
}

// noteResult starts a bypass after an error.
func (c *cache) noteResult(err error) {
	if err == nil || err == redis.Nil { //nolint:errorlint // as documented by the library
		return
	}
	c.mu.Lock()
	c.until = time.Now().Add(300 * time.Millisecond)
	c.mu.Unlock()
}

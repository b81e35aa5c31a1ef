package shop

import (
	"fmt"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const tenantLimits = "tenant limits"

var songsProtections = []Protection{
	{tenantLimits, "songs", "each tenant may ask 40 times a second, and is refused beyond that; without, one of them can take everything"},
}

// songs answers GET /{tenant}/songs. All tenants share a few workers.
type songs struct {
	*part
	workers pool
	limits  *limits // nil without tenant limits
}

const (
	songWorkers = 2
	songWork    = 20 * time.Millisecond // so that the workers can answer 100 requests a second
	tenantRate  = 40                    // per second
	tenantBurst = 20
)

func newSongs(c config) (*part, error) {
	s := &songs{part: newPart(), workers: make(pool, songWorkers)}
	if c.protected[tenantLimits] {
		s.limits = &limits{}
	}
	served := s.counter("songs_served_total", "lists of songs served")
	refused := s.counter("songs_refused_total", "requests refused because of the limit of their tenant")
	s.routes.HandleFunc("GET /{tenant}/songs", func(w http.ResponseWriter, r *http.Request) {
		tenant := r.PathValue("tenant")
		if s.limits != nil && !s.limits.of(tenant).Allow() {
			refused.Inc()
			w.Header().Set("Retry-After", "1")
			http.Error(w, tenant+" asks too often", http.StatusTooManyRequests)
			return
		}
		select {
		case s.workers <- struct{}{}:
			defer func() { <-s.workers }()
		case <-r.Context().Done():
			return
		}
		time.Sleep(songWork) // stands for the search
		served.Inc()
		fmt.Fprintf(w, "songs of %s\n", tenant)
	})
	return s.part, nil
}

// limits holds a token bucket for each tenant. Tenants are never forgotten: there must be a limited number of them.
type limits struct{ buckets sync.Map }

func (l *limits) of(tenant string) *rate.Limiter {
	b, _ := l.buckets.LoadOrStore(tenant, rate.NewLimiter(tenantRate, tenantBurst))
	return b.(*rate.Limiter)
}

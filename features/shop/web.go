package shop

import (
	"fmt"
	"net/http"
	"time"
)

const draining = "draining"

var webProtections = []Protection{
	{draining, "web", "before it stops, it says so in its answers and goes on answering for a while, until no balancer sends it requests any more"},
}

// drainHeader marks answers of an instance that is about to stop. A balancer sends it no further requests.
const drainHeader = "X-Draining"

// drainTime is how long an instance goes on answering before it stops. In this time, each balancer has to have had an answer.
const drainTime = 600 * time.Millisecond

// newWeb returns a web server of which several instances stand behind a balancer.
func newWeb(c config) (*part, error) {
	p := newPart()
	served := p.counter("pages_served_total", "pages served")
	p.routes.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		if p.leaving.Load() {
			w.Header().Set(drainHeader, "true")
		}
		served.Inc()
		fmt.Fprintf(w, "page %s\n", r.URL.Path)
	})
	p.leave = func() {
		if c.protected[draining] {
			p.leaving.Store(true)
			time.Sleep(drainTime)
		}
	}
	return p, nil
}

package shop

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const alerting = "alerting"

var monitorProtections = []Protection{
	{alerting, "monitor", "an alert is raised when a tenth of the pages lack a part; without, only when the front does not answer"},
}

// monitor reads the metrics of the front, and lists the alerts that they call for.
type monitor struct {
	*part
	protected protected
	front     *dependency

	mu     sync.Mutex
	recent []pageCounts // the last ones, the oldest first
	down   bool         // the front did not answer
}

// pageCounts are the counters of the front at a moment.
type pageCounts struct{ pages, degraded float64 }

const (
	scrapeInterval = 200 * time.Millisecond
	alertScrapes   = 5   // an alert is about the time of so many scrapes
	alertShare     = 0.1 // of pages that are degraded
)

func newMonitor(c config) (*part, error) {
	if c.links["front"] == "" {
		return nil, errors.New("--front is missing")
	}
	m := &monitor{part: newPart(), protected: c.protected}
	m.front = m.addDependency("front", c.links["front"], make(pool, 1), time.Second, c.protected)
	m.routes.HandleFunc("GET /alerts", m.list)
	ctx, end := context.WithCancel(context.Background())
	var reading sync.WaitGroup
	reading.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(scrapeInterval):
				m.scrape(ctx)
			}
		}
	})
	m.stop = func() error { end(); reading.Wait(); return nil }
	return m.part, nil
}

// scrape reads the metrics once.
func (m *monitor) scrape(ctx context.Context) {
	got, err := m.front.call(ctx, http.MethodGet, "/metrics", nil, "")
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down = err != nil || got.status != http.StatusOK; m.down {
		return
	}
	m.recent = append(m.recent, pageCounts{metric(got.body, "pages_served_total"), metric(got.body, "pages_degraded_total")})
	m.recent = m.recent[max(0, len(m.recent)-alertScrapes-1):]
}

// alerts returns the alerts that are firing.
func (m *monitor) alerts() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := []string{}
	if m.down {
		all = append(all, "FrontDown")
	}
	if m.protected[alerting] && len(m.recent) > 0 {
		from, to := m.recent[0], m.recent[len(m.recent)-1]
		if degraded := to.degraded - from.degraded; degraded > 0 && degraded >= alertShare*(to.pages-from.pages) {
			all = append(all, "PagesDegraded")
		}
	}
	return all
}

func (m *monitor) list(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"firing": m.alerts()})
}

// metric returns the value of a metric without labels in the text format of Prometheus, or 0 if it is missing.
func metric(text, name string) float64 {
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				fmt.Printf("metric %s: %v\n", name, err)
			}
			return n
		}
	}
	return 0
}

package runner

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics serves the counts of injections and links to Prometheus during a run. A nil *metrics serves
// nothing.
type metrics struct {
	address string
	server  *http.Server
	serving sync.WaitGroup
	mu      sync.Mutex
	// Sessions whose system came up, including ended ones, so that counters do not disappear between two scrapes.
	sessions []*session
}

// serveMetrics starts to listen on address. If address is "", it returns nil. Without a host it
// listens on the loopback interface.
func serveMetrics(address string) (*metrics, error) {
	if address == "" {
		return nil, nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("serve metrics at %q: write host and port, as in 127.0.0.1:9464: %w", address, err)
	}
	ln, err := net.Listen("tcp", net.JoinHostPort(cmp.Or(host, "127.0.0.1"), port))
	if err != nil {
		return nil, fmt.Errorf("serve metrics at %q: choose another port: %w", address, err)
	}
	m := &metrics{address: ln.Addr().String()}
	registry := prometheus.NewRegistry()
	registry.MustRegister(m)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	m.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	m.serving.Go(func() { _ = m.server.Serve(ln) })
	return m, nil
}

func (m *metrics) close() {
	if m != nil {
		_ = m.server.Close()
		m.serving.Wait()
	}
}

// add starts to export the metrics of a scenario whose system is up.
func (m *metrics) add(s *session) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	// Replaces an earlier attempt.
	m.sessions = append(slices.DeleteFunc(m.sessions, func(o *session) bool { return o.e.ID == s.e.ID }), s)
}

// metric describes one metric of an injection or a link.
type metric struct {
	kind prometheus.ValueType
	desc *prometheus.Desc
}

func newMetric(kind prometheus.ValueType, name, help string, labels ...string) metric {
	return metric{kind, prometheus.NewDesc("firedrill_"+name, help, labels, nil)}
}

func faultMetric(kind prometheus.ValueType, name, help string, more ...string) metric {
	return newMetric(kind, "fault_"+name, help, append([]string{"scenario", "fault", "kind", "on"}, more...)...)
}

func linkMetric(kind prometheus.ValueType, name, help string, more ...string) metric {
	return newMetric(kind, "link_"+name, help, append([]string{"scenario", "link"}, more...)...)
}

var (
	faultLive        = faultMetric(prometheus.GaugeValue, "live", "1 while the fault is live, 0 before and after.")
	faultSeen        = faultMetric(prometheus.CounterValue, "seen_total", "Units that the fault looked at.", "unit")
	faultAffected    = faultMetric(prometheus.CounterValue, "affected_total", "Units for which its effect happened.", "unit")
	faultConnections = faultMetric(prometheus.CounterValue, "connections_affected_total", "Connections on which its effect happened.")
	faultBytes       = faultMetric(prometheus.CounterValue, "bytes_seen_total", "Bytes that went while it was live.")
	faultBytesHit    = faultMetric(prometheus.CounterValue, "bytes_affected_total", "Bytes that it affected.")
	faultDelay       = faultMetric(prometheus.GaugeValue, "delay_seconds", "What was really added to units that were kept, so far.", "quantile")

	linkOpened  = linkMetric(prometheus.CounterValue, "connections_total", "Connections accepted.")
	linkLive    = linkMetric(prometheus.GaugeValue, "connections", "Connections that are open.")
	linkRefused = linkMetric(prometheus.CounterValue, "dials_failed_total", "Dials of the dependency that failed.")
	linkResets  = linkMetric(prometheus.CounterValue, "resets_total", "Connections that ended with a reset towards the client.")
	linkBytes   = linkMetric(prometheus.CounterValue, "bytes_total", "Bytes carried.", "direction")
)

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range []metric{
		faultLive, faultSeen, faultAffected, faultConnections, faultBytes, faultBytesHit, faultDelay, linkOpened, linkLive, linkRefused, linkResets, linkBytes,
	} {
		ch <- f.desc
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	m.mu.Lock()
	sessions := slices.Clone(m.sessions)
	m.mu.Unlock()
	for _, s := range sessions {
		s.collectMetrics(func(f metric, value float64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(f.desc, f.kind, value, append([]string{s.e.ID}, labels...)...)
		})
	}
}

// collectMetrics calls emit for each metric of a scenario.
func (s *session) collectMetrics(emit func(f metric, value float64, labels ...string)) {
	s.mu.Lock()
	placed, live := slices.Clone(s.placed), slices.Clone(s.live)
	s.mu.Unlock()
	for _, in := range placed {
		t, labels := in.count.Tally(), []string{in.ID, in.Kind, in.on}
		isLive := 0.0
		if slices.Contains(live, in) {
			isLive = 1
		}
		emit(faultLive, isLive, labels...)
		emit(faultSeen, float64(t.Seen), append(labels, in.unit)...)
		emit(faultAffected, float64(t.Affected), append(labels, in.unit)...)
		emit(faultConnections, float64(t.Connections), labels...)
		emit(faultBytes, float64(t.BytesSeen), labels...)
		emit(faultBytesHit, float64(t.BytesAffected), labels...)
		if t.Delayed > 0 {
			emit(faultDelay, t.DelayP50.Seconds(), append(labels, "0.5")...)
			emit(faultDelay, t.DelayP99.Seconds(), append(labels, "0.99")...)
			emit(faultDelay, t.Worst.Seconds(), append(labels, "1")...)
		}
	}
	for _, l := range s.e.System.Links {
		open, name := s.system.links[l.Name()], l.Name()
		if open == nil {
			continue // links of datagrams have no connections
		}
		c := open.Counters()
		emit(linkOpened, float64(c.Opened), name)
		emit(linkLive, float64(c.Live), name)
		emit(linkRefused, float64(c.DialErrors), name)
		emit(linkResets, float64(c.Resets), name)
		emit(linkBytes, float64(c.BytesToServer), name, "to server")
		emit(linkBytes, float64(c.BytesToClient), name, "to client")
	}
}

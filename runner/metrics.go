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

// metrics serves what injections and links count, for Prometheus, while a run lasts. A nil one serves nothing.
type metrics struct {
	address string
	server  *http.Server
	serving sync.WaitGroup
	mu      sync.Mutex
	all     []*session // those whose system came up, ended ones too: what was counted does not go away between two scrapes
}

// serveMetrics listens, or says why it cannot; "" listens nowhere. Without a host it is reached from this machine only.
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

// add lets a scenario be seen; its system is up.
func (m *metrics) add(s *session) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all = append(m.all, s)
}

// figure is a row of the table of what is told: of an injection, or of a link.
type figure struct {
	kind prometheus.ValueType
	desc *prometheus.Desc
}

func figureOf(kind prometheus.ValueType, name, help string, labels ...string) figure {
	return figure{kind, prometheus.NewDesc("firedrill_"+name, help, labels, nil)}
}

func ofFault(kind prometheus.ValueType, name, help string, more ...string) figure {
	return figureOf(kind, "fault_"+name, help, append([]string{"scenario", "fault", "kind", "on"}, more...)...)
}

func ofLink(kind prometheus.ValueType, name, help string, more ...string) figure {
	return figureOf(kind, "link_"+name, help, append([]string{"scenario", "link"}, more...)...)
}

var (
	faultLive        = ofFault(prometheus.GaugeValue, "live", "1 while the fault is live, 0 before and after.")
	faultSeen        = ofFault(prometheus.CounterValue, "seen_total", "Units that the fault looked at.", "unit")
	faultAffected    = ofFault(prometheus.CounterValue, "affected_total", "Units for which its effect happened.", "unit")
	faultConnections = ofFault(prometheus.CounterValue, "connections_affected_total", "Connections on which its effect happened.")
	faultBytes       = ofFault(prometheus.CounterValue, "bytes_seen_total", "Bytes that went while it was live.")
	faultBytesHit    = ofFault(prometheus.CounterValue, "bytes_affected_total", "Bytes that it affected.")
	faultDelay       = ofFault(prometheus.GaugeValue, "delay_seconds", "What was really added to units that were kept, so far.", "quantile")

	linkOpened  = ofLink(prometheus.CounterValue, "connections_total", "Connections accepted.")
	linkLive    = ofLink(prometheus.GaugeValue, "connections", "Connections that are open.")
	linkRefused = ofLink(prometheus.CounterValue, "dials_failed_total", "Dials of the dependency that failed.")
	linkResets  = ofLink(prometheus.CounterValue, "resets_total", "Connections that ended with a reset towards the client.")
	linkBytes   = ofLink(prometheus.CounterValue, "bytes_total", "Bytes carried.", "direction")
)

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range []figure{
		faultLive, faultSeen, faultAffected, faultConnections, faultBytes, faultBytesHit, faultDelay, linkOpened, linkLive, linkRefused, linkResets, linkBytes,
	} {
		ch <- f.desc
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	m.mu.Lock()
	all := slices.Clone(m.all)
	m.mu.Unlock()
	for _, s := range all {
		s.measure(func(f figure, value float64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(f.desc, f.kind, value, append([]string{s.e.ID}, labels...)...)
		})
	}
}

// measure tells each figure of a scenario.
func (s *session) measure(tell func(f figure, value float64, labels ...string)) {
	s.mu.Lock()
	placed, live := slices.Clone(s.placed), slices.Clone(s.live)
	s.mu.Unlock()
	for _, in := range placed {
		t, labels := in.count.Tally(), []string{in.ID, in.Kind, in.on}
		is := 0.0
		if slices.Contains(live, in) {
			is = 1
		}
		tell(faultLive, is, labels...)
		tell(faultSeen, float64(t.Seen), append(labels, in.unit)...)
		tell(faultAffected, float64(t.Affected), append(labels, in.unit)...)
		tell(faultConnections, float64(t.Connections), labels...)
		tell(faultBytes, float64(t.BytesSeen), labels...)
		tell(faultBytesHit, float64(t.BytesAffected), labels...)
		if t.Delayed > 0 {
			tell(faultDelay, t.DelayP50.Seconds(), append(labels, "0.5")...)
			tell(faultDelay, t.DelayP99.Seconds(), append(labels, "0.99")...)
			tell(faultDelay, t.Worst.Seconds(), append(labels, "1")...)
		}
	}
	for _, l := range s.e.System.Links {
		open, name := s.system.links[l.Name()], l.Name()
		if open == nil {
			continue // datagrams have no connections
		}
		c := open.Counters()
		tell(linkOpened, float64(c.Opened), name)
		tell(linkLive, float64(c.Live), name)
		tell(linkRefused, float64(c.DialErrors), name)
		tell(linkResets, float64(c.Resets), name)
		tell(linkBytes, float64(c.BytesToServer), name, "to server")
		tell(linkBytes, float64(c.BytesToClient), name, "to client")
	}
}

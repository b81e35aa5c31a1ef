package main

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/firedrill-dev/firedrill/injector/loopback"
	"github.com/firedrill-dev/firedrill/runner"
)

// metrics serves the counts of faults and links to Prometheus. A nil *metrics serves nothing.
type metrics struct {
	address string
	counts  func() []runner.Counts
	server  *http.Server
	serving sync.WaitGroup
}

// serveMetrics starts to listen on address. If address is "", it returns nil. Without a host it
// listens on the loopback interface.
func serveMetrics(address string, counts func() []runner.Counts) (*metrics, error) {
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
	m := &metrics{address: ln.Addr().String(), counts: counts}
	registry := prometheus.NewRegistry()
	registry.MustRegister(m)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	var handler http.Handler = mux
	if loopback.Host(m.address) { // any host name is accepted if other machines may read the metrics
		handler = loopback.Only(mux)
	}
	m.server = &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	m.serving.Go(func() { _ = m.server.Serve(ln) })
	return m, nil
}

func (m *metrics) close() {
	if m != nil {
		_ = m.server.Close()
		m.serving.Wait()
	}
}

// metric describes one metric of a fault or a link.
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
	emit := func(f metric, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(f.desc, f.kind, value, labels...)
	}
	for _, c := range m.counts() {
		for _, f := range c.Faults {
			labels := func(more ...string) []string { return append([]string{c.Scenario, f.Fault, f.Kind, f.On}, more...) }
			live := 0.0
			if f.Live {
				live = 1
			}
			emit(faultLive, live, labels()...)
			emit(faultSeen, float64(f.Seen), labels(f.Unit)...)
			emit(faultAffected, float64(f.Affected), labels(f.Unit)...)
			emit(faultConnections, float64(f.Connections), labels()...)
			emit(faultBytes, float64(f.BytesSeen), labels()...)
			emit(faultBytesHit, float64(f.BytesAffected), labels()...)
			if f.Delayed > 0 {
				emit(faultDelay, f.DelayP50.Seconds(), labels("0.5")...)
				emit(faultDelay, f.DelayP99.Seconds(), labels("0.99")...)
				emit(faultDelay, f.Worst.Seconds(), labels("1")...)
			}
		}
		for _, l := range c.Links {
			emit(linkOpened, float64(l.Opened), c.Scenario, l.Link)
			emit(linkLive, float64(l.Live), c.Scenario, l.Link)
			emit(linkRefused, float64(l.DialErrors), c.Scenario, l.Link)
			emit(linkResets, float64(l.Resets), c.Scenario, l.Link)
			emit(linkBytes, float64(l.BytesToServer), c.Scenario, l.Link, "to server")
			emit(linkBytes, float64(l.BytesToClient), c.Scenario, l.Link, "to client")
		}
	}
}

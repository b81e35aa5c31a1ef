package browser

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
)

// parsed holds metrics as Prometheus parses them.
type parsed struct {
	kinds, units, help map[string]string
	values             map[string]float64 // by series
	order              []labels.Labels
}

// parseMetrics parses with Prometheus' own parser of OpenMetrics. It fails the test if a series occurs twice, or has no type.
func parseMetrics(t *testing.T, text []byte) (parsed, error) {
	t.Helper()
	m := parsed{kinds: map[string]string{}, units: map[string]string{}, help: map[string]string{}, values: map[string]float64{}}
	p := textparse.NewOpenMetricsParser(text, labels.NewSymbolTable())
	for {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			return m, nil
		}
		if err != nil {
			return m, err
		}
		switch entry {
		case textparse.EntryType:
			name, kind := p.Type()
			m.kinds[string(name)] = string(kind)
		case textparse.EntryUnit:
			name, unit := p.Unit()
			m.units[string(name)] = string(unit)
		case textparse.EntryHelp:
			name, help := p.Help()
			m.help[string(name)] = string(help)
		case textparse.EntrySeries:
			_, at, value := p.Series()
			var l labels.Labels
			p.Labels(&l)
			if _, twice := m.values[l.String()]; twice || at != nil {
				return m, fmt.Errorf("series %s: twice, or with a timestamp", l)
			}
			m.values[l.String()] = value
			m.order = append(m.order, l)
		default:
			return m, fmt.Errorf("unexpected entry %d", entry)
		}
	}
}

// TestPrometheusParsesMetrics: Prometheus parses the metrics of each run, also those with hostile text in every field; each
// family has a type and a help text, buckets add up, and each state set has one state.
func TestPrometheusParsesMetrics(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(pages, "*.metrics.txt"))
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files of metrics: %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".metrics.txt")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		m, err := parseMetrics(t, text)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(m.kinds) < 10 || len(m.help) != len(m.kinds) || m.units["firedrill_request_duration_seconds"] != "seconds" {
			t.Errorf("%s: %d families, %d help texts, units %v", name, len(m.kinds), len(m.help), m.units)
		}
		states, buckets := map[string]float64{}, map[string]float64{}
		for _, l := range m.order {
			series, of := l.Get(labels.MetricName), labels.NewBuilder(l)
			value := m.values[l.String()]
			switch {
			case m.kinds[series] == "stateset":
				states[of.Del(series).Labels().String()] += value
			case strings.HasSuffix(series, "_bucket"):
				key := of.Del("le").Labels().String()
				if value < buckets[key] {
					t.Errorf("%s: %s has fewer than the bucket before", name, l)
				}
				buckets[key] = value
			case strings.HasSuffix(series, "_count"):
				if n := buckets[of.Set(labels.MetricName, strings.TrimSuffix(series, "_count")+"_bucket").Labels().String()]; n != value {
					t.Errorf("%s: %s is %v, and its last bucket %v", name, l, value, n)
				}
			}
		}
		for _, series := range slices.Sorted(maps.Keys(states)) {
			if states[series] != 1 {
				t.Errorf("%s: %s has %v states", name, series, states[series])
			}
		}
	}
}

// TestMetricsAreThoseOfTheRun compares metrics with the figures of the recorded run.
func TestMetricsAreThoseOfTheRun(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(pages, "failed.metrics.txt"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := parseMetrics(t, text)
	if err != nil {
		t.Fatal(err)
	}
	const scenario = "orders--failed"
	series := func(name string, pairs ...string) string {
		return labels.FromStrings(append([]string{labels.MetricName, "firedrill_" + name, "scenario", scenario}, pairs...)...).String()
	}
	route := []string{"load", "", "route", "POST /orders", "window", "during"}
	fault := []string{"fault", scenario + "/1", "kind", "lost reply", "on", "orders -> payments", "unit", "calls"}
	for want, value := range map[string]float64{
		series("scenario_outcome", "firedrill_scenario_outcome", "failed"):                                                       1,
		series("scenario_outcome", "firedrill_scenario_outcome", "passed"):                                                       0,
		series("check_outcome", "check", "no order is applied twice", "kind", "none twice", "firedrill_check_outcome", "failed"): 1,
		series("requests_total", append(route, "outcome", "ok")...):                                                              192, // 48 in each of four seconds
		series("requests_total", append(route, "outcome", "refused")...):                                                         8,
		series("requests_total", append(route, "outcome", "ambiguous")...):                                                       40,
		series("request_errors_total", append(route, "error", "timeout")...):                                                     40,
		series("request_duration_seconds_bucket", append(route, "le", "1.0")...):                                                 192,
		series("request_duration_seconds_bucket", append(route, "le", "2.0")...):                                                 240,
		series("fault_seen_total", fault...):                                                                                     800,
		series("fault_affected_total", fault...):                                                                                 160,
		series("link_bytes_total", "link", "orders -> payments", "direction", "to server"):                                       4567890,
		labels.FromStrings(labels.MetricName, "firedrill_run_info", "id", "20260102T030405-7f3a", "version", "test", "seed", "42", "outcome", "failed", "reason", "").String(): 1,
	} {
		if got, ok := m.values[want]; !ok || got != value {
			t.Errorf("%s is %v (%v), not %v", want, got, ok, value)
		}
	}
	if m.kinds["firedrill_requests"] != "counter" || m.kinds["firedrill_request_duration_seconds"] != "histogram" {
		t.Errorf("types: %v", m.kinds)
	}
	if _, err := parseMetrics(t, []byte(strings.TrimSuffix(string(text), "# EOF\n"))); err == nil {
		t.Error("the parser accepts metrics without an end")
	}
}

package reports

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// writeMetrics writes a run in the text format of OpenMetrics 1.0. Names, and the labels of faults and links, are those of
// firedrill run --metrics. Values have no timestamps: they are those of the end of the run.
func writeMetrics(w io.Writer, b *journal.Book) error {
	m := metricsWriter{out: bufio.NewWriter(w)}
	m.run(b)
	m.outcomes(b)
	m.requests(b)
	m.faults(b)
	m.links(b)
	fmt.Fprintln(m.out, "# EOF")
	return m.out.Flush()
}

// metricsWriter writes families of metrics. Its first error is that of the final Flush.
type metricsWriter struct {
	out  *bufio.Writer
	name string // of the current family
}

// family begins a family. The unit is "" or the end of its name.
func (m *metricsWriter) family(kind, name, unit, help string) {
	m.name = "firedrill_" + name
	fmt.Fprintf(m.out, "# TYPE %s %s\n", m.name, kind)
	if unit != "" {
		fmt.Fprintf(m.out, "# UNIT %s %s\n", m.name, unit)
	}
	fmt.Fprintf(m.out, "# HELP %s %s\n", m.name, metricEscapes.Replace(help))
}

// sample writes a value. Labels are names and values in turn.
func (m *metricsWriter) sample(suffix string, value float64, labels ...string) {
	pairs := make([]string, 0, len(labels)/2)
	for i := 0; i < len(labels); i += 2 {
		pairs = append(pairs, labels[i]+`="`+metricEscapes.Replace(plain(labels[i+1]))+`"`)
	}
	all := strings.Join(pairs, ",")
	if all != "" {
		all = "{" + all + "}"
	}
	fmt.Fprintf(m.out, "%s%s%s %s\n", m.name, suffix, all, strconv.FormatFloat(value, 'g', -1, 64))
}

var metricEscapes = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)

func (m *metricsWriter) run(b *journal.Book) {
	reason := ""
	if len(causes(b)) == 0 || abortReason(b) != "" {
		reason = unjudgedReason(b)
	}
	m.family("info", "run", "", "The run. The outcome is that of the exit code.")
	m.sample("_info", 1, "id", b.Run.ID, "version", b.Run.Version, "seed", fmt.Sprint(b.Run.Seed), "outcome", Outcome(b), "reason", reason)
	m.family("gauge", "run_began_timestamp_seconds", "seconds", "When the run began, in seconds since 1970.")
	m.sample("", float64(b.Run.Began.Unix())+float64(b.Run.Began.Nanosecond())/1e9)
	m.family("gauge", "scenario_duration_seconds", "seconds", "How long a scenario took.")
	for _, h := range b.Scenarios {
		m.sample("", (h.Ended - h.Began).Seconds(), "scenario", h.ID)
	}
}

// outcomes writes the outcomes of scenarios and of their checks.
func (m *metricsWriter) outcomes(b *journal.Book) {
	m.family("stateset", "scenario_outcome", "", "1 for the outcome of a scenario, 0 for all others. A retry is a scenario of its own.")
	for _, h := range b.Scenarios {
		m.states(append([]string{"not run"}, ranks...), outcome(h), "scenario", h.ID)
	}
	for _, p := range b.NotRun() {
		m.states(append([]string{"not run"}, ranks...), "not run", "scenario", p.ID)
	}
	m.family("stateset", "check_outcome", "", "1 for the verdict of a check, 0 for all others.")
	for _, h := range b.Scenarios {
		seen := map[string]int{}
		for _, v := range h.Verdicts {
			name := v.Check
			if seen[name]++; seen[name] > 1 {
				name = fmt.Sprintf("%s (%d)", name, seen[v.Check])
			}
			m.states([]string{"passed", "failed", "inconclusive"}, v.Outcome, "scenario", h.ID, "check", name, "kind", v.Kind)
		}
	}
}

// states writes a state set. A state that is not in the list is the last one.
func (m *metricsWriter) states(all []string, state string, labels ...string) {
	if !slices.Contains(all, state) {
		state = "inconclusive"
	}
	for _, s := range all {
		value := 0.0
		if s == state {
			value = 1
		}
		m.sample("", value, slices.Concat(labels, []string{m.name, s})...)
	}
}

// requestGroup is what the requests of a series have in common.
type requestGroup struct{ scenario, load, route, window string }

func (g requestGroup) labels(more ...string) []string {
	return append([]string{"scenario", g.scenario, "load", g.load, "route", g.route, "window", g.window}, more...)
}

// requestGroups sums the samples of each scenario, load, route and window. Requests that overlap a pause of the runner are in
// the window "paused".
func requestGroups(b *journal.Book) (order []requestGroup, totals map[requestGroup]journal.Totals) {
	totals = map[requestGroup]journal.Totals{}
	for _, h := range b.Scenarios {
		samples := map[requestGroup][]journal.Sample{}
		for _, s := range h.Samples {
			g := requestGroup{h.ID, s.Load, s.Route, string(s.Window)}
			if s.Paused {
				g.window = "paused"
			}
			if samples[g] == nil {
				order = append(order, g)
			}
			samples[g] = append(samples[g], s)
		}
		for g, own := range samples {
			totals[g] = (&journal.History{Samples: own}).Sum(func(journal.Sample) bool { return true })
		}
	}
	return order, totals
}

func (m *metricsWriter) requests(b *journal.Book) {
	groups, totals := requestGroups(b)
	m.counts(groups, totals)
	m.latency(groups, totals)
}

func (m *metricsWriter) counts(groups []requestGroup, totals map[requestGroup]journal.Totals) {
	m.family("counter", "requests", "", "Requests of the load by final outcome: ok, fallback, refused (certainly not applied), failed, ambiguous (possibly applied), one way (not answered as a rule). Each is in the window in which it was due; those that were in flight when a fault was injected or healed have windows of their own.")
	for _, g := range groups {
		t := totals[g]
		for _, o := range []struct {
			name string
			n    int
		}{{"ok", t.OK}, {"fallback", t.Fallback}, {"refused", t.Refused}, {"failed", t.Failed}, {"ambiguous", t.Ambiguous}, {"one way", t.OneWay}} {
			m.sample("_total", float64(o.n), g.labels("outcome", o.name)...)
		}
	}
	m.family("counter", "requests_unsent", "", "Requests that were due and never sent.")
	for _, g := range groups {
		m.sample("_total", float64(totals[g].Unsent), g.labels()...)
	}
	m.family("counter", "request_attempts", "", "Attempts of requests, with repetitions.")
	for _, g := range groups {
		m.sample("_total", float64(totals[g].Attempts), g.labels()...)
	}
	m.family("counter", "request_errors", "", "Requests without success by the error of their last attempt.")
	for _, g := range groups {
		for _, kind := range sorted(totals[g].Errors) {
			m.sample("_total", float64(totals[g].Errors[kind]), g.labels("error", kind)...)
		}
	}
}

// latencyBounds are the upper ends of the buckets of latency.
var latencyBounds = []time.Duration{
	time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 20 * time.Second, time.Minute,
}

func (m *metricsWriter) latency(groups []requestGroup, totals map[requestGroup]journal.Totals) {
	m.family("histogram", "request_duration_seconds", "seconds", "From when a request was due to its final outcome. The journal rounds each value up, by at most 1%, and so do the sum and the buckets.")
	for _, g := range groups {
		latency := totals[g].Latency
		n, sum, next := int64(0), 0.0, 0
		for _, bound := range latencyBounds {
			for ; next < len(latency) && latency[next].Up <= bound; next++ {
				n += latency[next].N
				sum += latency[next].Up.Seconds() * float64(latency[next].N)
			}
			m.sample("_bucket", float64(n), g.labels("le", decimal(bound.Seconds()))...)
		}
		for _, slow := range latency[next:] {
			n += slow.N
			sum += slow.Up.Seconds() * float64(slow.N)
		}
		m.sample("_bucket", float64(n), g.labels("le", "+Inf")...)
		m.sample("_sum", sum, g.labels()...)
		m.sample("_count", float64(n), g.labels()...)
	}
}

// decimal formats a number as a float: OpenMetrics writes "1.0".
func decimal(f float64) string {
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

func (m *metricsWriter) faults(b *journal.Book) {
	for _, c := range []struct {
		name, help string
		value      func(*journal.Injection) int64
	}{
		{"fault_seen", "Units that the fault looked at.", func(in *journal.Injection) int64 { return in.Seen }},
		{"fault_affected", "Units for which its effect happened. A fault with 0 was injected and never acted.", func(in *journal.Injection) int64 { return in.Affected }},
	} {
		m.family("counter", c.name, "", c.help)
		for _, h := range b.Scenarios {
			for _, in := range h.Faults {
				m.sample("_total", float64(c.value(in)), "scenario", h.ID, "fault", in.ID, "kind", in.Kind, "on", in.On, "unit", in.Unit)
			}
		}
	}
	m.family("gauge", "fault_duration_seconds", "seconds", "From the injection to the end of healing, or to the end of the scenario if it was never healed.")
	for _, h := range b.Scenarios {
		for _, in := range h.Faults {
			until := in.Healed
			if until == 0 {
				until = h.Ended
			}
			m.sample("", (until - in.Injected).Seconds(), "scenario", h.ID, "fault", in.ID, "kind", in.Kind, "on", in.On)
		}
	}
}

func (m *metricsWriter) links(b *journal.Book) {
	for _, c := range []struct {
		name, help string
		value      func(journal.Traffic) int64
	}{
		{"link_connections", "Connections accepted.", func(t journal.Traffic) int64 { return t.Opened }},
		{"link_dials_failed", "Dials of the dependency that failed.", func(t journal.Traffic) int64 { return t.Refused }},
		{"link_resets", "Connections that ended with a reset towards the client.", func(t journal.Traffic) int64 { return t.Resets }},
	} {
		m.family("counter", c.name, "", c.help)
		for _, h := range b.Scenarios {
			for _, t := range h.Traffic {
				m.sample("_total", float64(c.value(t)), "scenario", h.ID, "link", t.Link)
			}
		}
	}
	m.family("counter", "link_bytes", "bytes", "Bytes carried.")
	for _, h := range b.Scenarios {
		for _, t := range h.Traffic {
			m.sample("_total", float64(t.BytesToServer), "scenario", h.ID, "link", t.Link, "direction", "to server")
			m.sample("_total", float64(t.BytesToClient), "scenario", h.ID, "link", t.Link, "direction", "to client")
		}
	}
}

package main

import (
	"fmt"
	"slices"
	"strings"
)

// goal is a lower or upper bound on a figure of Firedrill, absolute or as a multiple of another target's figure.
type goal struct {
	text, caseName, metric string
	than                   string // the other target; "" makes bound absolute
	lower                  bool   // bound is a lower bound instead of an upper bound
	bound                  float64
}

// linkGoals returns the project's goals for links.
func linkGoals() []goal {
	one, many, pingPongs := "bulk, 1 connection", "bulk, 16 connections", "ping-pong 64 B, 1 connection"
	const slow, jitters, ten = "delay of 20 ms, 1,000 messages/s on 64 connections", "delay of 50 ms, give or take 20 ms, on streams", "10,000 idle connections"
	list := []goal{
		{"bulk at least 2x Toxiproxy", one, "MB/s", "toxiproxy", true, 2},
		{"bulk on 16 at least 2x Toxiproxy", many, "MB/s", "toxiproxy", true, 2},
		{"bulk at least HAProxy", one, "MB/s", "haproxy", true, 1},
		{"bulk on 16 at least HAProxy", many, "MB/s", "haproxy", true, 1},
		{"churn at least 1.5x Toxiproxy", "churn", "connections/s", "toxiproxy", true, 1.5},
		{"ping-pong p50 at most 1.1x a copy loop", pingPongs, "p50 us", "copy loop", false, 1.1},
		{"at most 12 KB per idle connection", ten, "heap and stack bytes per connection", "", false, 12000},
		{"at most 2 goroutines per idle connection", ten, "goroutines per connection", "", false, 2.01},
		{"10,000 idle connections held, or as many as the limit on open files allows", ten, "held", "", true, 1},
		{"delay error p50 at most 0.5 ms", slow, "error p50 ms", "", false, 0.5},
		{"delay error p99 at most 2 ms", slow, "error p99 ms", "", false, 2},
		{"jitter's mean within 2 %", jitters, "mean off by %", "", false, 2},
		{"jitter's spread within 5 %", jitters, "spread off by %", "", false, 5},
		{"live faults act within 100 ms on 99 % of connections", "cut off, 1,000 live connections", "last message p99 ms", "", false, 100},
		{"healing takes at most 100 ms", "cut off, 1,000 live connections", "healing ms", "", false, 100},
	}
	for _, rate := range []string{"1 MB/s", "10 MB/s", "100 MB/s"} {
		list = append(list, goal{rate + " within 1 %", rate, "rate off by %", "", false, 1}, goal{rate + " without bursts above 10 ms", rate, "largest burst ms", "", false, 10})
	}
	return list
}

// report formats which goals are met.
func report(rows []row, goals []goal) string {
	find := func(caseName, target, metric string) (row, bool) {
		i := slices.IndexFunc(rows, func(r row) bool { return r.Case == caseName && r.Target == target && r.Metric == metric })
		if i < 0 {
			return row{}, false
		}
		return rows[i], true
	}
	var out strings.Builder
	out.WriteString("\ngoals\n")
	for _, g := range goals {
		ours, ok := find(g.caseName, "firedrill", g.metric)
		value := ours.Median
		if ok && g.than != "" {
			var other row
			if other, ok = find(g.caseName, g.than, g.metric); ok {
				value = pairedRatio(ours, other)
			}
		}
		verdict := "not measured"
		if ok {
			verdict = "NOT met"
			if (g.lower && value >= g.bound) || (!g.lower && value <= g.bound) {
				verdict = "met"
			}
			verdict += fmt.Sprintf(" (%s)", number(value))
		}
		fmt.Fprintf(&out, "  %-66s %s\n", g.text, verdict)
	}
	return out.String()
}

// pairedRatio returns ours divided by other: the median of the ratios of corresponding rounds, because the machine's other
// load varies between rounds.
func pairedRatio(ours, other row) float64 {
	if len(ours.rounds) != len(other.rounds) || len(ours.rounds) == 0 {
		return ours.Median / other.Median
	}
	ratios := make([]float64, len(ours.rounds))
	for i, v := range ours.rounds {
		ratios[i] = v / other.rounds[i]
	}
	return median(ratios)
}

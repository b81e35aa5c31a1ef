package history

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Figure is a measured figure of a scenario.
type Figure struct {
	Name  string  // "p95 during the fault"
	Value float64 // in the unit of its row; durations are in seconds
}

// unit is how a figure is printed, and the smallest change of it that is not a matter of rounding.
type unit struct {
	format func(float64) string
	step   float64
}

var (
	seconds = unit{func(v float64) string {
		d := time.Duration(v * float64(time.Second))
		if d >= time.Second {
			return d.Round(10 * time.Millisecond).String()
		}
		return d.Round(100 * time.Microsecond).String()
	}, 0.001}
	wholeSeconds = unit{seconds.format, 1}
	share        = unit{func(v float64) string { return fmt.Sprintf("%.2f%%", 100*v) }, 0.0005}
	count        = unit{func(v float64) string { return check.Count(int64(math.Round(v))) }, 0}
	times        = unit{func(v float64) string { return fmt.Sprintf("%.3f", v) }, 0.005}
)

// figure is a row of the table of figures.
type figure struct {
	name   string
	unit   unit
	better int  // 1: more is better; -1: less is better
	main   bool // shown even if there is nothing to say about it

	// of returns the value, or false if it was not measured.
	of func(*journal.History) (float64, bool)
}

// figures is the table of figures, in the order in which they are printed.
var figures = slices.Concat(
	successAndLatency(journal.Before, "before the fault"),
	successAndLatency(journal.During, "during the fault"),
	successAndLatency(journal.After, "after healing"),
	[]figure{
		{"recovery after healing", wholeSeconds, -1, true, func(h *journal.History) (float64, bool) {
			d, ok := check.RecoveryTime(h)
			return d.Seconds(), ok
		}},
		{"retries for each request", times, -1, false, func(h *journal.History) (float64, bool) {
			if h.Load == nil || h.Load.Sent == 0 {
				return 0, false
			}
			return float64(h.Load.Retries) / float64(h.Load.Sent), true
		}},
		{"calls between services for each request, during the fault", times, -1, false, callsPerRequest},
		{"acknowledged and lost", count, -1, true, ledger(func(missing, _, _ int) int { return missing })},
		{"applied more than once", count, -1, true, ledger(func(_, repeated, _ int) int { return repeated })},
		{"other anomalies of effects", count, -1, false, ledger(func(_, _, others int) int { return others })},
	},
)

// successAndLatency returns the figures of a window. A percentile needs so many requests that one is expected beyond it.
func successAndLatency(w journal.Window, when string) []figure {
	success := figure{"success " + when, share, 1, w == journal.During, func(h *journal.History) (float64, bool) {
		t := h.Total(w, "")
		return float64(h.Good(t)) / float64(max(1, t.Sent)), t.Sent > 0
	}}
	all := []figure{success}
	for _, p := range []float64{50, 95, 99} {
		all = append(all, figure{fmt.Sprintf("p%v %s", p, when), seconds, -1, w == journal.During && p == 95, func(h *journal.History) (float64, bool) {
			t := h.Total(w, "")
			return journal.Quantile(t.Latency, p).Seconds(), float64(journal.Count(t.Latency))*(100-p) >= 100
		}})
	}
	return all
}

// callsPerRequest returns how many calls services make for each request of the load. Calls of the load itself are not
// included.
func callsPerRequest(h *journal.History) (float64, bool) {
	between := func(name string) bool {
		return slices.ContainsFunc(h.Links, func(l journal.Link) bool {
			return l.From != "clients" && l.From+" -> "+l.To == name
		})
	}
	sent, calls := h.Total(journal.During, "").Sent, h.CallsTotal(journal.During, between)
	return float64(calls.Calls+calls.Refused) / float64(max(1, sent)), sent > 0 && calls.Calls > 0
}

// ledger returns a figure of all sources of effects together.
func ledger(pick func(missing, repeated, others int) int) func(*journal.History) (float64, bool) {
	return func(h *journal.History) (sum float64, ok bool) {
		for _, one := range h.BySource() {
			l := check.NewLedger(one)
			if l.Incomparable != "" {
				return 0, false
			}
			sum += float64(pick(l.Count()))
		}
		return sum, true
	}
}

func figuresOf(h *journal.History) (all []Figure) {
	for _, f := range figures {
		if v, ok := f.of(h); ok {
			all = append(all, Figure{f.name, v})
		}
	}
	return all
}

// value returns the figure with a name.
func (s *Scenario) value(name string) (float64, bool) {
	for _, f := range s.Figures {
		if f.Name == name {
			return f.Value, true
		}
	}
	return 0, false
}

// Band is what a figure usually is: the median of earlier runs, and three median absolute deviations to either side.
type Band struct {
	Runs   int     `json:"runs"` // in which it was measured
	Median float64 `json:"median"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
}

// leastRuns is how many comparable runs a band needs.
const leastRuns = 5

// band returns the band of a figure in runs, or false if it was measured in too few. It is at least one step wide to
// either side.
func (f figure) band(runs []*Scenario) (Band, bool) {
	var values []float64
	for _, s := range runs {
		if v, ok := s.value(f.name); ok {
			values = append(values, v)
		}
	}
	b := Band{Runs: len(values)}
	if b.Runs < leastRuns {
		return b, false
	}
	b.Median = median(values)
	var deviations []float64
	for _, v := range values {
		deviations = append(deviations, math.Abs(v-b.Median))
	}
	half := max(3*median(deviations), f.unit.step)
	b.Low, b.High = max(0, b.Median-half), b.Median+half
	return b, true
}

func median(values []float64) float64 {
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

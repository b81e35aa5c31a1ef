package reports

import (
	"slices"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// charts returns the charts for which the journal has data.
func charts(h *journal.History, id string) []chart {
	if len(h.Phases) == 0 || h.End != nil && h.End.Outcome == "skipped" {
		return nil
	}
	a := newAxis(h)
	all := []chart{timeline(a, id+"a")}
	slices := seconds(a)
	if len(slices) > 0 {
		all = append(all, latency(a, id+"b", slices), throughput(a, id+"c", slices))
		if c, ok := errorKinds(a, id+"d", slices); ok {
			all = append(all, c)
		}
	}
	if c, ok := linkCalls(a, id+"e"); ok {
		all = append(all, c)
	}
	return all
}

// second is a slice of time with the totals of all routes.
type second struct {
	from, to time.Duration
	journal.Totals
}

// seconds sums samples over routes, one element for each slice in order of time. Slices of less than 100 ms are
// left out.
func seconds(a axis) []second {
	var starts []time.Duration
	ends := map[time.Duration]time.Duration{}
	for _, s := range a.h.Samples {
		if ends[s.From] == 0 {
			starts = append(starts, s.From)
		}
		ends[s.From] = max(ends[s.From], s.To)
	}
	slices.Sort(starts)
	var all []second
	for _, from := range starts {
		if ends[from]-from < 100*time.Millisecond || from < a.from-time.Second || from >= a.to {
			continue
		}
		all = append(all, second{from, ends[from], a.h.Sum(func(s journal.Sample) bool { return s.From == from })})
	}
	return all
}

const chartHeight = 170

// The plot area of a chart. y grows downwards.
const (
	plotTop    = 8.0
	plotBottom = chartHeight - 24.0
)

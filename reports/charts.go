package reports

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// charts returns the charts for which the journal has data, with marks at some moments. If the scenario of an earlier run is
// given, they show its curves, too. What several charts have in common is added to common.
func charts(h *journal.History, id string, marks []moment, past *journal.History, common *shared) []chart {
	if len(h.Phases) == 0 || h.End != nil && h.End.Outcome == "skipped" {
		return nil
	}
	a := newAxis(h)
	a.marks, a.shared = marks, common
	a.past = newEarlier(past, a)
	all := []chart{timeline(a)}
	slices := seconds(a)
	if slicesWithRequests(slices) {
		all = append(all, latency(a, slices), throughput(a, slices))
	}
	for _, draw := range []func(axis, []second) (chart, bool){errorKinds, amplificationChart, linkCalls} {
		if c, ok := draw(a, slices); ok {
			all = append(all, c)
		}
	}
	all = append(all, numbers(a)...)
	for i := range all {
		all[i].ID = fmt.Sprintf("%s-%d", id, i+1)
	}
	return all
}

func slicesWithRequests(all []second) bool {
	return slices.ContainsFunc(all, func(s second) bool { return s.Sent+s.Unsent > 0 })
}

// second is a slice of time with the totals of all routes, and the calls of each link.
type second struct {
	from, to time.Duration
	window   journal.Window
	calls    map[string]int
	journal.Totals
}

// maxSlices limits the slices of a chart: each is about five pixels wide.
const maxSlices = 120

// seconds sums samples and calls over routes, one element for each slice in order of time. Where there are more than
// maxSlices, neighbours of one window are merged. Slices of less than 100 ms are left out.
func seconds(a axis) []second {
	return journal.Once(a.h, "slices", func() []second { return sumSlices(a) })
}

func sumSlices(a axis) []second {
	groups := newGroups(a)
	samples := make([][]journal.Sample, len(groups))
	for _, s := range a.h.Samples {
		if i := groupAt(groups, s.From); i >= 0 {
			samples[i] = append(samples[i], s)
		}
	}
	for _, c := range a.h.Calls {
		if i := groupAt(groups, c.From); i >= 0 {
			groups[i].calls[c.Link] += c.Calls
		}
	}
	for i := range groups {
		of := journal.History{Samples: samples[i]}
		groups[i].Totals = of.Sum(func(journal.Sample) bool { return true })
	}
	short := func(s second) bool { return s.to-s.from < 100*time.Millisecond }
	if !slices.ContainsFunc(groups, func(s second) bool { return !short(s) && s.Sent > 0 }) {
		return groups // a load that lasted for a moment
	}
	return slices.DeleteFunc(groups, short) // the rate in the rest of a second is chance
}

// newGroups returns the slices of the axis without their totals.
func newGroups(a axis) []second {
	byStart := map[time.Duration]*second{}
	slice := func(from, to time.Duration, w journal.Window) {
		if from < a.from-time.Second || from >= a.to {
			return
		}
		s := byStart[from]
		if s == nil {
			s = &second{from: from, window: w}
			byStart[from] = s
		}
		s.to = max(s.to, to)
		if s.window == journal.AtHealing || s.window == journal.AtInjection {
			s.window = w
		}
	}
	for _, s := range a.h.Samples {
		slice(s.From, s.To, s.Window)
	}
	for _, c := range a.h.Calls {
		slice(c.From, c.To, c.Window)
	}
	starts := make([]*second, 0, len(byStart))
	for _, s := range byStart {
		starts = append(starts, s)
	}
	slices.SortFunc(starts, func(a, b *second) int { return cmp.Compare(a.from, b.from) })
	return merge(starts, roundTime((a.to-a.from)/maxSlices))
}

// merge merges neighbours that begin within the same multiple of width and are of one window.
func merge(starts []*second, width time.Duration) []second {
	var all []second
	for _, s := range starts {
		if n := len(all); n > 0 && all[n-1].window == s.window && all[n-1].from/width == s.from/width && width > time.Second {
			all[n-1].to = max(all[n-1].to, s.to)
			continue
		}
		s.calls = map[string]int{}
		all = append(all, *s)
	}
	return all
}

// groupAt returns the index of the slice that begins last at or before a time, or -1.
func groupAt(groups []second, at time.Duration) int {
	i, found := slices.BinarySearchFunc(groups, at, func(s second, at time.Duration) int { return cmp.Compare(s.from, at) })
	if !found {
		i--
	}
	if i >= 0 && at >= groups[i].to {
		return -1
	}
	return i
}

const chartHeight = 140

// The plot area of a chart. y grows downwards.
const (
	plotTop    = 8
	plotBottom = chartHeight - 22
)

// chartTable has the figures of the charts of a scenario, by slice. Columns in which nothing happened are left out.
type chartTable struct {
	Head []string
	Rows [][]string
}

// column is a column of the table: what it says of a slice.
type column struct {
	head string
	of   func(second) string
}

func newChartTable(h, past *journal.History) (t chartTable) {
	if len(h.Phases) == 0 {
		return t
	}
	a := newAxis(h)
	all := seconds(a)
	count := func(of func(second) int) func(second) string {
		return func(s second) string {
			if n := of(s); n > 0 {
				return check.Count(n)
			}
			return ""
		}
	}
	percentile := func(p float64) func(second) string {
		return func(s second) string {
			if journal.Count(s.Good) == 0 {
				return ""
			}
			d := journal.Quantile(s.Good, p)
			return strconv.FormatFloat(float64(d)/1e6, 'f', map[bool]int{true: 1}[d < 10*time.Millisecond], 64)
		}
	}
	columns := []column{
		{"from", func(s second) string { return at(s.from) }}, {"p50, ms", percentile(50)}, {"p95, ms", percentile(95)}, {"p99, ms", percentile(99)},
		{"ok", count(func(s second) int { return s.OK })}, {"fallback", count(func(s second) int { return s.Fallback })}, {"refused", count(func(s second) int { return s.Refused })},
		{"failed", count(func(s second) int { return s.Failed })}, {"ambiguous", count(func(s second) int { return s.Ambiguous })}, {"unsent", count(func(s second) int { return s.Unsent })},
	}
	add := func(head string, of func(second) int) {
		columns = append(columns, column{head, count(of)})
	}
	for _, kind := range errorsOf(all) {
		add(kind, func(s second) int { return s.Errors[kind] })
	}
	for _, link := range linksOf(h)[:min(3, len(linksOf(h)))] { // the busiest
		add("calls "+link, func(s second) int { return s.calls[link] })
	}
	if e := newEarlier(past, a); e != nil {
		at := func(of func(second) string) func(second) string {
			return func(s second) string {
				if old, ok := e.at((s.from + s.to) / 2); ok {
					return of(old)
				}
				return ""
			}
		}
		columns = append(columns, column{"p95, ms, in the earlier run", at(percentile(95))}, column{"succeeded in the earlier run", at(count(func(s second) int { return e.h.Good(s.Totals) }))})
	}
	t.Rows = make([][]string, len(all))
	for _, c := range columns {
		if slices.ContainsFunc(all, func(s second) bool { return c.of(s) != "" }) {
			t.Head = append(t.Head, c.head)
			for i, s := range all {
				t.Rows[i] = append(t.Rows[i], c.of(s))
			}
		}
	}
	return t
}

// errorsOf returns the kinds of errors, the most frequent first.
func errorsOf(all []second) []string {
	counts := map[string]int{}
	for _, s := range all {
		for k, n := range s.Errors {
			counts[k] += n
		}
	}
	return sorted(counts)
}

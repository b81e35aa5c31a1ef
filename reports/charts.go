package reports

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// timeline draws the phases, faults and processes.
func timeline(a axis, id string) Chart {
	h := a.h
	faults := h.Wholes()
	rows := 1 + len(faults)
	var marks []journal.TimedProcess
	baseline, _ := h.Phase("baseline")
	for _, p := range h.Processes {
		if p.At >= max(a.from, baseline.From) && p.What != "ready" && p.At < a.to {
			marks = append(marks, p)
		}
	}
	height := 30 + rows*24
	if len(marks) > 0 {
		height += 24
	}
	c := a.canvas(id, height)
	chart := Chart{Title: "What happened", Head: []string{"what", "from", "to"}}
	names := map[string]string{"setup": "warm-up", "fault": "fault"}
	for _, p := range h.Phases {
		if p.To <= a.from || p.From >= a.to {
			continue
		}
		name := p.Name
		if n := names[name]; n != "" {
			name = n
		}
		x, to := a.x(p.From), a.x(p.To)
		c.add(`<rect x="%.1f" y="4" width="%.1f" height="18" fill="currentColor" fill-opacity="0.08" stroke="currentColor" stroke-opacity="0.25"/>`, x, math.Max(1, to-x))
		if to-x > 46 {
			c.text((x+to)/2, 17, "middle", "phase", name)
		}
		chart.Rows = append(chart.Rows, []string{"phase " + p.Name, at(p.From), at(p.To)})
	}
	c.text(left-6, 17, "end", "lane", "phase")
	for i, in := range faults {
		y := 28 + float64(i)*24
		x, to := a.x(in.Injected), a.x(end(h, in))
		c.add(`<rect x="%.1f" y="%.1f" width="%.1f" height="18" fill="url(#%s-hatch)" stroke="%s"/>`, x, y, math.Max(2, to-x), id, vermillion)
		label, room := in.Says, float64(chartWidth-right)-x
		anchor, lx := "start", x+5
		if room < 330 && x-left > room {
			anchor, lx, room = "end", x-6, x-left
		}
		c.text(lx, y+13, anchor, "fault", shorten(label, int(room/7.2)))
		c.text(left-6, y+13, "end", "lane", "fault")
		chart.Rows = append(chart.Rows, []string{in.Says, at(in.Injected), at(end(h, in))})
	}
	if len(marks) > 0 {
		y := 28 + float64(len(faults))*24
		c.text(left-6, y+13, "end", "lane", "process")
		last := -100.0
		for _, p := range marks {
			x := a.x(p.At)
			c.add(`<path d="M%.1f %.1f l5 8 l-10 0 z" fill="%s"/>`, x, y+3, blue)
			if x-last > 110 {
				c.text(x+8, y+13, "start", "mark", p.Service+" "+p.What)
				last = x
			}
			chart.Rows = append(chart.Rows, []string{p.Service + " " + p.What, at(p.At), ""})
		}
	}
	c.times(float64(height - 22))
	c.finish(&chart)
	chart.Desc = fmt.Sprintf("Phases and faults (%d) from %s to %s.", len(faults), at(a.from), at(a.to))
	return chart
}

func at(t time.Duration) string { return fmt.Sprintf("+%.1fs", t.Seconds()) }

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

// latency draws percentiles of successful answers, on a logarithmic scale.
func latency(a axis, id string, all []second) Chart {
	chart := Chart{Title: "Latency of successful answers", Head: []string{"from", "p50", "p95", "p99", "slowest"}}
	lo, hi := math.Inf(1), 0.0
	lines := []struct {
		p            float64
		name, colour string
		dash         string
	}{{50, "p50", skyBlue, ""}, {95, "p95", blue, "7 3"}, {99, "p99", purple, "2 3"}}
	for _, s := range all {
		if journal.Count(s.Good) == 0 {
			continue
		}
		lo = math.Min(lo, float64(journal.Quantile(s.Good, 50)))
		hi = math.Max(hi, float64(journal.Quantile(s.Good, 99)))
	}
	if hi == 0 {
		chart.Desc = "No request succeeded."
		return chart
	}
	lo, hi = math.Pow(10, math.Floor(math.Log10(lo))), math.Pow(10, math.Ceil(math.Log10(hi*1.05)))
	y := func(d time.Duration) float64 {
		v := math.Min(math.Max(float64(d), lo), hi)
		return plotBottom - (plotBottom-plotTop)*(math.Log10(v)-math.Log10(lo))/(math.Log10(hi)-math.Log10(lo))
	}
	c := a.canvas(id, chartHeight)
	c.shadeFaults(plotTop, plotBottom)
	for v := lo; v <= hi*1.01; v *= 10 {
		c.grid(y(time.Duration(v)), label(time.Duration(v)))
	}
	if b := a.h.Total(journal.Before, ""); b.Sent > 0 {
		base := y(journal.Quantile(b.Good, 95))
		c.add(`<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="%s" stroke-opacity="0.55" stroke-dasharray="1 4" stroke-width="2"/>`, left, base, chartWidth-right, base, grey)
		chart.Legend = append(chart.Legend, Swatch{Name: "baseline p95", Colour: grey, Dash: "1 4"})
	}
	for _, l := range lines {
		var path strings.Builder
		pen := "M" // "M" moves the pen: slices without a successful answer leave a gap in the line
		for _, s := range all {
			if journal.Count(s.Good) == 0 {
				pen = "M"
				continue
			}
			x, to, py := a.x(s.from), a.x(s.to), y(journal.Quantile(s.Good, l.p))
			fmt.Fprintf(&path, "%s%.1f %.1fH%.1f", pen, x, py, to)
			pen = "L"
		}
		c.add(`<path d="%s" fill="none" stroke="%s" stroke-width="2" stroke-linejoin="round" stroke-dasharray="%s"/>`, path.String(), l.colour, l.dash)
		chart.Legend = append(chart.Legend, Swatch{Name: l.name, Colour: l.colour, Dash: l.dash})
	}
	for _, s := range all {
		chart.Rows = append(chart.Rows, []string{at(s.from), ms(journal.Quantile(s.Good, 50)), ms(journal.Quantile(s.Good, 95)), ms(journal.Quantile(s.Good, 99)), ms(journal.Quantile(s.Good, 100))})
	}
	c.times(plotBottom)
	c.finish(&chart)
	chart.Desc = fmt.Sprintf("p95 was %s before, %s during and %s after the fault.", windowP95(a.h, journal.Before), windowP95(a.h, journal.During), windowP95(a.h, journal.After))
	return chart
}

func windowP95(h *journal.History, w journal.Window) string {
	return ms(journal.Quantile(h.Total(w, "").Good, 95))
}

func label(d time.Duration) string {
	if d < time.Millisecond {
		return fmt.Sprintf("%g ms", float64(d)/1e6)
	}
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%g s", d.Seconds())
}

func (c *canvas) grid(y float64, text string) {
	c.add(`<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="currentColor" stroke-opacity="0.12"/>`, left, y, chartWidth-right, y)
	c.text(left-6, y+4, "end", "tick", text)
}

// layer is one colour of a stacked chart.
type layer struct {
	name, colour string
	of           func(second) int
}

// stack draws stacked counts per second. If due is not nil, it also draws a line of the requests that were due.
func stack(a axis, id, title string, all []second, layers []layer, due func(second) int) Chart {
	chart := Chart{Title: title, Head: []string{"from"}}
	most := 1.0
	rate := func(s second, n int) float64 { return float64(n) / (s.to - s.from).Seconds() }
	for _, l := range layers {
		chart.Head = append(chart.Head, l.name)
		chart.Legend = append(chart.Legend, Swatch{Name: l.name, Colour: l.colour, Box: true})
	}
	for _, s := range all {
		sum := 0
		for _, l := range layers {
			sum += l.of(s)
		}
		if due != nil {
			sum = max(sum, due(s))
		}
		most = math.Max(most, rate(s, sum))
	}
	step := roundStep(most / 3)
	most = math.Ceil(most/step) * step
	c := a.canvas(id, chartHeight)
	y := func(v float64) float64 { return plotBottom - (plotBottom-plotTop)*v/most }
	for v := 0.0; v <= most+step/2; v += step {
		c.grid(y(v), fmt.Sprintf("%g/s", v))
	}
	for _, s := range all {
		base := 0.0
		row := []string{at(s.from)}
		for _, l := range layers {
			v := rate(s, l.of(s))
			row = append(row, fmt.Sprint(l.of(s)))
			if v > 0 {
				x := a.x(s.from)
				c.add(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`, x+0.5, y(base+v), math.Max(0.5, a.x(s.to)-x-1), y(base)-y(base+v), l.colour)
			}
			base += v
		}
		chart.Rows = append(chart.Rows, row)
	}
	if due != nil {
		var path strings.Builder
		pen := "M"
		for _, s := range all {
			fmt.Fprintf(&path, "%s%.1f %.1fH%.1f", pen, a.x(s.from), y(math.Min(rate(s, due(s)), most)), a.x(s.to))
			pen = "L"
		}
		c.add(`<path d="%s" fill="none" stroke="currentColor" stroke-width="1.5" stroke-dasharray="5 3"/>`, path.String())
		chart.Legend = append(chart.Legend, Swatch{Name: "due", Colour: "currentColor", Dash: "5 3"})
	}
	c.shadeFaults(plotTop, plotBottom)
	c.times(plotBottom)
	c.finish(&chart)
	return chart
}

// roundStep rounds a step up to 1, 2 or 5 times a power of ten.
func roundStep(v float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(math.Max(v, 0.1))))
	for _, f := range []float64{1, 2, 5, 10} {
		if v <= f*power {
			return f * power
		}
	}
	return 10 * power
}

func throughput(a axis, id string, all []second) Chart {
	c := stack(a, id, "Requests by outcome", all, []layer{
		{"ok", green, func(s second) int { return s.OK }},
		{"fallback", skyBlue, func(s second) int { return s.Fallback }},
		{"refused", orange, func(s second) int { return s.Refused }},
		{"failed", vermillion, func(s second) int { return s.Failed }},
		{"ambiguous", purple, func(s second) int { return s.Ambiguous }},
	}, func(s second) int { return s.Sent + s.Unsent })
	b, d := a.h.Total(journal.Before, ""), a.h.Total(journal.During, "")
	c.Desc = fmt.Sprintf("%s of the requests succeeded before the fault, %s during it.", percent(a.h.Good(b), b.Sent), percent(a.h.Good(d), d.Sent))
	return c
}

// errorKinds draws final errors by kind. ok is false if there were none.
func errorKinds(a axis, id string, all []second) (Chart, bool) {
	counts := map[string]int{}
	for _, s := range all {
		for k, n := range s.Errors {
			counts[k] += n
		}
	}
	var layers []layer
	colours := []string{vermillion, orange, purple, blue, skyBlue, grey}
	for i, k := range sorted(counts) {
		layers = append(layers, layer{k, colours[min(i, len(colours)-1)], func(s second) int { return s.Errors[k] }})
	}
	if len(layers) == 0 {
		return Chart{}, false
	}
	c := stack(a, id, "Errors by kind", all, layers, nil)
	c.Desc = fmt.Sprintf("The most frequent error was %s (%d).", layers[0].name, counts[layers[0].name])
	return c, true
}

// sorted returns the keys of counts, most frequent first.
func sorted(counts map[string]int) []string {
	var names []string
	for name := range counts {
		names = append(names, name)
	}
	slices.SortFunc(names, func(x, y string) int {
		if counts[x] != counts[y] {
			return counts[y] - counts[x]
		}
		return strings.Compare(x, y)
	})
	return names
}

// linkCalls draws calls per link. ok is false if no link had calls.
func linkCalls(a axis, id string) (Chart, bool) {
	counts := map[string]int{}
	for _, c := range a.h.Calls {
		if c.From >= a.from-time.Second {
			counts[c.Link] += c.Calls
		}
	}
	names := sorted(counts)
	if len(names) == 0 {
		return Chart{}, false
	}
	var all []second
	at := map[time.Duration]int{}
	for _, c := range a.h.Calls {
		if c.To-c.From < 100*time.Millisecond || c.From < a.from-time.Second || c.From >= a.to {
			continue
		}
		i, ok := at[c.From]
		if !ok {
			i = len(all)
			at[c.From] = i
			all = append(all, second{from: c.From, to: c.To, Totals: journal.Totals{Errors: map[string]int{}}})
		}
		all[i].Errors[c.Link] += c.Calls // Errors holds calls by link here
	}
	colours := []string{blue, orange, green, purple, skyBlue, vermillion, grey}
	var layers []layer
	for i, name := range names {
		layers = append(layers, layer{name, colours[min(i, len(colours)-1)], func(s second) int { return s.Errors[name] }})
	}
	c := stack(a, id, "Calls by link", all, layers, nil)
	c.Desc = fmt.Sprintf("The busiest link was %s with %d calls.", names[0], counts[names[0]])
	return c, true
}

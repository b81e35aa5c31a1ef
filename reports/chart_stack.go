package reports

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// layer is one colour of a stacked out.
type layer struct {
	name, colour string
	of           func(second) int
}

// stack draws stacked counts per second. If due is not nil, it also draws a line of the requests that were due.
func stack(a axis, id, title string, all []second, layers []layer, due func(second) int) chart {
	out := chart{Title: title, Head: []string{"from"}}
	most := 1.0
	rate := func(s second, n int) float64 { return float64(n) / (s.to - s.from).Seconds() }
	for _, l := range layers {
		out.Head = append(out.Head, l.name)
		out.Legend = append(out.Legend, swatch{Name: l.name, Colour: l.colour, Box: true})
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
		out.Rows = append(out.Rows, row)
	}
	if due != nil {
		var path strings.Builder
		pen := "M"
		for _, s := range all {
			fmt.Fprintf(&path, "%s%.1f %.1fH%.1f", pen, a.x(s.from), y(math.Min(rate(s, due(s)), most)), a.x(s.to))
			pen = "L"
		}
		c.add(`<path d="%s" fill="none" stroke="currentColor" stroke-width="1.5" stroke-dasharray="5 3"/>`, path.String())
		out.Legend = append(out.Legend, swatch{Name: "due", Colour: "currentColor", Dash: "5 3"})
	}
	c.shadeFaults(plotTop, plotBottom)
	c.times(plotBottom)
	c.finish(&out)
	return out
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

func throughput(a axis, id string, all []second) chart {
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
func errorKinds(a axis, id string, all []second) (chart, bool) {
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
		return chart{}, false
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
func linkCalls(a axis, id string) (chart, bool) {
	counts := map[string]int{}
	for _, c := range a.h.Calls {
		if c.From >= a.from-time.Second {
			counts[c.Link] += c.Calls
		}
	}
	names := sorted(counts)
	if len(names) == 0 {
		return chart{}, false
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

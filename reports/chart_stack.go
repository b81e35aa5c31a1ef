package reports

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// layer is one colour of a stacked chart.
type layer struct {
	name, colour string
	of           func(second) int
}

// rateLine is a line over a stacked chart.
type rateLine struct {
	name, dash string
	width      float64
	slices     []second
	of         func(second) int
}

// stack draws stacked counts per second, and lines over them.
func stack(a axis, title string, all []second, layers []layer, lines ...rateLine) chart {
	out := chart{Title: title}
	most := 1.0
	rate := func(s second, n int) float64 { return float64(n) / (s.to - s.from).Seconds() }
	for _, s := range all {
		sum := 0
		for _, l := range layers {
			sum += l.of(s)
		}
		most = math.Max(most, rate(s, sum))
	}
	for _, l := range lines {
		for _, s := range l.slices {
			most = math.Max(most, rate(s, l.of(s)))
		}
	}
	c := a.canvas(chartHeight)
	y := c.linear(most, "%g/s")
	// Areas are painted from the top of the stack down, each over what is above it.
	for i, l := range slices.Backward(layers) {
		upTo := func(s second) int {
			n := 0
			for _, below := range layers[:i+1] {
				n += below.of(s)
			}
			return n
		}
		if slices.ContainsFunc(all, func(s second) bool { return l.of(s) > 0 }) {
			c.area(all, l.colour, func(s second) int { return y(rate(s, upTo(s))) })
			out.Legend = append(out.Legend, swatch{Name: l.name, Colour: l.colour, Box: true})
		}
	}
	slices.Reverse(out.Legend)
	for _, l := range lines {
		c.steps(l.slices, "currentColor", l.dash, l.width, func(s second) (int, bool) { return y(rate(s, l.of(s))), true })
		out.Legend = append(out.Legend, swatch{Name: l.name, Colour: "currentColor", Dash: l.dash})
	}
	c.background()
	c.finish(&out)
	return out
}

// area fills what is below the given heights of all slices.
func (c *canvas) area(all []second, colour string, y func(second) int) {
	var path strings.Builder
	last, end := plotBottom, -1
	level := func(x, to int) {
		if to != last {
			fmt.Fprintf(&path, "H%dV%d", x, to)
		}
		last = to
	}
	for _, s := range all {
		x := c.axis.x(s.from)
		switch {
		case end < 0:
			fmt.Fprintf(&path, "M%d %dV%d", x, plotBottom, y(s))
			last = y(s)
		case x > end+2: // a gap
			level(end, plotBottom)
		}
		level(x, y(s))
		end = c.axis.x(s.to)
	}
	level(end, plotBottom)
	c.path(path.String()+"z", fmt.Sprintf(`fill="%s"`, colour))
}

// linear draws the grid of a linear scale from 0 to at least most, and returns the scale.
func (c *canvas) linear(most float64, format string) func(float64) int {
	step := roundStep(most / 3)
	most = math.Ceil(most/step) * step
	y := func(v float64) int {
		return plotBottom - int(math.Round((plotBottom-plotTop)*math.Min(v, most)/most))
	}
	var values []float64
	for i := 0; float64(i)*step <= most+step/2; i++ {
		values = append(values, float64(i)*step)
	}
	c.grid(values, y, func(v float64) string { return fmt.Sprintf(format, math.Round(v*1e6)/1e6) })
	return y
}

func throughput(a axis, all []second) chart {
	lines := []rateLine{{"due", "5 3", 1.5, all, func(s second) int { return s.Sent + s.Unsent }}}
	if past := a.past.all(); len(past) > 0 {
		lines = append(lines, rateLine{"succeeded in the earlier run", earlierDash, earlierWidth, past, func(s second) int { return a.past.h.Good(s.Totals) }})
	}
	c := stack(a, "Requests by outcome", all, []layer{
		{"ok", green, func(s second) int { return s.OK }},
		{"fallback", skyBlue, func(s second) int { return s.Fallback }},
		{"refused", orange, func(s second) int { return s.Refused }},
		{"failed", vermillion, func(s second) int { return s.Failed }},
		{"ambiguous", purple, func(s second) int { return s.Ambiguous }},
	}, lines...)
	b, d := a.h.Total(journal.Before, ""), a.h.Total(journal.During, "")
	c.Desc = fmt.Sprintf("%s of the requests succeeded before the fault, %s during it.", percent(a.h.Good(b), b.Sent), percent(a.h.Good(d), d.Sent))
	if len(lines) > 1 {
		c.Desc += a.past.inWindows(func(t journal.Totals) string { return percent(a.past.h.Good(t), t.Sent) })
	}
	return c
}

// errorColours are those of kinds of errors. What is refused has the colour of refused requests everywhere.
var errorColours = []string{vermillion, purple, blue, skyBlue, grey}

// errorKinds draws final errors by kind. ok is false if there were none.
func errorKinds(a axis, all []second) (c chart, ok bool) {
	var layers []layer
	counts := map[string]int{}
	for _, k := range errorsOf(all) {
		colour := errorColours[min(len(layers), len(errorColours)-1)]
		if k == "refused" {
			colour = orange
		}
		layers = append(layers, layer{k, colour, func(s second) int { return s.Errors[k] }})
		for _, s := range all {
			counts[k] += s.Errors[k]
		}
	}
	if len(layers) == 0 {
		return chart{}, false
	}
	c = stack(a, "Errors by kind", all, layers)
	c.Desc = fmt.Sprintf("The most frequent error was %s (%d).", layers[0].name, counts[layers[0].name])
	return c, true
}

// sorted returns the keys of counts, most frequent first.
func sorted(counts map[string]int) []string {
	names := slices.Collect(maps.Keys(counts))
	slices.SortFunc(names, func(x, y string) int {
		if counts[x] != counts[y] {
			return counts[y] - counts[x]
		}
		return strings.Compare(x, y)
	})
	return names
}

// linkColours and linkDashes are those of links, the busiest first.
var (
	linkColours = []string{blue, orange, green, purple, skyBlue, vermillion, grey}
	linkDashes  = []string{"", "7 3", "2 3", "9 3 2 3", "4 4", "1 3", "12 4"}
)

// linkCalls draws calls per link if there were no requests of a load that they could be compared with.
func linkCalls(a axis, all []second) (c chart, ok bool) {
	if slicesWithRequests(all) {
		return chart{}, false
	}
	var layers []layer
	for i, name := range linksOf(a.h) {
		layers = append(layers, layer{name, linkColours[min(i, len(linkColours)-1)], func(s second) int { return s.calls[name] }})
	}
	if len(layers) == 0 {
		return chart{}, false
	}
	c = stack(a, "Calls by link", all, layers)
	c.Desc = fmt.Sprintf("The busiest link was %s.", layers[0].name)
	return c, true
}

// amplificationChart draws the calls of each link for each client request. A link that stays where it was before the fault
// carried no retries of its caller. ok is false if none carried notably more calls than before.
func amplificationChart(a axis, all []second) (out chart, ok bool) {
	out.Title = "Calls of each link for one client request"
	var drawn []string
	most := 1.0
	for _, link := range linksOf(a.h) {
		if strings.HasPrefix(link, "clients -> ") || len(drawn) == len(linkColours) {
			continue
		}
		drawn = append(drawn, link)
		for _, s := range all {
			if times, ok := s.amplified(link); ok {
				most = math.Max(most, times)
			}
		}
	}
	if len(drawn) == 0 || !slicesWithRequests(all) {
		return out, false
	}
	if out.Desc = describeAmplification(a.h, drawn); out.Desc == "" {
		return out, false
	}
	c := a.canvas(chartHeight)
	y := c.linear(most, "%g×")
	c.path(fmt.Sprintf("M%d %dH%d", left, y(1), chartWidth-right), `stroke="currentColor" stroke-opacity=".5"`)
	for i, link := range drawn {
		c.steps(all, linkColours[i], linkDashes[i], 2, func(s second) (int, bool) {
			times, ok := s.amplified(link)
			return y(times), ok
		})
		out.Legend = append(out.Legend, swatch{Name: link, Colour: linkColours[i], Dash: linkDashes[i]})
	}
	c.background()
	c.finish(&out)
	return out, true
}

// amplified returns the calls of a link for each request of the slice. ok is false if there were too few of them to tell.
func (s second) amplified(link string) (times float64, ok bool) {
	if s.Sent < 5 || s.to-s.from < 300*time.Millisecond {
		return 0, false
	}
	return float64(s.calls[link]) / float64(s.Sent), true
}

// noGrowth is by how much calls for each client request may differ by chance.
const noGrowth = 1.05

// describeAmplification names the link whose calls for each client request grew most or, without a baseline, the one with
// the most. It returns "" if no link carried notably more calls than before.
func describeAmplification(h *journal.History, links []string) string {
	text := ""
	grown, most := noGrowth, 0.0
	for _, link := range links {
		before, known := amplification(h, link, journal.Before)
		during, ok := amplification(h, link, journal.During)
		switch {
		case !ok:
		case known && during/before > grown:
			grown = during / before
			text = fmt.Sprintf("%s carried %.2f calls for each client request during the fault, and %.2f before it.", link, during, before)
		case !known && grown == noGrowth && during > most:
			most = during
			text = fmt.Sprintf("%s carried %.2f calls for each client request during the fault; what is usual is not known.", link, during)
		}
	}
	return text
}

// maxNumbers limits the charts of probes.
const maxNumbers = 4

// numbers draws what probes answered with numbers, such as the length of a queue: one chart for each.
func numbers(a axis) (all []chart) {
	values := map[string][]journal.Observation{}
	var names []string
	for _, o := range a.h.Observations {
		if o.Value == nil || o.Asked < a.from || o.Asked > a.to {
			continue
		}
		if values[o.Probe] == nil {
			names = append(names, o.Probe)
		}
		values[o.Probe] = append(values[o.Probe], o)
	}
	for _, name := range names[:min(len(names), maxNumbers)] {
		all = append(all, number(a, name, values[name]))
	}
	return all
}

func number(a axis, name string, values []journal.Observation) chart {
	out := chart{Title: "Probe: " + name}
	least, most := math.Inf(1), 1.0
	for _, o := range values {
		least, most = math.Min(least, *o.Value), math.Max(most, *o.Value)
	}
	c := a.canvas(chartHeight)
	y := c.linear(most, "%g")
	var path strings.Builder
	last := -1
	for i, o := range values {
		x := a.x(o.Asked)
		if x == last && i < len(values)-1 {
			continue // at most one point for each pixel
		}
		last = x
		fmt.Fprintf(&path, "%c%d %d", map[bool]byte{true: 'M', false: 'L'}[path.Len() == 0], x, y(*o.Value))
	}
	c.add(`<path d="%s" fill="none" stroke="%s" stroke-width="2"/>`, path.String(), blue)
	c.background()
	c.finish(&out)
	out.Desc = fmt.Sprintf("It answered %s times, with %g to %g.", fmt.Sprint(len(values)), least, most)
	return out
}

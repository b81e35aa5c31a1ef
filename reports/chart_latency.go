package reports

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// latency draws how many requests took how long as a heat map, and percentiles of the successful ones, on a logarithmic
// scale. Dashed lines show the limits of checks and the baseline.
func latency(a axis, all []second) chart {
	out := chart{Title: "Latency"}
	lo, hi := math.Inf(1), 0.0
	past := a.past.all()
	for _, s := range slices.Concat(all, past) {
		if n := len(s.Latency); n > 0 {
			lo, hi = math.Min(lo, float64(s.Latency[0].Up)), math.Max(hi, float64(s.Latency[n-1].Up))
		}
	}
	if hi == 0 {
		out.Desc = "No request was answered."
		return out
	}
	limits := limitsOf(a.h)
	for _, l := range limits {
		lo, hi = math.Min(lo, float64(l)), math.Max(hi, float64(l))
	}
	s := logScale{math.Floor(math.Log10(lo)), math.Ceil(math.Log10(hi * 1.02))}
	c := a.canvas(chartHeight)
	c.background()
	c.grid(s.ticks(), s.y, func(v float64) string { return label(time.Duration(v)) })
	c.heat(all, s)
	out.Legend = append(out.Legend, swatch{Name: "all requests", Colour: grey, Box: true})
	level := func(d time.Duration, name, colour, dash string) {
		c.path(fmt.Sprintf("M%d %dH%d", left, s.y(float64(d)), chartWidth-right), fmt.Sprintf(`stroke="%s" stroke-width="2" stroke-dasharray="%s"`, colour, dash))
		out.Legend = append(out.Legend, swatch{Name: name, Colour: colour, Dash: dash})
	}
	if b := a.h.Total(journal.Before, ""); journal.Count(b.Good) > 0 {
		level(journal.Quantile(b.Good, 95), "baseline p95", grey, "1 4")
	}
	for _, l := range limits {
		level(l, "limit "+check.Duration(l), vermillion, "9 4")
	}
	for _, l := range []struct {
		p                  float64
		name, colour, dash string
	}{{50, "p50", skyBlue, ""}, {95, "p95", blue, "7 3"}, {99, "p99 of successes", purple, "2 3"}} {
		c.steps(all, l.colour, l.dash, 2, func(one second) (int, bool) {
			return s.y(float64(journal.Quantile(one.Good, l.p))), journal.Count(one.Good) > 0
		})
		out.Legend = append(out.Legend, swatch{Name: l.name, Colour: l.colour, Dash: l.dash})
	}
	if len(past) > 0 {
		c.steps(past, "currentColor", earlierDash, earlierWidth, func(one second) (int, bool) {
			return s.y(float64(journal.Quantile(one.Good, 95))), journal.Count(one.Good) > 0
		})
		out.Legend = append(out.Legend, swatch{Name: "p95 in the earlier run", Colour: "currentColor", Dash: earlierDash})
	}
	c.finish(&out)
	out.Desc = fmt.Sprintf("p95 of successes was %s before, %s during and %s after the fault.", windowP95(a.h, journal.Before), windowP95(a.h, journal.During), windowP95(a.h, journal.After))
	if len(past) > 0 {
		out.Desc += a.past.inWindows(func(t journal.Totals) string { return ms(journal.Quantile(t.Good, 95)) })
	}
	return out
}

// logScale is a vertical axis from 10^from to 10^to.
type logScale struct{ from, to float64 }

func (s logScale) y(v float64) int {
	v = math.Min(math.Max(math.Log10(math.Max(v, 1)), s.from), s.to)
	return plotBottom - int(math.Round((plotBottom-plotTop)*(v-s.from)/math.Max(1, s.to-s.from)))
}

func (s logScale) ticks() (all []float64) {
	for e := s.from; e <= s.to; e++ {
		all = append(all, math.Pow(10, e))
	}
	return all
}

// binsPerDecade is how fine the heat map is.
const binsPerDecade = 4

// shades is how many shades the heat map has.
const shades = 4

// heat draws how many requests of each slice took how long. The shade of a cell shows its share of the slice, on a
// logarithmic scale: the darkest holds more than a third of the requests. All cells are as high, so that they are lines;
// neighbours of one shade are one line.
func (c *canvas) heat(all []second, scale logScale) {
	first, last := int(scale.from*binsPerDecade), int(scale.to*binsPerDecade)
	rows := make([][]int64, last-first)
	for i := range rows {
		rows[i] = make([]int64, len(all))
	}
	for n, s := range all {
		for _, b := range s.Latency {
			bin := int(math.Floor(math.Log10(float64(max(b.Up, 1)))*binsPerDecade)) - first
			rows[min(max(bin, 0), len(rows)-1)][n] += b.N
		}
	}
	var cells [shades]strings.Builder
	for i, row := range rows {
		y := scale.y(math.Pow(10, (float64(first+i)+0.5)/binsPerDecade))
		for n := 0; n < len(all); {
			s := all[n]
			if row[n] == 0 {
				n++
				continue
			}
			l := shade(row[n], journal.Count(s.Latency))
			next := n + 1 // the end of the run of cells of one shade
			for next < len(all) && row[next] > 0 && shade(row[next], journal.Count(all[next].Latency)) == l && all[next].from <= all[next-1].to {
				next++
			}
			fmt.Fprintf(&cells[l], "M%d %dH%d", c.axis.x(s.from), y, c.axis.x(all[next-1].to))
			n = next
		}
	}
	c.add(`<g stroke="currentColor" stroke-width="%.1f">`, float64(plotBottom-plotTop)/float64(len(rows)))
	for i := range cells {
		if cells[i].Len() > 0 {
			c.add(`<path d="%s" stroke-opacity=".%02d"/>`, cells[i].String(), 7+i*11)
		}
	}
	c.end()
}

// shade returns the shade of a cell with n of all requests of its slice, from 0 to shades-1.
func shade(n, all int64) int {
	return max(0, shades-1+int(math.Ceil(math.Log(float64(n)/float64(all))/math.Log(3))))
}

// limitsOf returns the limits of the checks of latency, ascending and without repetitions.
func limitsOf(h *journal.History) (all []time.Duration) {
	for _, v := range h.Verdicts {
		if !isLatency(v) {
			continue
		}
		words := strings.Fields(v.Expected)
		if len(words) == 0 {
			continue
		}
		if d, err := time.ParseDuration(words[len(words)-1]); err == nil && d > 0 && !slices.Contains(all, d) {
			all = append(all, d)
		}
	}
	slices.Sort(all)
	return all
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

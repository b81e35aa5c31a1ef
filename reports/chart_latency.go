package reports

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// latency draws percentiles of successful answers, on a logarithmic scale.
func latency(a axis, id string, all []second) chart {
	out := chart{Title: "Latency of successful answers", Head: []string{"from", "p50", "p95", "p99", "slowest"}}
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
		out.Desc = "No request succeeded."
		return out
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
		out.Legend = append(out.Legend, swatch{Name: "baseline p95", Colour: grey, Dash: "1 4"})
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
		out.Legend = append(out.Legend, swatch{Name: l.name, Colour: l.colour, Dash: l.dash})
	}
	for _, s := range all {
		out.Rows = append(out.Rows, []string{at(s.from), ms(journal.Quantile(s.Good, 50)), ms(journal.Quantile(s.Good, 95)), ms(journal.Quantile(s.Good, 99)), ms(journal.Quantile(s.Good, 100))})
	}
	c.times(plotBottom)
	c.finish(&out)
	out.Desc = fmt.Sprintf("p95 was %s before, %s during and %s after the fault.", windowP95(a.h, journal.Before), windowP95(a.h, journal.During), windowP95(a.h, journal.After))
	return out
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

package reports

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// The charts of a scenario share one time axis, so that causes are above their effects. They are SVG with presentation
// attributes, so that they can be drawn without style sheets and scripts.
const (
	chartWidth = 680
	left       = 60
	right      = 12
	plotWidth  = chartWidth - left - right
)

// The colours of Okabe and Ito, which colour-blind readers can distinguish. Each also has its own dash or pattern.
const (
	orange     = "#E69F00"
	skyBlue    = "#56B4E9"
	green      = "#009E73"
	blue       = "#0072B2"
	vermillion = "#D55E00"
	purple     = "#CC79A7"
	grey       = "#7a7f87"
)

// chart is a drawing with a title, a description for people who cannot see it, and the same figures as a table.
type chart struct {
	Title, Desc string
	Height      int
	SVG         template.HTML // the content of the svg element
	Legend      []swatch
	Head        []string
	Rows        [][]string
}

// swatch is an entry of a legend.
type swatch struct {
	Name, Colour, Dash string
	Box                bool
}

// axis is the time axis of one scenario.
type axis struct {
	from, to time.Duration
	h        *journal.History
}

func newAxis(h *journal.History) axis {
	a := axis{from: h.Began, to: h.Ended, h: h}
	if p, ok := h.Phase("baseline"); ok {
		a.from = max(a.from, p.From-1500*time.Millisecond)
	}
	if p, ok := h.Phase("collect"); ok {
		a.to = p.From
	}
	if a.to <= a.from {
		a.to = a.from + time.Second
	}
	return a
}

func (a axis) x(t time.Duration) float64 {
	t = min(max(t, a.from), a.to)
	return left + plotWidth*float64(t-a.from)/float64(a.to-a.from)
}

// canvas collects a drawing.
type canvas struct {
	strings.Builder
	axis   axis
	height int
	id     string
}

func (a axis) canvas(id string, height int) *canvas {
	c := &canvas{axis: a, height: height, id: id}
	c.add(`<defs><pattern id="%s-hatch" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="7" height="7" fill="%s" fill-opacity="0.10"/><line x1="0" y1="0" x2="0" y2="7" stroke="%s" stroke-opacity="0.35" stroke-width="2"/></pattern></defs>`, id, vermillion, vermillion)
	return c
}

func (c *canvas) add(format string, args ...any) { fmt.Fprintf(c, format+"\n", args...) }

// text draws a label. It escapes s.
func (c *canvas) text(x, y float64, anchor, class, s string) {
	c.add(`<text x="%.1f" y="%.1f" text-anchor="%s" font-size="11" fill="currentColor" class="%s">%s</text>`, x, y, anchor, class, html.EscapeString(s))
}

// shadeFaults draws the fault windows in the background.
func (c *canvas) shadeFaults(top, bottom float64) {
	for _, in := range c.axis.h.CombinedFaults() {
		x, to := c.axis.x(in.Injected), c.axis.x(end(c.axis.h, in))
		c.add(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="url(#%s-hatch)"/>`, x, top, math.Max(1, to-x), bottom-top, c.id)
		c.add(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-opacity="0.6" stroke-dasharray="3 3"/>`, x, top, x, bottom, vermillion)
		c.add(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-opacity="0.6" stroke-dasharray="3 3"/>`, to, top, to, bottom, vermillion)
	}
}

func end(h *journal.History, in *journal.Injection) time.Duration {
	if in.Healed == 0 {
		return h.Ended
	}
	return in.Healed
}

// times draws the time axis below a out.
func (c *canvas) times(y float64) {
	step := time.Second
	for (c.axis.to-c.axis.from)/step > 12 {
		if step *= 2; step == 4*time.Second {
			step = 5 * time.Second
		}
	}
	for t := c.axis.from.Truncate(step) + step; t <= c.axis.to; t += step {
		x := c.axis.x(t)
		c.add(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="currentColor" stroke-opacity="0.35"/>`, x, y, x, y+4)
		c.text(x, y+15, "middle", "tick", fmt.Sprintf("+%ds", int(t.Seconds())))
	}
}

// finish stores the drawing in a out.
func (c *canvas) finish(out *chart) {
	out.Height, out.SVG = c.height, template.HTML(c.String()) //nolint:gosec // numbers, and text that was escaped
}

package reports

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// The charts of a scenario share one time axis, so that causes are above their effects. They are SVG with presentation
// attributes, so that they can be drawn without style sheets and scripts.
//
// They are written by hand. A chart here is a few kilobytes of text that needs no script; what is hard about it (ticks, the
// merging of slices) is in functions with tests. gonum/plot draws fine SVG, but one plot is ten times as large, has no text
// for screen readers and no colours that follow the theme; go-echarts needs a megabyte of script, which a report that is
// one file, offline, and readable without scripts cannot have.
const (
	chartWidth = 680
	left       = 60
	right      = 12
	plotWidth  = chartWidth - left - right
)

// The colours of Okabe and Ito, which colour-blind readers can distinguish, as dark as needed for a contrast of 3:1 on both
// themes. Lines also have dashes of their own.
const (
	orange     = "#B57A00"
	skyBlue    = "#3C93CF"
	green      = "#009E73"
	blue       = "#2374B8"
	vermillion = "#D55E00"
	purple     = "#B8609A"
	grey       = "#7A7F87"
)

// chart is a drawing with a title, and a description that tells the same in words.
type chart struct {
	ID, Title, Desc string
	Height          int
	SVG             template.HTML // the content of the svg element
	Legend          []swatch
	Links           bool // the drawing contains links
}

// swatch is an entry of a legend.
type swatch struct {
	Name, Colour, Dash string
	Box                bool
	Key                int // number of the drawing in the page; see shareKeys
}

// axis is the time axis of one scenario.
type axis struct {
	from, to time.Duration
	h        *journal.History
	marks    []moment // to draw in all charts
	past     *earlier // to draw beside this run; nil if there is none
	shared   *shared
}

// shared holds drawings that several charts of a page have in common, so that each is in the page once.
type shared struct {
	drawings []string
	numbers  map[string]int // of drawings, from 1
}

// use returns a reference to a drawing, moved down by y pixels.
func (s *shared) use(drawing string, y int) string {
	n, known := s.numbers[drawing]
	if !known {
		if s.numbers == nil {
			s.numbers = map[string]int{}
		}
		s.drawings = append(s.drawings, drawing)
		n = len(s.drawings)
		s.numbers[drawing] = n
	}
	if y != 0 {
		return fmt.Sprintf(`<use href="#g%d" y="%d"/>`, n, y)
	}
	return fmt.Sprintf(`<use href="#g%d"/>`, n)
}

// SVG returns the drawings.
func (s *shared) SVG() template.HTML {
	var out strings.Builder
	for i, d := range s.drawings {
		fmt.Fprintf(&out, `<g id="g%d">%s</g>`, i+1, d)
	}
	return template.HTML(out.String()) //nolint:gosec // numbers, and text that was escaped
}

func newAxis(h *journal.History) axis {
	a := axis{from: h.Began, to: h.Ended, h: h}
	if p, ok := h.Phase("baseline"); ok {
		a.from = max(a.from, p.From-1500*time.Millisecond)
	} else if from, _, ok := h.FaultSpan(); ok { // without a baseline, the start of the services is of no interest
		a.from = max(a.from, from-500*time.Millisecond)
	}
	if p, ok := h.Phase("collect"); ok {
		a.to = p.From
	}
	if a.to <= a.from {
		a.to = a.from + time.Second
	}
	return a
}

// x returns the place of a moment, in pixels.
func (a axis) x(t time.Duration) int {
	t = min(max(t, a.from), a.to)
	return left + int(math.Round(plotWidth*float64(t-a.from)/float64(a.to-a.from)))
}

// canvas collects a drawing.
type canvas struct {
	strings.Builder
	axis   axis
	height int
}

func (a axis) canvas(height int) *canvas { return &canvas{axis: a, height: height} }

func (c *canvas) add(format string, args ...any) { fmt.Fprintf(c, format, args...) }

// texts begins a group of labels; it ends with end.
func (c *canvas) texts(anchor, class string) {
	c.add(`<g text-anchor="%s" class="%s">`, anchor, class)
}

func (c *canvas) end() { c.add("</g>") }

// text draws a label of a group. It escapes s.
func (c *canvas) text(x, y int, s string) {
	c.add(`<text x="%d" y="%d">%s</text>`, x, y, html.EscapeString(s))
}

// share draws what other charts are likely to have in common with this one, moved down by y pixels.
func (c *canvas) share(y int, draw func(*canvas)) {
	common := c.axis.canvas(c.height)
	draw(common)
	if common.Len() > 0 {
		c.WriteString(c.axis.shared.use(common.String(), y))
	}
}

// background draws the fault windows, the marks and the time axis.
func (c *canvas) background() {
	c.share(0, func(c *canvas) {
		c.faultWindows()
		c.share(0, (*canvas).times)
	})
}

func (c *canvas) faultWindows() {
	a := c.axis
	var area, edges strings.Builder
	for _, in := range a.h.CombinedFaults() {
		x, to := a.x(in.Injected), a.x(end(a.h, in))
		fmt.Fprintf(&area, "M%d %dh%dv%dh-%dz", x, plotTop, max(1, to-x), plotBottom-plotTop, max(1, to-x))
		fmt.Fprintf(&edges, "M%d %dV%dM%d %dV%d", x, plotTop, plotBottom, to, plotTop, plotBottom)
	}
	c.add(`<path d="%s" fill="url(#hatch)"/><path d="%s" stroke="%s" stroke-opacity=".6" stroke-dasharray="3 3"/>`, area.String(), edges.String(), vermillion)
	for _, m := range a.marks {
		c.add(`<path d="M%d %dV%d" stroke="currentColor" stroke-width="1.5"/>`, a.x(m.At), plotTop, plotBottom)
	}
}

func end(h *journal.History, in *journal.Injection) time.Duration {
	if in.Healed == 0 {
		return h.Ended
	}
	return in.Healed
}

// times draws the time axis below a plot.
func (c *canvas) times() {
	const y = plotBottom
	step := roundTime((c.axis.to - c.axis.from) / 10)
	var marks strings.Builder
	c.add(`<g transform="translate(0 %d)" text-anchor="middle" class="tick">`, y+15)
	for t := c.axis.from.Truncate(step) + step; t <= c.axis.to; t += step {
		x := c.axis.x(t)
		fmt.Fprintf(&marks, "M%d %dv4", x, y)
		c.add(`<text x="%d">%s</text>`, x, tick(t))
	}
	c.end()
	c.add(`<path d="%s" stroke="currentColor" stroke-opacity=".35"/>`, marks.String())
}

// roundTime rounds a step of time up to one that people count in.
func roundTime(d time.Duration) time.Duration {
	steps := []time.Duration{
		time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second,
		time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
	}
	for _, s := range steps {
		if d <= s {
			return s
		}
	}
	return (d + time.Hour - 1).Truncate(time.Hour)
}

// tick formats a moment for the time axis: "+45s", "+5m", "+5m30s", "+2h".
func tick(t time.Duration) string { return "+" + check.Duration(t.Round(time.Second)) }

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

// grid draws a horizontal line for each value, with its label.
func (c *canvas) grid(values []float64, y func(float64) int, label func(float64) string) {
	var lines, labels strings.Builder
	for _, v := range values {
		fmt.Fprintf(&lines, "M%d %dH%d", left, y(v), chartWidth-right)
		fmt.Fprintf(&labels, `<text y="%d">%s</text>`, y(v), html.EscapeString(label(v)))
	}
	c.WriteString(c.axis.shared.use(fmt.Sprintf(`<g transform="translate(%d 4)" text-anchor="end" class="tick">%s</g><path d="%s" stroke="currentColor" stroke-opacity=".14"/>`, left-6, labels.String(), lines.String()), 0))
}

// steps draws a line of steps, one for each slice. A slice for which value returns false leaves a gap.
func (c *canvas) steps(all []second, colour, dash string, width float64, value func(second) (y int, ok bool)) {
	var path strings.Builder
	drawing, last, end := false, 0, 0
	stop := func() {
		if drawing {
			fmt.Fprintf(&path, "H%d", end)
		}
		drawing = false
	}
	for _, s := range all {
		y, ok := value(s)
		switch x := c.axis.x(s.from); {
		case !ok:
			stop()
			continue
		case !drawing:
			fmt.Fprintf(&path, "M%d %d", x, y)
		case last != y:
			fmt.Fprintf(&path, "H%dV%d", x, y)
		}
		drawing, last, end = true, y, c.axis.x(s.to)
	}
	stop()
	style := fmt.Sprintf(`fill="none" stroke="%s" stroke-width="%g"`, colour, width)
	if dash != "" {
		style += fmt.Sprintf(` stroke-dasharray="%s"`, dash)
	}
	c.path(path.String(), style)
}

// path draws a path with attributes. A short one, such as that of a rate that never changed, is likely to be in other charts,
// too.
func (c *canvas) path(d, attributes string) {
	element := fmt.Sprintf(`<path d="%s" %s/>`, d, attributes)
	if len(d) > 24 {
		c.WriteString(element)
		return
	}
	c.WriteString(c.axis.shared.use(element, 0))
}

// finish stores the drawing in a chart.
func (c *canvas) finish(out *chart) {
	out.Height, out.SVG = c.height, template.HTML(c.String()) //nolint:gosec // numbers, and text that was escaped
}

package reports

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// mark is a moment in the timeline: a change of a service, or what a step asked or ran.
type mark struct {
	at   time.Duration
	what string
}

// timeline draws the phases and faults, and marks moments.
func timeline(a axis) chart {
	h := a.h
	faults := h.CombinedFaults()
	marks := marksOf(a)
	rows := 1 + len(faults) + min(1, len(marks)) + min(1, len(a.marks))
	height := 28 + rows*24
	c := a.canvas(height)
	out := chart{Title: "Timeline", Links: len(a.marks) > 0}
	c.share(0, (*canvas).phases)
	for i, in := range faults {
		y := 28 + i*24
		x, to := a.x(in.Injected), a.x(end(h, in))
		paint := "url(#hatch)"
		if in.Affected == 0 && in.Healed > 0 {
			paint = "none"
		}
		c.add(`<rect x="%d" y="%d" width="%d" height="18" fill="%s" stroke="%s"/>`, x, y, max(2, to-x), paint, vermillion)
		label, room := in.Stated(), chartWidth-right-x
		anchor, at := "start", x+5
		if room < 330 && x-left > room {
			anchor, at, room = "end", x-6, x-left
		}
		c.texts(anchor, "fault")
		c.text(at, y+13, shorten(label, room*10/72))
		c.end()
	}
	y := 28 + len(faults)*24
	if len(marks) > 0 {
		c.events(y, marks)
		y += 24
	}
	c.worstMoments(y)
	c.share(0, func(c *canvas) { c.lanes(len(faults), len(marks) > 0) })
	c.share(height-22-plotBottom, (*canvas).times)
	c.finish(&out)
	out.Desc = fmt.Sprintf("%s; from %s to %s after the run began.", things(len(faults), "fault"), at(a.from), at(a.to))
	return out
}

// marksOf returns the changes of services and the tasks of steps, in order of time.
func marksOf(a axis) (marks []mark) {
	baseline, _ := a.h.Phase("baseline")
	for _, p := range a.h.Processes {
		if p.At >= max(a.from, baseline.From) && p.What != "ready" && p.At < a.to {
			marks = append(marks, mark{p.At, p.Service + " " + p.What})
		}
	}
	for _, task := range a.h.Tasks {
		marks = append(marks, mark{task.Began, task.What})
	}
	slices.SortStableFunc(marks, func(a, b mark) int { return cmp.Compare(a.at, b.at) })
	return marks
}

func (c *canvas) phases() {
	a := c.axis
	names := map[string]string{"setup": "warm-up"}
	var boxes strings.Builder
	c.texts("middle", "phase")
	for _, p := range a.h.Phases {
		if p.To <= a.from || p.From >= a.to {
			continue
		}
		x, to := a.x(p.From), a.x(p.To)
		fmt.Fprintf(&boxes, "M%d 4H%dv18H%dz", x, max(x+1, to), x)
		if to-x > 46 {
			c.text((x+to)/2, 17, cmp.Or(names[p.Name], p.Name))
		}
	}
	c.end()
	c.add(`<path d="%s" fill="currentColor" fill-opacity=".08" stroke="currentColor" stroke-opacity=".25"/>`, boxes.String())
}

// lanes labels the rows.
func (c *canvas) lanes(faults int, events bool) {
	y := 17
	lane := func(name string) {
		c.text(left-6, y, name)
		y += 24
	}
	c.texts("end", "lane")
	lane("phase")
	for range faults {
		lane("fault")
	}
	if events {
		lane("events")
	}
	if len(c.axis.marks) > 0 {
		lane("worst")
	}
	c.end()
}

func (c *canvas) events(y int, marks []mark) {
	last, end := -10, -10
	var triangles strings.Builder
	c.texts("start", "mark")
	for _, p := range marks {
		x := c.axis.x(p.at)
		if x-last >= 4 { // those in between are in the list of processes
			fmt.Fprintf(&triangles, "M%d %dl5 8h-10z", x, y+3)
			last = x
		}
		text := shorten(p.what, 24)
		if width := len([]rune(text)) * 6; x+8 > end && x+8+width < chartWidth {
			c.text(x+8, y+13, text)
			end = x + 12 + width
		}
	}
	c.end()
	c.add(`<path d="%s" fill="%s"/>`, triangles.String(), blue)
}

// worstMoments draws a link to its card for each worst moment.
func (c *canvas) worstMoments(y int) {
	end := -10
	for _, m := range c.axis.marks {
		x := c.axis.x(m.At)
		c.add(`<a href="#why-%d" id="%s" class="worst"><path d="M%d %dl5 -8h-10z"/><g>`, m.Card, m.ID, x, y+12)
		label := fmt.Sprintf("why %d", m.Card)
		if at := min(x+8, chartWidth-right-36); at > end {
			c.text(at, y+13, label)
			end = at + 40
		}
		c.add("</g></a>")
	}
}

func at(t time.Duration) string { return fmt.Sprintf("+%.1fs", t.Seconds()) }

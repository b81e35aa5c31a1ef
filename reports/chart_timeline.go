package reports

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// mark is a moment in the timeline: a change of a service, or what a step asked or ran.
type mark struct {
	at   time.Duration
	what string
}

// timeline draws the phases and faults, and marks moments.
func timeline(a axis, id string) chart {
	h := a.h
	faults := h.CombinedFaults()
	rows := 1 + len(faults)
	var marks []mark
	baseline, _ := h.Phase("baseline")
	for _, p := range h.Processes {
		if p.At >= max(a.from, baseline.From) && p.What != "ready" && p.At < a.to {
			marks = append(marks, mark{p.At, p.Service + " " + p.What})
		}
	}
	for _, task := range h.Tasks {
		marks = append(marks, mark{task.Began, task.What})
	}
	slices.SortStableFunc(marks, func(a, b mark) int { return cmp.Compare(a.at, b.at) })
	height := 30 + rows*24
	if len(marks) > 0 {
		height += 24
	}
	c := a.canvas(id, height)
	out := chart{Title: "Timeline", Head: []string{"event", "from", "to"}}
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
		out.Rows = append(out.Rows, []string{"phase " + p.Name, at(p.From), at(p.To)})
	}
	c.text(left-6, 17, "end", "lane", "phase")
	for i, in := range faults {
		y := 28 + float64(i)*24
		x, to := a.x(in.Injected), a.x(end(h, in))
		c.add(`<rect x="%.1f" y="%.1f" width="%.1f" height="18" fill="url(#%s-hatch)" stroke="%s"/>`, x, y, math.Max(2, to-x), id, vermillion)
		label, room := in.Sentence, float64(chartWidth-right)-x
		anchor, lx := "start", x+5
		if room < 330 && x-left > room {
			anchor, lx, room = "end", x-6, x-left
		}
		c.text(lx, y+13, anchor, "fault", shorten(label, int(room/7.2)))
		c.text(left-6, y+13, "end", "lane", "fault")
		out.Rows = append(out.Rows, []string{in.Sentence, at(in.Injected), at(end(h, in))})
	}
	if len(marks) > 0 {
		y := 28 + float64(len(faults))*24
		c.text(left-6, y+13, "end", "lane", "events")
		last := -100.0
		for _, p := range marks {
			x := a.x(p.at)
			c.add(`<path d="M%.1f %.1f l5 8 l-10 0 z" fill="%s"/>`, x, y+3, blue)
			if x-last > 110 {
				c.text(x+8, y+13, "start", "mark", shorten(p.what, 17))
				last = x
			}
			out.Rows = append(out.Rows, []string{p.what, at(p.at), ""})
		}
	}
	c.times(float64(height - 22))
	c.finish(&out)
	out.Desc = fmt.Sprintf("Phases and faults (%d) from %s to %s.", len(faults), at(a.from), at(a.to))
	return out
}

func at(t time.Duration) string { return fmt.Sprintf("+%.1fs", t.Seconds()) }

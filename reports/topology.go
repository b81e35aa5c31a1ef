package reports

import (
	"fmt"
	"html"
	"html/template"
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// topology is a system with what was seen on its links, in all scenarios that ran it.
type topology struct {
	Scenarios     int
	Links         []*linkEvidence
	Services      map[string]int // faults on each service itself
	Width, Height int
	SVG           template.HTML // "" for a system with too many links to draw
}

// linkEvidence is what was seen on one link.
type linkEvidence struct {
	journal.Link
	Calls       int64
	Affected    int64
	Connections int64
	Faults      int      // injected on it
	Broken      []string // the sentences of those that affected nothing
}

// Name returns the name of the link in the journal.
func (l *linkEvidence) Name() string { return l.From + " -> " + l.To }

// Untouched returns the links on which no fault was injected, and neither on the service that they lead to.
func (t *topology) Untouched() (links []*linkEvidence) {
	for _, l := range t.Links {
		if l.Faults == 0 && t.Services[l.To] == 0 {
			links = append(links, l)
		}
	}
	return links
}

// Drills returns sentences that would drill the link.
func (l *linkEvidence) Drills() []string {
	all := []string{fmt.Sprintf(`When "%s" and "%s" are cut off from each other for 5s`, l.From, l.To)}
	switch l.Unit {
	case "calls":
		all = append(all, fmt.Sprintf(`When 20%% of replies from "%s" to "%s" are lost after the work was done for 5s`, l.To, l.From),
			fmt.Sprintf(`When calls from "%s" to "%s" are delayed by 300ms for 5s`, l.From, l.To))
	case "messages":
		all = append(all, fmt.Sprintf(`When messages from "%s" to "%s" are delayed by 300ms for 5s`, l.From, l.To))
	default:
		all = append(all, fmt.Sprintf(`When traffic from "%s" to "%s" is delayed by 300ms for 5s`, l.From, l.To))
	}
	return all
}

// newTopologies returns one topology for each different system, in order.
func newTopologies(all []*journal.History) (systems []*topology) {
	by := map[string]*topology{}
	for _, h := range all {
		key := fmt.Sprint(h.Begin.Links)
		if len(h.Begin.Links) == 0 {
			continue
		}
		t := by[key]
		if t == nil {
			t = &topology{Services: map[string]int{}}
			for _, l := range h.Begin.Links {
				t.Links = append(t.Links, &linkEvidence{Link: l})
			}
			by[key] = t
			systems = append(systems, t)
		}
		t.add(h)
	}
	for _, t := range systems {
		t.draw()
	}
	return systems
}

func (t *topology) add(h *journal.History) {
	t.Scenarios++
	links := map[string]*linkEvidence{}
	for _, l := range t.Links {
		links[l.Name()] = l
	}
	for _, c := range h.Calls {
		if l := links[c.Link]; l != nil {
			l.Calls += int64(c.Calls)
		}
	}
	for _, of := range h.Traffic {
		if l := links[of.Link]; l != nil {
			l.Connections += of.Opened
		}
	}
	for _, in := range h.Faults {
		l := links[in.On]
		if l == nil {
			t.Services[in.On]++
			continue
		}
		l.Faults++
		l.Affected += in.Affected
		if in.Affected == 0 && in.Healed > 0 && !slices.Contains(l.Broken, in.Sentence) {
			l.Broken = append(l.Broken, in.Sentence)
		}
	}
}

// maxDrawn is how many links a drawing has at most; the table has all.
const maxDrawn = 40

// The measures of a drawing, in pixels.
const (
	boxWidth, boxHeight = 118, 30
	columnWidth         = 290
	rowHeight           = 62
)

// draw draws the services in columns, callers left of what they call, and the links with their evidence.
func (t *topology) draw() {
	if len(t.Links) > maxDrawn {
		return
	}
	var out strings.Builder
	at := t.layOut()
	for _, l := range t.Links {
		drawLink(&out, l, at[l.From], at[l.To])
	}
	for _, name := range t.names() {
		p := at[name]
		note := ""
		if n := t.Services[name]; n > 0 {
			note = fmt.Sprintf(`<text x="%d" y="%d" text-anchor="middle" fill="%s">%s on it</text>`, p[0]+boxWidth/2, p[1]+boxHeight+13, vermillion, things(n, "fault"))
		}
		fmt.Fprintf(&out, `<rect x="%d" y="%d" width="%d" height="%d" rx="5" class="box" fill="none" stroke="currentColor"/><text x="%d" y="%d" text-anchor="middle" font-size="13">%s</text>%s`,
			p[0], p[1], boxWidth, boxHeight, p[0]+boxWidth/2, p[1]+20, html.EscapeString(shorten(name, 15)), note)
	}
	t.SVG = template.HTML(out.String()) //nolint:gosec // numbers, and text that was escaped
}

// drawLink draws a link with its evidence. One on which a fault never acted is broken, one without faults thin.
func drawLink(out *strings.Builder, l *linkEvidence, from, to [2]int) {
	x1, y1, x2, y2 := from[0]+boxWidth, from[1]+boxHeight/2, to[0], to[1]+boxHeight/2
	bend := max(30, (x2-x1)/2)
	if x2 <= x1 { // back, or within a column
		bend = 60
	}
	stroke, style := "currentColor", ` stroke-opacity=".45"`
	switch {
	case len(l.Broken) > 0:
		stroke, style = vermillion, ` stroke-width="2" stroke-dasharray="6 6"`
	case l.Faults > 0:
		stroke, style = vermillion, ` stroke-width="2"`
	}
	fmt.Fprintf(out, `<path d="M%d %dC%d %d %d %d %d %d" fill="none" stroke="%s"%s/><path d="M%d %dl-7 -4v8z" fill="%s"/>`, x1, y1, x1+bend, y1, x2-bend, y2, x2, y2, stroke, style, x2, y2, stroke)
	x, y := x2-12, y2-5
	if y2 > y1 {
		y = y2 + 14
	}
	fmt.Fprintf(out, `<text x="%d" y="%d" text-anchor="end">%s</text>`, x, y, html.EscapeString(l.summary()))
}

// summary describes the evidence of a link in few words.
func (l *linkEvidence) summary() string {
	text := check.Count(l.Calls) + " calls"
	if l.Calls == 0 {
		text = check.Count(l.Connections) + " conn."
	}
	switch {
	case len(l.Broken) > 0:
		text = "✗ fault never acted"
	case l.Affected > 0:
		text += ", " + check.Count(l.Affected) + " hit"
	}
	return text
}

// names returns the services, in order of the links.
func (t *topology) names() (all []string) {
	for _, l := range t.Links {
		for _, name := range []string{l.From, l.To} {
			if !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
	}
	return all
}

// layOut returns the corner of the box of each service, and sets the size of the drawing.
func (t *topology) layOut() map[string][2]int {
	columns := map[string]int{}
	names := t.names()
	for range names { // a system without circles needs no more passes; with some, columns are bounded by their number
		for _, l := range t.Links {
			if columns[l.To] <= columns[l.From] && columns[l.From] < len(names)-1 {
				columns[l.To] = columns[l.From] + 1
			}
		}
	}
	used := map[int]int{} // compacts columns that circles leave empty
	for c := range len(names) {
		for _, name := range names {
			if columns[name] == c {
				if _, ok := used[c]; !ok {
					used[c] = len(used)
				}
			}
		}
	}
	rows := map[int]int{}
	at := map[string][2]int{}
	for _, name := range names {
		c := used[columns[name]]
		at[name] = [2]int{6 + c*columnWidth, 6 + rows[c]*rowHeight}
		rows[c]++
		t.Width, t.Height = max(t.Width, 12+c*columnWidth+boxWidth), max(t.Height, 10+rows[c]*rowHeight)
	}
	return at
}

package screen

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/firedrill-dev/firedrill/cmd/firedrill/live"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// draw returns the screen: at the top the lanes, as far as there is room, and at the bottom what is asked, in full. s.mu
// must be held.
func (s *Screen) draw() string {
	width, height := max(s.width, 20), max(s.height, 5)
	top, bottom := s.header(width), s.bottom(width)
	lanes := []*lane{
		{name: "load", items: s.load(width)},
		{name: "faults", items: s.faults()},
		{name: "stops if", items: s.stop()},
		{name: "about", items: s.about()},
		{name: "links", items: s.linkItems(width)},
	}
	room := max(0, height-len(top)-len(bottom))
	room -= share(lanes, room, width)
	for _, l := range lanes {
		top = append(top, l.text(width, s.paint)...)
	}
	top = append(top, s.happened(width, room)...)
	for len(top)+len(bottom) < height {
		top = append(top, "")
	}
	all := slices.Concat(top, bottom)
	all = all[max(0, len(all)-height):]
	for i, line := range all {
		all[i] = ansi.Truncate(line, width, "…")
	}
	return strings.Join(all, "\n")
}

// header has what is played, the phase and the clock.
func (s *Screen) header(width int) []string {
	now := s.run.Now()
	right := " " + clock(now)
	if s.run.Phase != "" {
		right = fmt.Sprintf(" %s for %s  %s", s.run.Phase, clock(now-s.run.PhaseBegan), clock(now))
	}
	left := ansi.Truncate(visible(s.card.Heading), width-ansi.StringWidth(right), "…")
	gap := strings.Repeat(" ", max(0, width-ansi.StringWidth(left)-ansi.StringWidth(right)))
	return []string{s.paint(bold, left) + gap + right, strings.Repeat("-", width)}
}

func (s *Screen) about() (items []item) {
	for _, f := range s.card.Facts {
		items = append(items, item{text: f[0] + ": " + visible(f[1])})
	}
	return items
}

// load has the figures of the last second.
func (s *Screen) load(width int) []item {
	t := s.run.Tick
	if t.Phase == "" {
		return texts(normal, "no requests yet")
	}
	figures := []string{"success –"}
	if t.Ended > 0 {
		figures[0] = fmt.Sprintf("success %.1f%%", 100*float64(t.Good)/float64(t.Ended))
	}
	if t.Fallback > 0 {
		figures = append(figures, fmt.Sprintf("fallbacks %.1f%%", 100*float64(t.Fallback)/float64(t.Ended)))
	}
	figures = append(figures, "p50 "+milli(t.P50), "p99 "+milli(t.P99), fmt.Sprintf("%.0f/s", t.Rate), fmt.Sprintf("%d errors", t.Errors), fmt.Sprintf("%d retries", t.Retries))
	style := normal
	if t.Good < t.Ended {
		style = red
	}
	return texts(style, fields(figures, width-margin)...)
}

// faults has the live faults, with the time until they are healed first, so that it is never cut off.
func (s *Screen) faults() (items []item) {
	for _, f := range s.run.Faults {
		left := "until it is healed"
		if ends := f.Ends(); ends > 0 {
			left = clock(max(0, ends-s.run.Now())) + " left"
		}
		affected, seen := f.Met()
		text := fmt.Sprintf("%s: %s (%d of %d %s affected)", left, visible(f.First.Stated()), affected, seen, cmp.Or(f.First.Unit, "calls"))
		items = append(items, item{text: text, style: red})
	}
	if len(items) == 0 {
		return texts(normal, "none is live")
	}
	return items
}

// stop has how near the stop rules are.
func (s *Screen) stop() (items []item) {
	for _, m := range s.run.Tick.Stop {
		it := item{text: visible(m.Rule)}
		if m.For > 0 {
			const cells = 10
			full := int(cells * m.Held / m.For)
			it.text = fmt.Sprintf("[%s%s] %s", strings.Repeat("#", full), strings.Repeat(".", cells-full), it.text)
		}
		if m.Held > 0 {
			it.style = red
			it.text += fmt.Sprintf("; so for %s", m.Held.Round(100*time.Millisecond))
		}
		if m.Now != "" {
			it.text += "; now: " + visible(m.Now)
		}
		items = append(items, it)
	}
	return items
}

// linkItems has the links: those with a live fault first, then those with most calls.
func (s *Screen) linkItems(width int) (items []item) {
	links := slices.Clone(s.run.Links)
	rank := func(l journal.Link) int {
		rank := s.run.Lately(l).Calls
		if s.acted(l) {
			rank += 1 << 40
		}
		return rank
	}
	slices.SortStableFunc(links, func(a, b journal.Link) int { return cmp.Compare(rank(b), rank(a)) })
	for _, l := range links {
		c := s.run.Lately(l)
		text := fmt.Sprintf("%s -> %s", visible(l.From), visible(l.To))
		parts := []string{fmt.Sprintf("%.0f/s", float64(c.Calls)/max(100*time.Millisecond, c.To-c.From).Seconds())}
		for _, n := range []struct {
			n    int
			what string
		}{{c.Affected, "affected"}, {c.Failed, "failed"}, {c.GaveUp, "given up"}, {c.Refused, "refused"}} {
			if n.n > 0 {
				parts = append(parts, fmt.Sprintf("%d %s", n.n, n.what))
			}
		}
		it := item{}
		if s.acted(l) {
			parts, it.style = slices.Insert(parts, 1, "FAULT"), red
		}
		it.text = fmt.Sprintf("%-*s %s", min(30, width/3), text, strings.Join(parts, "  "))
		items = append(items, it)
	}
	return items
}

func (s *Screen) acted(l journal.Link) bool {
	return slices.ContainsFunc(s.run.Faults, func(f *live.Fault) bool { return f.ActsOn(l) })
}

// happened returns the last lines of what happened that fit.
func (s *Screen) happened(width, rows int) []string {
	if rows < 2 {
		return nil
	}
	lines := []string{strings.Repeat("-", width)}
	const most = 16 << 10 // bytes that are looked at
	said := bytes.Split(s.said.Bytes()[max(0, s.said.Len()-most):], []byte("\n"))
	said = slices.DeleteFunc(said, func(l []byte) bool { return len(l) == 0 })
	for _, l := range said[max(0, len(said)-rows+1):] {
		lines = append(lines, string(l))
	}
	return lines
}

// bottom has what is asked or what comes next, how it is undone, and the keys. Nothing of it is cut off.
func (s *Screen) bottom(width int) []string {
	lines := []string{strings.Repeat("-", width)}
	p := s.prompt
	text, undo := p.Question, p.Undo
	if text == "" && s.run.Phase != "" {
		text, undo = s.coming()
	}
	for _, line := range wrap(visible(text), width) {
		if p.Question != "" {
			line = s.paint(bold, line)
		}
		lines = append(lines, line)
	}
	if undo != "" {
		lines = append(lines, wrap("undo: "+visible(undo), width)...)
	}
	keys := p.Keys
	if p.OnHold {
		keys = append([]string{s.paint(bold, "ON HOLD")}, keys...)
	}
	if p.Typing {
		return append(lines, "note: "+tail(visible(p.Note)+"_", width-len("note: ")))
	}
	return append(lines, fields(keys, width)...)
}

// coming returns what the scenario does next without being asked.
func (s *Screen) coming() (text, undo string) {
	for _, a := range s.card.Actions {
		if !slices.Contains(s.run.Injected, a.ID) {
			return "next: inject: " + a.Text, a.Undo
		}
	}
	if len(s.run.Faults) > 0 {
		return "next: everything is healed, then the checks", ""
	}
	return "next: the checks", ""
}

const normal, bold, red = "", "1", "31"

// paint returns a text in a style, if the terminal has colours.
func (s *Screen) paint(style, text string) string {
	if !s.colours || style == normal {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[m"
}

// wrap breaks a text into lines. That of "" has none.
func wrap(text string, width int) []string {
	if text == "" {
		return nil
	}
	return strings.Split(ansi.Wrap(text, width, ""), "\n")
}

// fields puts texts side by side, into as many lines as they need.
func fields(all []string, width int) (lines []string) {
	for _, f := range all {
		last := len(lines) - 1
		if last < 0 || ansi.StringWidth(lines[last])+2+ansi.StringWidth(f) > width {
			lines = append(lines, f)
			continue
		}
		lines[last] += "  " + f
	}
	return lines
}

// tail returns the end of a text that fits.
func tail(text string, width int) string {
	return ansi.TruncateLeft(text, max(0, ansi.StringWidth(text)-width), "")
}

// visible returns a text of one line that controls no terminal.
func visible(text string) string {
	return journal.Visible(strings.NewReplacer("\n", " ", "\t", " ").Replace(text))
}

func clock(d time.Duration) string {
	return fmt.Sprintf("%d:%02d", int(d.Minutes()), int(d.Seconds())%60)
}

func milli(d time.Duration) string {
	if d < 10*time.Millisecond {
		return fmt.Sprintf("%.1f ms", float64(d)/1e6)
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}

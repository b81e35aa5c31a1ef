package history

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

var stateIcons = map[string]string{
	NewFailure: "✗", Flaky: "~", Fixed: "✓", StillFailing: "✗", Passes: "✓", NotProven: "?", Incomparable: "?",
}

// Text writes a comparison for people: each scenario with its checks that changed or did not pass, and the figures that
// are not as usual. Without a band, the main figures are written. With all, all figures and checks are.
func (c Comparison) Text(w io.Writer, all bool) error {
	out := bufio.NewWriter(w)
	line := func(format string, args ...any) { fmt.Fprintln(out, journal.Visible(fmt.Sprintf(format, args...))) }
	line("before  %s  %s", c.Before.ID, c.Before.Outcome)
	line("now     %s  %s", c.Now.ID, c.Now.Outcome)
	line("")
	if len(c.Differs) > 0 {
		line("NOT COMPARABLE: the runs differ in")
		for _, why := range c.Differs {
			line("    %s", why)
		}
		return out.Flush()
	}
	figures, outside, unbanded := 0, 0, 0
	var missing []string
	for _, s := range c.Scenarios {
		if s.State == Missing {
			missing = append(missing, fmt.Sprintf("%s (%s before)", s.Name, s.Before))
			continue
		}
		s.write(line, all)
		for _, f := range s.Figures {
			switch {
			case f.Band == nil:
				unbanded++
			case f.Mark != "as usual":
				outside++
				fallthrough
			default:
				figures++
			}
		}
	}
	for i, name := range missing {
		if i == maxLines && !all {
			line("– MISSING  %d more", len(missing)-i)
			break
		}
		line("– MISSING  %s", name)
	}
	if len(missing) > 0 {
		line("")
	}
	line("%s", c.summary())
	if figures > 0 {
		line("%d of %d figures are outside of what is usual; in a system that did not change, about 4 of 100 are", outside, figures)
	}
	if unbanded > 0 {
		line("%d figures have no band: that takes %d comparable runs", unbanded, leastRuns)
	}
	return out.Flush()
}

func (s ScenarioChange) write(line func(string, ...any), all bool) {
	place := ""
	if s.File != "" {
		place = fmt.Sprintf("  (%s:%d)", s.File, s.Line)
	}
	line("%s %s  %s%s", stateIcons[s.State], strings.ToUpper(s.State), s.Name, place)
	switch {
	case s.State == Incomparable:
		line("    %s, and %s before, but other things were tested:", s.Now, s.Before)
		for _, why := range s.Differs {
			line("    %s", why)
		}
	case s.State == NotProven:
		line("    %s, and %s before%s", s.Now, cmp.Or(s.Before, "not there"), after(": ", s.Reason))
	case s.New:
		line("    not in the earlier run")
	case !proved(s.Before):
		line("    %s before", s.Before)
	}
	if s.EarlierFailed > 0 {
		line("    failed in %d of %s before", s.EarlierFailed, counted(s.Earlier, "comparable run"))
	}
	for _, c := range s.Checks {
		if !all && c.State == Passes {
			continue
		}
		line("    %s %s: %s%s", stateIcons[c.State], c.State, c.Check, after("  — ", cmp.Or(c.Observed, c.Reason)))
	}
	s.writeFigures(line, all)
	line("")
}

// writeFigures writes figures as a table.
func (s ScenarioChange) writeFigures(line func(string, ...any), all bool) {
	var rows [][]string
	missing := false
	for _, f := range s.Figures {
		format, usual := f.Format, ""
		switch {
		case f.Band != nil:
			usual = f.Mark + "; usual: " + f.usual()
		default:
			missing = true
		}
		if all || f.tells() {
			rows = append(rows, []string{f.Name, format(f.Before), "->", format(f.Now), usual})
		}
	}
	for _, row := range table(rows) {
		line("    %s", row)
	}
	if missing && len(rows) > 0 {
		line("    no band of what is usual: %s, and %d are needed", counted(s.Earlier, "comparable run"), leastRuns)
	}
}

// table aligns the columns of rows.
func table(rows [][]string) (lines []string) {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	for _, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			b.WriteString(cell)
			b.WriteString(strings.Repeat(" ", widths[i]-len([]rune(cell))+2))
		}
		lines = append(lines, strings.TrimRight(b.String(), " "))
	}
	return lines
}

// after returns text after a separator, or "" if there is no text.
func after(separator, text string) string {
	if text == "" {
		return ""
	}
	return separator + strings.Join(strings.Fields(text), " ")
}

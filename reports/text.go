package reports

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Style says how text may look.
type Style struct{ Colour bool }

var colours = map[string]string{"passed": "32", "failed": "31", "inconclusive": "33", "stopped": "31", "interrupted": "33", "skipped": "36"}

var icons = map[string]string{"passed": "✓", "failed": "✗", "inconclusive": "?", "stopped": "■", "interrupted": "■", "skipped": "–"}

func (s Style) paint(outcome, text string) string {
	if !s.Colour {
		return text
	}
	return "\x1b[" + colours[outcome] + "m" + text + "\x1b[0m"
}

// Text is the verdict table for a terminal: every scenario with its checks, what was observed, and why one did not pass.
func Text(s Style) Format {
	return func(w io.Writer, b *journal.Book) error {
		out := bufio.NewWriter(w)
		if short := cutShort(b); short != "" {
			fmt.Fprintf(out, "%s\n\n", plain(short))
		}
		counts := map[string]int{}
		for _, h := range b.Scenarios {
			counts[outcome(h)]++
			s.scenario(out, h)
		}
		var parts []string
		for i := len(ranks) - 1; i >= 0; i-- {
			if n := counts[ranks[i]]; n > 0 {
				parts = append(parts, s.paint(ranks[i], fmt.Sprintf("%d %s", n, ranks[i])))
			}
		}
		if len(parts) == 0 {
			parts = []string{"no scenario ran"}
		}
		worst := Outcome(b)
		fmt.Fprintf(out, "%s  %s; seed %d\n", s.paint(worst, strings.ToUpper(worst)), strings.Join(parts, ", "), b.Run.Seed)
		return out.Flush()
	}
}

func (s Style) scenario(out *bufio.Writer, h *journal.History) {
	o := outcome(h)
	fmt.Fprintf(out, "%s  %s", s.paint(o, icons[o]+" "+strings.ToUpper(o)), plain(h.Name))
	if h.File != "" {
		fmt.Fprintf(out, "  (%s:%d)", plain(h.File), h.Line)
	}
	fmt.Fprintln(out)
	if h.End != nil && h.End.Reason != "" {
		fmt.Fprintf(out, "    %s\n", plain(h.End.Reason))
	}
	for _, v := range h.Verdicts {
		if implied(v) && v.Outcome == "passed" {
			continue
		}
		fmt.Fprintf(out, "    %s %s", s.paint(v.Outcome, icons[v.Outcome]), plain(v.Check))
		if v.Observed != "" {
			fmt.Fprintf(out, "  — %s", plain(v.Observed))
		}
		fmt.Fprintln(out)
		if v.Outcome == "passed" {
			continue
		}
		fmt.Fprintf(out, "        %s: %s\n", plain(place(h, v)), plain(v.Reason))
		for i, d := range v.Details {
			if i == 3 {
				fmt.Fprintf(out, "        … the report has more\n")
				break
			}
			fmt.Fprintf(out, "        %s\n", plain(d))
		}
	}
	fmt.Fprintln(out)
}

package reports

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Style defines the appearance of text.
type Style struct{ Colour bool }

var colours = map[string]string{"passed": "32", "failed": "31", "inconclusive": "33", "stopped": "31", "interrupted": "33", "skipped": "36"}

var icons = map[string]string{"passed": "✓", "failed": "✗", "inconclusive": "?", "stopped": "■", "interrupted": "■", "skipped": "–"}

func (s Style) paint(outcome, text string) string {
	if !s.Colour {
		return text
	}
	return "\x1b[" + colours[outcome] + "m" + text + "\x1b[0m"
}

// Text returns the format of the verdict table for a terminal: every scenario with its checks, the observed
// values, and why a check did not pass.
func Text(s Style) Format {
	return func(w io.Writer, b *journal.Book) error {
		out := bufio.NewWriter(w)
		if short := abortReason(b); short != "" {
			fmt.Fprintf(out, "%s\n\n", plain(short))
		}
		for _, n := range b.Notes {
			fmt.Fprintf(out, "note: %s\n", plain(n.Text))
		}
		counts := map[string]int{}
		for _, h := range b.Scenarios {
			counts[outcome(h)]++
			s.scenario(out, h)
		}
		for _, p := range b.NotRun() {
			fmt.Fprintf(out, "– NOT RUN  %s  (%s:%d)\n", plain(p.Name), plain(p.File), p.Line)
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
		if n := len(b.NotRun()); n > 0 {
			parts = append(parts, fmt.Sprintf("%d not run", n))
		}
		worst := Outcome(b)
		if n := skipped(b); worst == "inconclusive" && n > 0 && counts["passed"]+n == len(b.Scenarios) {
			fmt.Fprintf(out, "%s\n", plain(unjudgedReason(b)))
		}
		fmt.Fprintf(out, "%s  %s; seed %d\n", s.paint(worst, strings.ToUpper(worst)), strings.Join(parts, ", "), b.Run.Seed)
		return out.Flush()
	}
}

func (s Style) scenario(out *bufio.Writer, h *journal.History) {
	o := outcome(h)
	fmt.Fprintf(out, "%s  %s", s.paint(o, icons[o]+" "+strings.ToUpper(plain(o))), plain(h.Name))
	if h.File != "" {
		fmt.Fprintf(out, "  (%s:%d)", plain(h.File), h.Line)
	}
	fmt.Fprintln(out)
	if note := rerunNote(h); note != "" {
		fmt.Fprintf(out, "    %s\n", plain(note))
	}
	if h.End != nil && h.End.Reason != "" && !slices.ContainsFunc(h.Verdicts, func(v journal.Verdict) bool { return v.Reason == h.End.Reason }) {
		fmt.Fprintf(out, "    %s\n", plain(h.End.Reason))
	}
	for _, in := range h.Wholes() {
		fmt.Fprintf(out, "    · %s  — %s\n", plain(in.Says), affected(in))
	}
	for _, v := range h.Verdicts {
		if isImplied(v) && v.Outcome == "passed" {
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
		fmt.Fprintf(out, "        %s: %s\n", plain(position(h, v)), plain(v.Reason))
		details := v.Details
		if v.Kind == "services stayed" { // the reason is usually at the end of the log
			details = details[max(0, len(details)-3):]
		}
		for i, d := range details {
			if i == 3 {
				fmt.Fprintf(out, "        … the report has more\n")
				break
			}
			fmt.Fprintf(out, "        %s\n", plain(d))
		}
	}
	fmt.Fprintln(out)
}

// affected describes what a fault affected.
func affected(in *journal.Injection) string {
	s := fmt.Sprintf("%s of %s %s affected", check.Count(in.Affected), check.Count(in.Seen), in.Unit)
	if in.Seen < in.Affected {
		s = fmt.Sprintf("%s %s affected", check.Count(in.Affected), in.Unit)
	}
	for _, more := range []struct {
		n    int64
		what string
	}{
		{in.Background, "of them as without the load"}, {in.Collateral, "others lost with them"}, {in.Broken, "broke while they were held back"},
		{in.Idle, "idle connections changed"},
	} {
		if more.n > 0 {
			s += fmt.Sprintf(", %s %s", check.Count(more.n), more.what)
		}
	}
	return s
}

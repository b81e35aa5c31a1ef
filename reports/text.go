package reports

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

var colours = map[string]string{"passed": "32", "failed": "31", "inconclusive": "33", "flaky": "33", "stopped": "31", "interrupted": "33", "skipped": "36"}

var icons = map[string]string{"passed": "✓", "failed": "✗", "inconclusive": "?", "stopped": "■", "interrupted": "■", "skipped": "–", "flaky": "~"}

// Text writes the verdict table for a terminal: every scenario with its checks, the observed values, and why a check
// did not pass.
func Text(w io.Writer, b *journal.Book, colour bool) error {
	t := textWriter{bufio.NewWriter(w), colour}
	if reason := abortReason(b); reason != "" {
		t.printf("%s\n\n", plain(reason))
	}
	for _, n := range b.Notes {
		if n.By == "" {
			t.printf("note: %s\n", plain(n.Text))
		}
	}
	for _, h := range b.Scenarios {
		t.scenario(h)
	}
	for _, p := range b.NotRun() {
		t.printf("– NOT RUN  %s  (%s:%d)\n", plain(p.Name), plain(p.File), p.Line)
	}
	t.gameDay(newGameDay(b))
	t.summary(b)
	return t.out.Flush()
}

// writeText is Text without colours.
func writeText(w io.Writer, b *journal.Book) error { return Text(w, b, false) }

// textWriter writes text. Its first error is that of the final Flush.
type textWriter struct {
	out    *bufio.Writer
	colour bool
}

func (t textWriter) printf(format string, args ...any) { fmt.Fprintf(t.out, format, args...) }

// paint returns text in the colour of an outcome.
func (t textWriter) paint(outcome, text string) string {
	if !t.colour {
		return text
	}
	return "\x1b[" + colours[outcome] + "m" + text + "\x1b[0m"
}

// summary writes the last line: the outcome of the run, and how many scenarios had which.
func (t textWriter) summary(b *journal.Book) {
	o := Outcome(b)
	notPassed := func(h *journal.History) bool { return outcome(h) != "passed" && outcome(h) != "skipped" }
	if o == "inconclusive" && skipped(b) > 0 && !slices.ContainsFunc(b.Scenarios, notPassed) {
		t.printf("%s\n", plain(unjudgedReason(b)))
	}
	if o == "inconclusive" && (notStarted(b) > 0 || onlyQuarantine(b)) {
		t.printf("%s\n", plain(unjudgedReason(b)))
	}
	for _, line := range countRepetitions(b) {
		t.printf("%s\n", plain(line))
	}
	word := strings.ToUpper(o)
	if ready(b) {
		word = "DRY RUN"
	}
	t.printf("%s  %s; seed %d\n", t.paint(o, word), strings.Join(countOutcomes(b, t.paint), ", "), b.Run.Seed)
}

// scenario writes a scenario with its faults and its checks. Implied checks that passed are left out.
func (t textWriter) scenario(h *journal.History) {
	o := outcome(h)
	t.printf("%s  %s", t.paint(o, icons[o]+" "+strings.ToUpper(plain(o))), plain(h.Name))
	if h.File != "" {
		t.printf("  (%s:%d)", plain(h.File), h.Line)
	}
	t.printf("\n")
	for _, note := range []string{rerunNote(h), quarantineNote(h)} {
		if note != "" {
			t.printf("    %s\n", plain(note))
		}
	}
	end := ""
	if h.End != nil {
		end = h.End.Reason
	}
	isEnd := func(v journal.Verdict) bool { return endsBy(h, v, end) }
	if end != "" && !slices.ContainsFunc(h.Verdicts, isEnd) {
		t.printf("    %s\n", plain(end))
	}
	for _, in := range h.CombinedFaults() {
		t.printf("    · %s  — %s\n", plain(in.Stated()), affected(in))
	}
	for _, task := range h.Tasks {
		t.printf("    · %s  — %s, %s at %s\n", plain(task.What), plain(task.Result), check.Duration(task.Took.Round(time.Millisecond)), at(task.Began))
	}
	for _, v := range h.Verdicts {
		if isEnd(v) {
			v.Reason = end
		}
		if v.Outcome != "passed" || !isImplied(v) {
			t.verdict(h, v)
		}
	}
	t.printf("\n")
}

func (t textWriter) verdict(h *journal.History, v journal.Verdict) {
	t.printf("    %s %s", t.paint(v.Outcome, icons[v.Outcome]), plain(v.Check))
	if v.Observed != "" {
		t.printf("  — %s", plain(v.Observed))
	}
	t.printf("\n")
	if v.Outcome == "passed" {
		if v.Finding {
			t.printf("        known to fail, as it does: %s\n", plain(v.Reason))
		}
		return
	}
	t.printf("        %s: %s\n", plain(position(h, v)), plain(v.Reason))
	details := v.Details
	if v.Kind == check.KindOf(check.ServicesStayed{}) { // the cause is usually at the end of the log
		details = details[max(0, len(details)-maxDetails):]
	}
	for _, d := range details[:min(len(details), maxDetails)] {
		t.printf("        %s\n", plain(d))
	}
	if len(details) > maxDetails {
		t.printf("        … more in report.html\n")
	}
}

// maxDetails is how many violations of a check are printed.
const maxDetails = 3

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
		{in.Background, "of them possibly not caused by the load"}, {in.Collateral, "others lost along with them"}, {in.Broken, "failed while held back"},
		{in.Idle, "idle connections affected"},
	} {
		if more.n > 0 {
			s += fmt.Sprintf(", %s %s", check.Count(more.n), more.what)
		}
	}
	return s
}

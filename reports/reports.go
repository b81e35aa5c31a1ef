// Package reports renders a run for people and machines. Formats is the table of formats, and WriteDir writes all
// of them into the folder of a run.
//
// Every rendering is computed from the journal's Book only, so that a run can be rendered again at any time, even
// if it was killed. The outcome of a scenario is always that of check.Sum, so that reports cannot disagree.
package reports

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Format writes one rendering of a run, which may be incomplete. It is deterministic.
type Format func(io.Writer, *journal.Book) error

// Row is a row of the table of formats.
type Row struct {
	Name  string // "html"
	File  string // name in the folder of a run
	Means string
	Write Format
}

// Formats returns all formats, sorted by name. To add one, add a file and a row here.
func Formats() []Row {
	return []Row{
		{"html", "report.html", "people: one file, from the verdict to its cause", HTML},
		{"json", "report.json", "programs: verdicts and figures", JSON},
		{"junit", "junit.xml", "CI: a test case for each check", JUnit},
		{"text", "report.txt", "the terminal: the verdict table", Text(Style{})},
	}
}

// WriteTo writes the report with the given name.
func WriteTo(w io.Writer, name string, b *journal.Book) error {
	var names []string
	for _, f := range Formats() {
		if f.Name == name {
			return f.Write(w, b)
		}
		names = append(names, f.Name)
	}
	return fmt.Errorf("write a report as %q: there are %s", name, strings.Join(names, ", "))
}

// WriteDir writes all reports into a folder. Each file is written completely or not at all.
func WriteDir(dir string, b *journal.Book) error {
	for _, f := range Formats() {
		var page bytes.Buffer
		if err := f.Write(&page, b); err != nil {
			return fmt.Errorf("write %s: %w", f.File, err)
		}
		path := filepath.Join(dir, f.File)
		if err := os.WriteFile(path+".part", page.Bytes(), 0o600); err != nil {
			return fmt.Errorf("write %s: %w", f.File, err)
		}
		if err := os.Rename(path+".part", path); err != nil {
			return fmt.Errorf("write %s: %w", f.File, err)
		}
	}
	return nil
}

// rerunNote describes why a scenario was run again, or returns "" if it was not.
func rerunNote(h *journal.History) string {
	if h.Why == "" {
		return ""
	}
	return fmt.Sprintf("run again alone (attempt %d): beside other scenarios it was inconclusive, since %s", h.Attempt, h.Why)
}

// abortReason describes how a run was aborted, or returns "" if it ended regularly.
func abortReason(b *journal.Book) string {
	if b.End != nil && b.Broken == "" {
		return ""
	}
	var last time.Duration
	for _, h := range b.Scenarios {
		last = max(last, h.Ended)
	}
	text := fmt.Sprintf("the run was cut short at +%.1fs: what follows is what its journal holds", last.Seconds())
	if b.Broken != "" {
		text += " (" + b.Broken + ")"
	}
	return text
}

// outcome returns the outcome of a scenario. A scenario that never ended is inconclusive, whatever its verdicts
// are.
func outcome(h *journal.History) string {
	if h.End == nil {
		return "inconclusive"
	}
	return check.Sum(h)
}

// unfinishedReason returns why a scenario did not pass, apart from its verdicts. cut is the reason why the run was
// aborted, if it was. explained reports whether a verdict did not pass. It returns "" if there is nothing to add.
func unfinishedReason(cut string, h *journal.History, explained bool) string {
	switch o := outcome(h); {
	case o == "passed" || o == "skipped":
		return ""
	case h.End == nil && cut != "":
		return cut
	case h.End == nil:
		return "the journal does not say how the scenario ended"
	case h.End.Reason != "":
		return h.End.Reason
	case !explained:
		return "the scenario is " + o + ", and no check says why"
	}
	return ""
}

// unjudgedReason returns why a run did not pass, apart from its scenarios: it has none, all were skipped, or it
// was aborted between two. It returns "" for a run that passed.
func unjudgedReason(b *journal.Book) string {
	o := Outcome(b)
	if o == "passed" {
		return ""
	}
	if short := abortReason(b); short != "" {
		return short
	}
	if n := skipped(b); n > 0 && n < len(b.Scenarios) {
		return fmt.Sprintf("%d of %d scenarios were skipped, so the run proves less than it says: install what they need, leave them out by --tags or --name, or accept it by --allow-skipped", n, len(b.Scenarios))
	}
	return "the run is " + o + ": no scenario was judged to its end"
}

// ranks lists the outcomes from best to worst.
var ranks = []string{"skipped", "passed", "inconclusive", "failed", "stopped", "interrupted"}

// skipped returns how many scenarios were skipped.
func skipped(b *journal.Book) (n int) {
	for _, h := range b.Scenarios {
		if outcome(h) == "skipped" {
			n++
		}
	}
	return n
}

// Outcome returns the worst outcome of the scenarios of a run. A run without scenarios is inconclusive. So is a
// run that was aborted or in which a scenario was skipped, unless another outcome is worse. The run can allow
// skipped scenarios.
func Outcome(b *journal.Book) string {
	worst := -1
	for _, h := range b.Scenarios {
		for i, name := range ranks {
			if name == outcome(h) {
				worst = max(worst, i)
			}
		}
	}
	if b.End != nil && b.End.Outcome == "interrupted" {
		return "interrupted"
	}
	if worst <= 0 || ranks[worst] == "passed" && (abortReason(b) != "" || skipped(b) > 0 && !b.Run.AllowSkipped) {
		return "inconclusive"
	}
	return ranks[worst]
}

// plain returns text on one line, with the characters escaped that a terminal or a browser would interpret.
func plain(s string) string { return journal.Visible(lineFeeds.Replace(s)) }

var lineFeeds = strings.NewReplacer("\n", " ", "\t", " ")

// writeVisible renders a page and escapes the characters in it that a terminal or a browser would interpret.
func writeVisible(w io.Writer, escape func(string) string, render func(io.Writer) error) error {
	var page strings.Builder
	if err := render(&page); err != nil {
		return err
	}
	_, err := io.WriteString(w, escape(page.String()))
	return err
}

// ms formats a duration for a table.
func ms(d time.Duration) string {
	switch {
	case d == 0:
		return "–"
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/1e6)
	case d < 10*time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// size formats a number of bytes for a table, in decimal units.
func size(n int64) string {
	v, unit := float64(n), 0
	for v >= 999.95 && unit < 4 {
		v /= 1000
		unit++
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", v, []string{"KB", "MB", "GB", "TB"}[unit-1])
}

// percent formats a share for a table.
func percent(n, of int) string {
	if of == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f%%", 100*float64(n)/float64(of))
}

// position returns the position of a verdict's step, or that of the scenario for an implied verdict.
func position(h *journal.History, v journal.Verdict) string {
	if v.Step != "" {
		return v.Step
	}
	if h.File == "" {
		return h.Name
	}
	return fmt.Sprintf("%s:%d", h.File, h.Line)
}

// isImplied reports whether a verdict is that of an implied check.
func isImplied(v journal.Verdict) bool {
	for _, k := range check.Kinds() {
		if k.Name == v.Kind {
			return k.Implied
		}
	}
	return false
}

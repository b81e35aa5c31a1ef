// Package reports renders a run for people and machines. formats.go is the one table; WriteDir writes all of them into a run's folder.
//
// Every rendering is computed from the journal's Book and from nothing else, so that a run can be rendered again at any time, also one that was killed
// half-way. The outcome of a scenario is check.Sum's everywhere, so that no two reports can disagree.
package reports

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Format writes one rendering of a run, complete or killed half-way. It is deterministic.
type Format func(io.Writer, *journal.Book) error

// Row is a row of the table of reports.
type Row struct {
	Name  string // "html"
	File  string // in a run's folder
	Means string
	Write Format
}

// Formats lists every report, sorted by name. A new one is a file and a row.
func Formats() []Row {
	return []Row{
		{"html", "report.html", "people: one file, from the verdict to its cause", HTML},
		{"json", "report.json", "programs: verdicts and figures", JSON},
		{"junit", "junit.xml", "CI: a test case for each check", JUnit},
		{"text", "report.txt", "the terminal: the verdict table", Text(Style{})},
	}
}

// WriteTo writes the report of a name.
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

// WriteDir writes every report into a folder. Each file is there whole or not at all.
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

// cutShort says how a run ended that did not end in order; "" for one that did.
func cutShort(b *journal.Book) string {
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

// outcome is a scenario's outcome; one that never ended is inconclusive, whatever it held until then.
func outcome(h *journal.History) string {
	if h.End == nil {
		return "inconclusive"
	}
	return check.Sum(h)
}

// unended says why a scenario is not passed apart from its verdicts; explained tells that one of them did not pass. "" when there is no more to say.
func unended(cut string, h *journal.History, explained bool) string {
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

// unjudged says why a run is not passed apart from its scenarios: it has none, or all were skipped, or it was cut short between two. "" for one that passed.
func unjudged(b *journal.Book) string {
	o := Outcome(b)
	if o == "passed" {
		return ""
	}
	if short := cutShort(b); short != "" {
		return short
	}
	return "the run is " + o + ": no scenario was judged to its end"
}

// ranks orders outcomes, the worst last.
var ranks = []string{"skipped", "passed", "inconclusive", "failed", "stopped", "interrupted"}

// Outcome is the worst outcome of a run's scenarios; a run without any is inconclusive, and so is one that was cut short before anything worse.
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
	if worst <= 0 || ranks[worst] == "passed" && cutShort(b) != "" {
		return "inconclusive"
	}
	return ranks[worst]
}

// plain removes what a terminal or an XML reader would act on: control characters, and marks that turn the direction of text around.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == unicode.ReplacementChar || r == 0xFFFE || r == 0xFFFF {
			return -1
		}
		return r
	}, s)
}

// ms writes a duration for a table.
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

// size writes a number of bytes for a table, in units of a thousand.
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

// percent writes a share for a table.
func percent(n, of int) string {
	if of == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f%%", 100*float64(n)/float64(of))
}

// place is where a verdict's step stands; the scenario's own place for an implied one.
func place(h *journal.History, v journal.Verdict) string {
	if v.Step != "" {
		return v.Step
	}
	if h.File == "" {
		return h.Name
	}
	return fmt.Sprintf("%s:%d", h.File, h.Line)
}

// implied tells whether a verdict was asked by nobody.
func implied(v journal.Verdict) bool {
	for _, k := range check.Kinds() {
		if k.Name == v.Kind {
			return k.Implied
		}
	}
	return false
}

// Package reports renders a run for people and machines. Formats is the table of formats; its WriteDir writes all of
// them into the folder of a run. Live shows the progress of a run while it lasts.
//
// Every report is computed from the journal's Book only, so that a run can be rendered again at any time, even if
// it was killed. The outcome of a scenario is always that of check.ScenarioOutcome, so that reports cannot disagree.
package reports

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Format is a way to render a run.
type Format struct {
	Name  string // for --format: "html"
	File  string // name of its file in the folder of a run: "report.html"; "" if it is written on request only
	Means string // its readers and its content, for the documentation

	// Write renders a run, which may be incomplete. Its output depends on nothing else.
	Write func(io.Writer, *journal.Book) error

	// Lacks says what the output for a run does not contain, although its readers expect it, or returns "". It may be nil.
	Lacks func(*journal.Book) string
}

// Table is a list of formats.
type Table []Format

// Formats returns all formats, sorted by name. To add one, add a file and a row here: the help of the command line,
// the files of a run and the table of the README are derived from the rows.
func Formats() Table {
	return Table{
		{Name: "html", File: "report.html", Means: "people: one file, from the verdict to its cause", Write: writeHTML},
		{Name: "json", File: "report.json", Means: "programs: verdicts and figures", Write: writeJSON},
		{Name: "junit", File: "junit.xml", Means: "CI: a test case for each scenario and each check, valid for Jenkins and GitLab", Write: writeJUnit},
		{Name: "messages", File: "messages.ndjson", Means: "Cucumber's tools, such as its html-formatter: the messages of its protocol", Write: writeMessages},
		{Name: "metrics", File: "metrics.txt", Means: "Prometheus and other readers of OpenMetrics: outcomes, requests, latency, faults", Write: writeMetrics},
		{Name: "summary", File: "summary.md", Means: "the summary of a CI job, chats, tickets: Markdown of at most 200 KB", Write: writeSummary},
		{Name: "text", File: "report.txt", Means: "the terminal: the verdict table", Write: writeText},
		{Name: "vegeta", Means: "vegeta report and vegeta plot: the attempts of keyed requests, in vegeta's JSON", Write: writeVegeta, Lacks: vegetaLacks},
	}
}

// Names returns the names of the formats.
func (t Table) Names() []string {
	names := make([]string, 0, len(t))
	for _, f := range t {
		names = append(names, f.Name)
	}
	return names
}

// WriteTo writes a run in the format with the given name.
func (t Table) WriteTo(w io.Writer, name string, b *journal.Book) error {
	for _, f := range t {
		if f.Name == name {
			return f.Write(w, b)
		}
	}
	return fmt.Errorf("write a report as %q: unknown format: use one of %s", name, strings.Join(t.Names(), ", "))
}

// Lacks says what the format with the given name does not contain of a run, or returns "".
func (t Table) Lacks(name string, b *journal.Book) string {
	for _, f := range t {
		if f.Name == name && f.Lacks != nil {
			return f.Lacks(b)
		}
	}
	return ""
}

// WriteDir writes a run in all formats that have a file into a folder, which must exist. Each file is written completely or
// not at all. If one cannot be written, the others are. The error names all that could not.
func (t Table) WriteDir(dir string, b *journal.Book) error {
	type file struct {
		name    string
		content []byte
	}
	var files []file
	var errs []error
	failed := func(name string, err error) { errs = append(errs, fmt.Errorf("write %s: %w", name, err)) }
	for _, f := range t {
		if f.File == "" {
			continue
		}
		var content bytes.Buffer
		if err := f.Write(&content, b); err != nil {
			failed(f.File, err)
			continue
		}
		files = append(files, file{f.File, content.Bytes()})
	}
	slices.SortStableFunc(files, func(a, b file) int { return len(a.content) - len(b.content) }) // most of them fit on a disk that is nearly full
	for _, f := range files {
		if err := writeFile(filepath.Join(dir, f.name), f.content); err != nil {
			failed(f.name, err)
		}
	}
	return errors.Join(errs...)
}

// writeFile writes a file completely or not at all.
func writeFile(path string, content []byte) error {
	part := path + ".part"
	err := os.WriteFile(part, content, 0o600)
	if err == nil {
		err = os.Rename(part, path)
	}
	if err != nil {
		_ = os.Remove(part) // others may need the room
	}
	return err
}

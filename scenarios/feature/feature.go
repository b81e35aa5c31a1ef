// Package feature reads the scenarios of a feature file, with its outlines expanded. It reports what Gherkin would
// ignore, such as a step without a keyword.
package feature

import (
	"bytes"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	gherkin "github.com/cucumber/gherkin/go/v26"
	messages "github.com/cucumber/messages/go/v21"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// Scenario is a scenario, or one row of an outline, in a feature file.
type Scenario struct {
	File, Feature, Name string
	Row                 int
	Line, last, rowLine int      // last: its last line; rowLine: 0 if it is not an outline
	Cells               []string // of its row
	Tags                []string
	Steps               []Step
	Lines               []string
	Partial             bool // some steps of the file are parsed as prose, which was reported
}

// Step is a step with its placeholders expanded.
type Step struct {
	Keyword, Text string
	Kind          string     // "Context", "Action" or "Outcome"
	At            source.Pos // the column is that of the text
	Exact         bool       // it had no placeholders
	Unfilled      bool       // it has an unknown placeholder, which was reported
	Table         []Line
	Doc           *string
}

// Covers reports whether a line selects the scenario: any of its lines, or its row of the examples.
func (s *Scenario) Covers(line int) bool {
	if s.rowLine > 0 && line > s.Line && slices.Contains(s.rowLines(), line) {
		return line == s.rowLine
	}
	return line >= s.Line && line <= s.last
}

func (s *Scenario) rowLines() []int {
	var all []int
	for i := s.Line; i <= s.last && i <= len(s.Lines); i++ {
		if strings.HasPrefix(strings.TrimSpace(s.Lines[i-1]), "|") {
			all = append(all, i)
		}
	}
	return all
}

// document is a feature file.
type document struct {
	known func(text string) bool
	out   *source.List
	name  string
	lines []string
	steps map[string]*messages.Step     // by id
	rows  map[string]*messages.TableRow // rows of examples, by id
	of    map[string]*messages.Scenario

	partial  bool            // some steps are parsed as prose
	unfilled map[string]bool // ids of steps with an unknown placeholder
}

// Read reads the scenarios of a feature file, and adds its problems to out. known reports whether a text is a
// sentence.
func Read(fsys fs.FS, name string, known func(text string) bool, out *source.List) (all []*Scenario) {
	defer out.RecoverPanic(name)
	raw, err := source.ReadFile(fsys, name, maxFeatureFile)
	if err != nil {
		out.Add(source.Pos{File: name}, codes.UnreadableFile.Msgf("the file cannot be read: %v", err), "check that it may be read; a large one can be split")
		return nil
	}
	raw = bytes.TrimPrefix(raw, []byte("\ufeff"))
	d := &document{known: known, out: out, name: name, lines: strings.Split(strings.ReplaceAll(string(raw), "\r\n", "\n"), "\n"),
		steps: map[string]*messages.Step{}, rows: map[string]*messages.TableRow{}, of: map[string]*messages.Scenario{}, unfilled: map[string]bool{}}
	if !utf8.Valid(raw) {
		out.Add(source.Pos{File: name, Line: 1}, codes.UnreadableFile.Msgf("the file is not UTF-8"), "save it as UTF-8")
		return nil
	}
	if n := longLine(d.lines); n > 0 {
		out.Add(source.Pos{File: name, Line: n}, codes.TooLarge.Msgf("the line is longer than %d MiB", maxLine>>20), "a body can stand on several lines of a doc string")
		return nil
	}
	n := 0
	id := func() string { n++; return strconv.Itoa(n) }
	doc, err := d.parse(id)
	if err != nil {
		if !d.missingColons() {
			d.syntax(err)
		}
		return nil
	}
	if doc.Feature == nil {
		out.Add(source.Pos{File: name, Line: 1}, codes.NotGherkin.Msgf("the file holds no feature"), "begin with: Feature: what the system has to survive")
		return nil
	}
	if d.holdsSteps(doc.Feature) && d.missingColons() {
		return nil
	}
	ends := d.index(doc.Feature)
	if d.expanded(doc.Feature) > maxExpanded {
		out.Add(d.at(doc.Feature.Location), codes.TooLarge.Msgf("with its outlines filled in, the feature is larger than %d MiB", maxExpanded>>20), "write fewer rows of examples, or smaller bodies")
		return nil
	}
	return d.compile(doc, id, ends)
}

// parse runs the Gherkin parser.
func (d *document) parse(id func() string) (*messages.GherkinDocument, error) {
	lines := d.lines
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1] // there is no line after the last line feed
	}
	builder := gherkin.NewAstBuilder(id)
	parser := gherkin.NewParser(builder)
	parser.StopAtFirstError(false)
	err := parser.Parse(&lineScanner{lines: lines}, gherkin.NewLanguageMatcher(gherkin.DialectsBuiltin(), gherkin.DefaultDialect))
	return builder.GetGherkinDocument(), err
}

func (d *document) at(l *messages.Location) source.Pos { return d.posAt(int(l.Line), int(l.Column)) }

func (d *document) posAt(line, col int) source.Pos {
	at := source.Pos{File: d.name, Line: line, Col: col}
	if line >= 1 && line <= len(d.lines) {
		at.Text = d.lines[line-1]
	}
	return at
}

// Line is a row of a table.
type Line struct {
	At    source.Pos
	Cells []string
	Cols  []int
}
